// One instance of a unit shape: rows of its 3x4 matrix, colour, and (texture, roughness, texture scale, person).
in vec3 in_position, in_normal;
in vec4 i_row0, i_row1, i_row2, i_colour, i_finish;
uniform mat4 u_clip_from_world;
uniform vec4 u_depth_from_world;
out vec3 v_world, v_normal, v_local;
out float v_depth;
flat out vec4 v_colour, v_finish;

void main() {
    vec4 at = vec4(in_position, 1.0);
    v_world = vec3(dot(i_row0, at), dot(i_row1, at), dot(i_row2, at));
    vec3 size = vec3(length(vec3(i_row0.x, i_row1.x, i_row2.x)), length(vec3(i_row0.y, i_row1.y, i_row2.y)),
                     length(vec3(i_row0.z, i_row1.z, i_row2.z)));
    vec3 outward = in_normal / (size * size);
    v_normal = normalize(vec3(dot(i_row0.xyz, outward), dot(i_row1.xyz, outward), dot(i_row2.xyz, outward)));
    v_local = in_position * size;
    v_colour = i_colour;
    v_finish = i_finish;
    v_depth = dot(u_depth_from_world, vec4(v_world, 1.0));
    gl_Position = u_clip_from_world * vec4(v_world, 1.0);
}
