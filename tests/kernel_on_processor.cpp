// Makes a CUDA kernel something that a C++ compiler takes and that a processor runs, thread by
// thread.  The kernel stands in preprocess.cu, in a folder that the compiler is told.

#include <cmath>

#define __device__ static
#define __global__

struct Place {
    unsigned int x, y, z;
};

static Place threadIdx, blockIdx, blockDim, gridDim;

#include "preprocess.cu"

extern "C" void launch(
    const unsigned int *grid, const unsigned int *block,
    const unsigned char *bytes, int width_px, int height_px, int pitch_bytes,
    const Cut *cuts, int side_px,
    float scale_red, float scale_green, float scale_blue,
    float offset_red, float offset_green, float offset_blue,
    float *planes
) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
    for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
    for (threadIdx.z = 0; threadIdx.z < blockDim.z; ++threadIdx.z)
    for (threadIdx.y = 0; threadIdx.y < blockDim.y; ++threadIdx.y)
    for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x)
        cut_crops(
            bytes, width_px, height_px, pitch_bytes, cuts, side_px,
            scale_red, scale_green, scale_blue, offset_red, offset_green, offset_blue, planes
        );
}

extern "C" int size_of_cut() { return sizeof(Cut); }
