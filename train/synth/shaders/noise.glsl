// Value noise from a tiling 32^3 table of random bytes: smooth between cells, independent from cell to cell.
uniform sampler3D u_noise;

float smooth_noise(vec3 p) { return textureLod(u_noise, p / 32.0, 0.0).r; }

float fractal_noise(vec3 p) {
    return 0.57 * smooth_noise(p) + 0.29 * smooth_noise(2.03 * p + 7.0) + 0.14 * smooth_noise(4.1 * p + 3.0);
}

float cell_noise(vec3 cell) { return texelFetch(u_noise, ivec3(cell) & 31, 0).r; }
