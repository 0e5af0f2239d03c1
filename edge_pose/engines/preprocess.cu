// Cuts squares out of a frame and normalises them, for all people of a batch in one launch.
//
// In: a BGR frame on the GPU, and for each person how their square is read from it.  Out: the pose
// network's input, RGB planes of float, a value being byte * scale - offset of its channel.
//
// It gives what edge_pose/crop.py and edge_pose/inference.py give on the processor, but for what is
// rounded there in between: means of blocks and the crop itself stay fractions here.  One thread is
// one pixel of one crop.  No header is needed, so NVRTC compiles it as it stands, and so does a C++
// compiler that is told what the words of CUDA mean.

struct Cut {  // edge_pose/engines/gpu_crops.py writes it
    float blocks_from_crop[6];  // affine, row by row; middles of blocks are at integers
    int first_x_px, first_y_px;  // upper left pixel of the first block
    int columns, rows;           // of blocks; beyond the outermost they go on
    int block_px;                // side of a block
};

struct Frame {
    const unsigned char *bytes;
    int width_px, height_px;
    int pitch_bytes;  // from one row to the next
};

__device__ int clamped(int value, int last) {
    return value < 0 ? 0 : value > last ? last : value;
}

// Adds the mean of one block, times a weight, to blue, green and red.
__device__ void add_block(
    const Frame &frame, const Cut &cut, int column, int row, float weight, float *bgr
) {
    const int x0_px = cut.first_x_px + clamped(column, cut.columns - 1) * cut.block_px;
    const int y0_px = cut.first_y_px + clamped(row, cut.rows - 1) * cut.block_px;
    unsigned int blue = 0, green = 0, red = 0;
    for (int y_px = y0_px; y_px < y0_px + cut.block_px; ++y_px) {
        const unsigned char *line =
            frame.bytes + (unsigned long long)clamped(y_px, frame.height_px - 1) * frame.pitch_bytes;
        for (int x_px = x0_px; x_px < x0_px + cut.block_px; ++x_px) {
            const unsigned char *pixel = line + 3 * clamped(x_px, frame.width_px - 1);
            blue += pixel[0];
            green += pixel[1];
            red += pixel[2];
        }
    }
    const float share = weight / (float)(cut.block_px * cut.block_px);
    bgr[0] += share * (float)blue;
    bgr[1] += share * (float)green;
    bgr[2] += share * (float)red;
}

extern "C" __global__ void cut_crops(
    const unsigned char *__restrict__ bytes, int width_px, int height_px, int pitch_bytes,
    const Cut *__restrict__ cuts, int side_px,
    float scale_red, float scale_green, float scale_blue,
    float offset_red, float offset_green, float offset_blue,
    float *__restrict__ planes  // person, channel, row, column
) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= side_px || y >= side_px) {
        return;
    }
    const int person = blockIdx.z;
    const Cut cut = cuts[person];
    const Frame frame = {bytes, width_px, height_px, pitch_bytes};

    const float *affine = cut.blocks_from_crop;
    const float across = affine[0] * (float)x + affine[1] * (float)y + affine[2];
    const float down = affine[3] * (float)x + affine[4] * (float)y + affine[5];
    const float left = floorf(across), top = floorf(down);
    const int column = (int)left, row = (int)top;
    const float to_right = across - left, to_bottom = down - top;

    float bgr[3] = {0.0f, 0.0f, 0.0f};
    add_block(frame, cut, column, row, (1.0f - to_right) * (1.0f - to_bottom), bgr);
    add_block(frame, cut, column + 1, row, to_right * (1.0f - to_bottom), bgr);
    add_block(frame, cut, column, row + 1, (1.0f - to_right) * to_bottom, bgr);
    add_block(frame, cut, column + 1, row + 1, to_right * to_bottom, bgr);

    const long long plane = (long long)side_px * side_px;
    float *out = planes + 3 * plane * person + (long long)y * side_px + x;
    out[0] = bgr[2] * scale_red - offset_red;
    out[plane] = bgr[1] * scale_green - offset_green;
    out[2 * plane] = bgr[0] * scale_blue - offset_blue;
}
