uniform sampler2D u_backdrop;
uniform vec2 u_backdrop_texel;
layout(location = 0) out vec4 o_colour;
layout(location = 1) out vec4 o_labels;

void main() {
    o_colour = vec4(texture(u_backdrop, gl_FragCoord.xy * u_backdrop_texel).rgb, 0.0);
    o_labels = vec4(0.0);
}
