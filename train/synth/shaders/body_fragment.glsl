// Skin or one layer of clothing over it, as the number LAYER says: colour, and (person, part, depth) as labels.
// Software renderers run every branch they compile, so each layer has its own program.
//   groups: torso arm hand leg; more groups: foot head neck eye
//   along: 0..1..2 from shoulder over elbow to wrist, the same for hip, knee, ankle, and 0..1 from hip to neck
//   face: lips, nails, face, ears
in vec3 v_world, v_normal, v_rest, v_along;
in vec4 v_groups, v_more_groups, v_face;
in float v_depth;
flat in float v_part;
uniform int u_pattern;
uniform float u_person, u_seed, u_wrinkle, u_hairline, u_hair_falls;
uniform vec3 u_skin, u_hair, u_iris, u_colour, u_second_colour, u_eye, u_face_wear;
uniform float u_sleeve, u_hem, u_leg_cut;
uniform vec4 u_covered;  // how far clothes cover the skin: sleeve, trouser leg, glove, boot
uniform float u_covered_hem;
layout(location = 0) out vec4 o_colour;
layout(location = 1) out vec4 o_labels;

#define SKIN 0
#define TROUSERS 1
#define SHIRT 2
#define VEST 3
#define GLOVES 4
#define BOOTS 5
#define HAIR 6

const int STRIPES = 1, YOKE = 2, BANDS = 3, CHECKS = 4, PRINT = 5;
const float MARGIN = 0.06;

bool skin_is_covered() {
    float torso = v_groups.x, arm = v_groups.y, hand = v_groups.z, leg = v_groups.w;
    float foot = v_more_groups.x, head = v_more_groups.y, neck = v_more_groups.z;
    bool in_sleeve = v_along.x < u_covered.x - MARGIN;
    if (arm + hand >= 0.55 && (in_sleeve && v_along.x > -0.5 || v_along.x > u_covered.z + MARGIN)) return true;
    if (torso + arm > 0.6 && neck < 0.55 && v_along.z > u_covered_hem + 0.02 && in_sleeve && leg < 0.3 && hand < 0.3)
        return true;
    if (leg + foot > 0.6 && v_along.y < u_covered.y - MARGIN) return true;
    if (leg + foot > 0.5 && v_along.y > u_covered.w + MARGIN) return true;
    return torso + leg > 0.6 && v_along.z < 0.28 && v_along.y < u_covered.y - MARGIN && head + neck < 0.1;
}

bool outside_layer() {
    float torso = v_groups.x, arm = v_groups.y, hand = v_groups.z, leg = v_groups.w;
    float foot = v_more_groups.x, head = v_more_groups.y, neck = v_more_groups.z;
    if (LAYER == SKIN) return skin_is_covered();
    if (LAYER == TROUSERS) {
        bool hips = v_along.z < 0.30 && arm < 0.3 && hand < 0.3;
        return !(leg + foot > 0.5 || hips) || v_along.y > u_leg_cut || head + neck > 0.5;
    }
    if (LAYER == SHIRT || LAYER == VEST) {
        bool trunk = (torso > 0.5 || leg > 0.5) && v_along.z > u_hem;
        bool sleeve = arm + hand >= 0.5 && v_along.x < u_sleeve;
        if (LAYER == VEST && arm > 0.35 && v_along.x > 0.13 + 0.12 * step(0.6, torso)) return true;
        return !(trunk || sleeve) || neck > 0.8 || head > 0.3;
    }
    if (LAYER == GLOVES) return v_along.x < u_sleeve || hand + arm < 0.5;
    if (LAYER == BOOTS) return v_along.y < u_leg_cut || foot + leg < 0.5;
    float up = v_rest.z - u_eye.z;
    if (u_hair_falls > 0.0 && arm < 0.5 && up < u_hairline) {
        float strands = 0.05 * fractal_noise(vec3(v_rest.x * 40.0, 3.0, u_seed));
        float behind = head > 0.5 ? -0.045 : 0.0;
        float wide = 0.11 - 0.09 * max(-up - 0.2, 0.0);
        if (v_rest.y > behind && up > strands - u_hair_falls && abs(v_rest.x) < wide) return false;
    }
    if (head < 0.5 || up < u_hairline - 0.9 * (v_rest.y + 0.11) + 0.012 * fractal_noise(v_rest * 60.0)) return true;
    return v_rest.y < -0.02 && up < u_hairline - 0.075;
}

