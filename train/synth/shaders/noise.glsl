// Two tiling tables, 32 cells long each way: random bytes, and their fractal sum with its slope.
uniform sampler3D u_noise, u_fractal;

float smooth_noise(vec3 p) { return textureLod(u_noise, p / 32.0, 0.0).r; }

float cell_noise(vec3 cell) { return texelFetch(u_noise, ivec3(cell) & 31, 0).r; }

// rgb: slope per cell in each direction; a: the fractal noise itself
vec4 fractal_noise_and_slope(vec3 p) {
    vec4 stored = textureLod(u_fractal, p / 32.0, 0.0);
    return vec4(4.0 * stored.rgb - 2.0, stored.a);
}

float fractal_noise(vec3 p) { return textureLod(u_fractal, p / 32.0, 0.0).a; }
