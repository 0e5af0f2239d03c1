// Floors, walls, things and hats: colour, and (person, part, depth) as labels.
in vec3 v_world, v_normal, v_local;
in float v_depth;
flat in vec4 v_colour, v_finish;
layout(location = 0) out vec4 o_colour;
layout(location = 1) out vec4 o_labels;

const int PLAIN = 0, TILES = 1, BRUSHED = 2, HAZARD = 3, SPECKLED = 4, CONCRETE = 5, GLOWING = 6, CATCHER = 7;

uniform sampler2D u_backdrop;
uniform vec2 u_backdrop_texel;

// One look into each table whatever the finish, because software renderers run every branch.
vec3 textured(int kind, vec3 colour, vec3 at, vec3 normal) {
    vec3 stretch = kind == BRUSHED ? vec3(2.0, 40.0, 2.0) : vec3(kind == SPECKLED ? 60.0 : kind == CONCRETE ? 1.3 : 3.0);
    float noise = fractal_noise(at * stretch);
    float grain = cell_noise(floor(at * (kind == TILES ? 2.0 : 300.0)));
    vec3 edge = abs(fract(at * 2.0) - 0.5) * step(abs(normal), vec3(0.5));
    float joint = max(edge.x, max(edge.y, edge.z)) > 0.485 ? 0.5 : 1.0;
    if (kind == TILES) return colour * joint * (0.85 + 0.3 * grain);
    if (kind == BRUSHED) return colour * (0.7 + 0.6 * noise);
    if (kind == HAZARD) return fract((at.x + at.y + at.z) * 4.0) < 0.5 ? colour : vec3(0.03);
    if (kind == SPECKLED) return colour * (0.4 + 1.2 * noise);
    if (kind == CONCRETE) return colour * (0.5 + noise) * (0.9 + 0.2 * grain);
    return colour * (0.8 + 0.4 * noise);
}

void main() {
    vec3 normal = normalize(v_normal);
    if (!gl_FrontFacing) normal = -normal;
    int kind = int(v_finish.x + 0.5);
    float lit = sunlit(v_world, normal);
    vec3 colour = textured(kind, v_colour.rgb, v_local * v_finish.z, normal);
    if (kind != GLOWING) colour = shade(v_world, normal, colour, v_finish.y, 0.0, lit);
    o_labels = vec4(v_finish.w, v_colour.w, v_depth, 0.0);
    o_colour = exposed(colour, step(0.5, v_finish.w));
    if (kind == CATCHER)
        o_colour = vec4(texture(u_backdrop, gl_FragCoord.xy * u_backdrop_texel).rgb * mix(0.55, 1.0, lit), 0.0);
}