vec3 skin_colour(out float rough, out float wrap) {
    float head = v_more_groups.y, eye = v_more_groups.w;
    vec3 colour = u_skin * (0.86 + 0.28 * fractal_noise(v_rest * 35.0 + u_seed));
    rough = 0.55;
    wrap = 0.35;
    colour = mix(colour, colour * vec3(1.12, 0.86, 0.84), 0.2 * v_face.z);
    colour = mix(colour, colour * vec3(1.05, 0.62, 0.62), 0.75 * v_face.x);
    colour = mix(colour, colour * vec3(1.15, 0.9, 0.85), v_face.y);
    float side = abs(v_rest.x), up = v_rest.z - u_eye.z;
    bool front = head > 0.5 && v_rest.y < -0.1;
    float brow = up - 0.026 + 0.25 * abs(side - 0.032);
    if (front && side > 0.012 && side < 0.056 && abs(brow) < 0.0045 * (1.2 - 8.0 * side))
        colour = mix(colour, 0.8 * u_hair, 0.8);
    bool jaw = head > 0.5 && v_rest.y < -0.05 && up < -0.045;
    if (jaw) colour = mix(colour, u_hair, u_face_wear.x * step(v_face.x, 0.4));
    if (jaw && up > -0.125) colour = mix(colour, vec3(0.72, 0.78, 0.82), u_face_wear.y);
    if (eye > 0.5) {
        float radius = length(vec2(side - u_eye.x, up));
        colour = vec3(0.82, 0.8, 0.78);
        if (radius < 0.0062 && front) colour = u_iris;
        if (radius < 0.0028 && front) colour = vec3(0.02);
        rough = 0.1;
        wrap = 0.1;
    }
    if (head > 0.4 && v_rest.y < -0.04 && abs(up) < 0.017) colour = mix(colour, vec3(0.03), u_face_wear.z);
    return colour;
}

vec3 cloth_colour(inout float rough) {
    float torso = v_groups.x, arm = v_groups.y;
    vec3 colour = u_colour;
    if (LAYER != SHIRT && LAYER != VEST) return colour;
    if (u_pattern == STRIPES && fract(v_along.z * 9.0) < 0.5) colour = u_second_colour;
    if (u_pattern == YOKE && v_along.z > 0.72) colour = u_second_colour;
    if (u_pattern == CHECKS && fract(v_along.z * 11.0) < 0.5 != fract(v_rest.x * 14.0) < 0.5)
        colour = 0.5 * (u_colour + u_second_colour);
    if (u_pattern == PRINT && torso > 0.6 && abs(v_along.z - 0.66) < 0.12 && abs(v_rest.x) < 0.09)
        colour = mix(u_colour, u_second_colour, step(0.45, smooth_noise(v_rest * vec3(60.0, 1.0, 60.0) + u_seed)));
    bool waist = abs(v_along.z - 0.33) < 0.035 || abs(v_along.z - 0.58) < 0.035;
    bool braces = abs(abs(v_rest.x) - 0.1) < 0.022 && v_along.z > 0.58;
    bool armband = abs(v_along.x - 1.35) < 0.06 && arm > 0.5;
    if (u_pattern == BANDS && (waist || braces || armband)) {
        colour = vec3(0.75, 0.76, 0.78);
        rough = 0.25;
    }
    if (v_rest.y < -0.02 && abs(v_rest.x) < 0.004 && torso > 0.6 && u_pattern != PRINT) colour *= 0.55;
    return colour;
}

void main() {
    if (outside_layer()) discard;
    vec3 normal = normalize(v_normal);
    if (!gl_FrontFacing) normal = -normal;
    float rough = 0.93, wrap = 0.2;
    vec3 albedo;
    if (LAYER == SKIN) {
        albedo = skin_colour(rough, wrap);
    } else if (LAYER == HAIR) {
        albedo = u_hair * (0.55 + 0.9 * fractal_noise(v_rest * vec3(160.0, 40.0, 160.0) + u_seed));
        rough = 0.45;
    } else {
        if (LAYER == GLOVES) rough = 0.7;
        if (LAYER == BOOTS) rough = 0.45;
        albedo = cloth_colour(rough);
        vec3 slope = fractal_noise_and_slope(v_rest * vec3(14.0, 14.0, 9.0) + u_seed).rgb;
        normal = normalize(normal - 0.7 * u_wrinkle * slope);
        albedo *= (0.82 + 0.36 * smooth_noise(v_rest * 40.0 + u_seed)) * (0.93 + 0.14 * cell_noise(v_rest * 900.0));
    }
    o_labels = vec4(u_person, v_part, v_depth, 0.0);
    o_colour = exposed(shade(v_world, normal, albedo, rough, wrap, sunlit(v_world, normal)), 1.0);
}
