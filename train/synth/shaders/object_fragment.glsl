// Floors, walls, things and hats.  With LABELS defined, writes (person, part, depth, material) instead of colour.
in vec3 v_world, v_normal, v_local;
in float v_depth;
flat in vec4 v_colour, v_finish;
layout(location = 0) out vec4 o_result;

const float OBJECT_LAYER = 16.0;
const int PLAIN = 0, TILES = 1, BRUSHED = 2, HAZARD = 3, SPECKLED = 4, CONCRETE = 5, GLOWING = 6, CATCHER = 7;

#ifdef LABELS
void main() { o_result = vec4(v_finish.w, v_colour.w, v_depth, OBJECT_LAYER); }
#else
uniform sampler2D u_backdrop;
uniform vec2 u_backdrop_texel;

vec3 textured(int kind, vec3 colour, vec3 at, vec3 normal) {
    if (kind == TILES) {
        vec3 edge = abs(fract(at * 2.0) - 0.5) * step(abs(normal), vec3(0.5));
        float joint = max(edge.x, max(edge.y, edge.z)) > 0.485 ? 0.5 : 1.0;
        return colour * joint * (0.85 + 0.3 * cell_noise(floor(at * 2.0)));
    }
    if (kind == BRUSHED) return colour * (0.7 + 0.6 * smooth_noise(at * vec3(2.0, 40.0, 2.0)));
    if (kind == HAZARD) return fract((at.x + at.y + at.z) * 4.0) < 0.5 ? colour : vec3(0.03);
    if (kind == SPECKLED) return colour * (0.6 + 0.8 * smooth_noise(at * 60.0));
    if (kind == CONCRETE) return colour * (0.5 + fractal_noise(at * 1.3 + 9.0)) * (0.9 + 0.2 * cell_noise(at * 300.0));
    return colour * (0.8 + 0.4 * fractal_noise(at * 3.0));
}

void main() {
    vec3 normal = normalize(v_normal);
    if (!gl_FrontFacing) normal = -normal;
    int kind = int(v_finish.x + 0.5);
    if (kind == CATCHER) {
        vec3 photo = texture(u_backdrop, gl_FragCoord.xy * u_backdrop_texel).rgb;
        o_result = vec4(photo * mix(0.55, 1.0, sunlit(v_world, normal)), 0.0);
        return;
    }
    vec3 colour = textured(kind, v_colour.rgb, v_local * v_finish.z, normal);
    float person = step(0.5, v_finish.w);
    if (kind == GLOWING) o_result = exposed(colour, person);
    else o_result = exposed(shade(v_world, normal, colour, v_finish.y, 0.0), person);
}
#endif
