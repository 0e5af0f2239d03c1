// The body swollen by one offset everywhere: its shadow, or its outline without occluders.
in vec3 in_position, in_normal;
uniform mat4 u_clip_from_world;
uniform float u_offset;

void main() { gl_Position = u_clip_from_world * vec4(in_position + u_offset * in_normal, 1.0); }
