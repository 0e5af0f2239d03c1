// One directional light with a shadow map, three point lights, a sky and a ground.  All colours are linear.
uniform vec3 u_camera, u_sun_direction, u_sun_colour, u_sky_colour, u_ground_colour;
uniform vec3 u_lamp_positions[3], u_lamp_colours[3];
uniform mat4 u_shadow_from_world;
uniform sampler2DShadow u_shadow;
uniform float u_shadow_softness, u_exposure;

float sunlit(vec3 world, vec3 normal) {
    vec3 s = (u_shadow_from_world * vec4(world + 0.012 * normal, 1.0)).xyz * 0.5 + 0.5;
    if (s.z > 1.0 || any(lessThan(s.xy, vec2(0.0))) || any(greaterThan(s.xy, vec2(1.0)))) return 1.0;
    vec2 reach = 0.8 * u_shadow_softness / vec2(1024.0, -1024.0);
    float depth = s.z - 0.0012;
    return 0.5 * (texture(u_shadow, vec3(s.xy + reach, depth)) + texture(u_shadow, vec3(s.xy - reach, depth)));
}

// The power a^n of a cosine without exp and log, after C. Schlick 1994, doi 10.1111/1467-8659.1330233.
float fast_power(float cosine, float exponent) { return cosine / (exponent - (exponent - 1.0) * cosine); }

// `wrap` lets light reach round the edge of soft matter such as skin; `rough` runs from polished (0) to matt (1).
vec3 shade(vec3 world, vec3 normal, vec3 albedo, float rough, float wrap, float lit) {
    vec3 to_camera = normalize(u_camera - world);
    float shininess = mix(120.0, 6.0, rough);
    float gloss = mix(0.5, 0.03, rough);
    vec3 colour = albedo * mix(u_ground_colour, u_sky_colour, normal.z * 0.5 + 0.5);

    float facing = dot(normal, u_sun_direction);
    float diffuse = max((facing + wrap) / (1.0 + wrap), 0.0);
    float highlight = gloss * fast_power(max(dot(normal, normalize(to_camera + u_sun_direction)), 0.0), shininess);
    colour += (albedo * diffuse + highlight * step(0.0, facing)) * u_sun_colour * lit;

    for (int i = 0; i < 3; i++) {
        vec3 ray = u_lamp_positions[i] - world;
        float squared = dot(ray, ray);
        ray *= inversesqrt(squared);
        float cosine = dot(normal, ray);
        colour += albedo * max((cosine + wrap) / (1.0 + wrap), 0.0) * u_lamp_colours[i] / (1.0 + squared);
    }
    return colour;
}

vec4 exposed(vec3 linear, float person) {
    return vec4(sqrt(1.0 - exp(-u_exposure * linear)), person);
}
