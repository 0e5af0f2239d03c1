// A layer of clothing is the body's surface moved outwards where the layer's weights say so; LAYER 0 is skin.
in vec3 in_position, in_normal, in_rest, in_along;
in vec4 in_groups, in_more_groups, in_face;
in float in_part;
uniform mat4 u_clip_from_world;
uniform vec4 u_depth_from_world;
uniform vec4 u_swell, u_more_swell;
uniform float u_offset, u_seed;
out vec3 v_world, v_normal, v_rest, v_along;
out vec4 v_groups, v_more_groups, v_face;
out float v_depth;
flat out float v_part;

void main() {
    v_world = in_position;
#if LAYER != 0
    float weight = clamp(dot(in_groups, u_swell) + dot(in_more_groups, u_more_swell), 0.0, 1.0);
    v_world += in_normal * u_offset * weight * (0.65 + 0.9 * smooth_noise(in_rest * 9.0 + u_seed));
#endif
    v_normal = in_normal;
    v_rest = in_rest;
    v_along = in_along;
    v_groups = in_groups;
    v_more_groups = in_more_groups;
    v_face = in_face;
    v_part = in_part;
    v_depth = dot(u_depth_from_world, vec4(v_world, 1.0));
    gl_Position = u_clip_from_world * vec4(v_world, 1.0);
}
