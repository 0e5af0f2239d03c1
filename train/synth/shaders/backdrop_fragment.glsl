uniform sampler2D u_backdrop;
uniform vec2 u_backdrop_texel;
layout(location = 0) out vec4 o_result;
void main() { o_result = vec4(texture(u_backdrop, gl_FragCoord.xy * u_backdrop_texel).rgb, 0.0); }
