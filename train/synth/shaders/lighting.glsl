// One directional light with a shadow map, three point lights, a sky and a ground.  All colours are linear.
uniform vec3 u_camera, u_sun_direction, u_sun_colour, u_sky_colour, u_ground_colour;
uniform vec3 u_lamp_positions[3], u_lamp_colours[3];
uniform mat4 u_shadow_from_world;
uniform sampler2DShadow u_shadow;
uniform float u_shadow_softness, u_exposure;

float sunlit(vec3 world, vec3 normal) {
    vec3 s = (u_shadow_from_world * vec4(world + 0.012 * normal, 1.0)).xyz * 0.5 + 0.5;
    if (s.z > 1.0 || any(lessThan(s.xy, vec2(0.0))) || any(greaterThan(s.xy, vec2(1.0)))) return 1.0;
    float sum = 0.0;
    float reach = 1.6 * u_shadow_softness / 1024.0;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            sum += texture(u_shadow, vec3(s.xy + (vec2(i, j) - 0.5) * reach, s.z - 0.0012));
    return sum / 4.0;
}

// `wrap` lets light reach round the edge of soft matter such as skin; `rough` runs from polished (0) to matt (1).
vec3 shade(vec3 world, vec3 normal, vec3 albedo, float rough, float wrap) {
    vec3 to_camera = normalize(u_camera - world);
    float shininess = mix(120.0, 6.0, rough);
    float gloss = mix(0.5, 0.03, rough);
    vec3 colour = albedo * mix(u_ground_colour, u_sky_colour, normal.z * 0.5 + 0.5);

    float facing = dot(normal, u_sun_direction);
    float diffuse = max((facing + wrap) / (1.0 + wrap), 0.0);
    float highlight = gloss * pow(max(dot(normal, normalize(to_camera + u_sun_direction)), 0.0), shininess);
    colour += (albedo * diffuse + highlight * step(0.0, facing)) * u_sun_colour * sunlit(world, normal);

    for (int i = 0; i < 3; i++) {
        vec3 ray = u_lamp_positions[i] - world;
        float squared = dot(ray, ray);
        ray *= inversesqrt(squared);
        float cosine = dot(normal, ray);
        float spot = gloss * pow(max(dot(normal, normalize(to_camera + ray)), 0.0), shininess);
        colour += (albedo * max((cosine + wrap) / (1.0 + wrap), 0.0) + spot * step(0.0, cosine))
            * u_lamp_colours[i] / (1.0 + squared);
    }
    return colour;
}

vec4 exposed(vec3 linear, float person) {
    return vec4(pow(1.0 - exp(-u_exposure * linear), vec3(1.0 / 2.2)), person);
}
