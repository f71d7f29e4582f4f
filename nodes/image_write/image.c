#include "image.h"

#include <string.h>

rm_status image_new(int width, int height, int channels, image *ret_image, rm_error *err)
{
    uint8_t *pixels = rm_alloc((size_t)width * (size_t)height * (size_t)channels);
    if (!pixels) {
        return rm_fail(err, RM_ENOMEM, "no memory for an image of %d x %d pixels", width, height);
    }
    *ret_image = (image){width, height, channels, pixels};
    return RM_OK;
}

void image_free(image *done)
{
    rm_free(done->pixels);
    done->pixels = NULL;
}

/* ---- colours */

/* Factors times 2^16. */
typedef struct yuv_to_rgb {
    int luma, luma_zero, red_v, green_u, green_v, blue_u;
} yuv_to_rgb;

static int fixed(double value)
{
    return (int)(value * 65536 + (value < 0 ? -0.5 : 0.5));
}

/* ITU-T H.273, 8.3: matrix coefficients, and equations 20 to 31 for the ranges. */
static yuv_to_rgb factors_of(uint8_t matrix, bool is_full)
{
    double kr = 0.299, kb = 0.114;
    if (matrix == VIDEO_MATRIX_BT709) {
        kr = 0.2126;
        kb = 0.0722;
    } else if (matrix == VIDEO_MATRIX_BT2020) {
        kr = 0.2627;
        kb = 0.0593;
    }
    double kg = 1 - kr - kb, luma = is_full ? 1 : 255.0 / 219, chroma = is_full ? 1 : 255.0 / 224;
    return (yuv_to_rgb){fixed(luma),
                        is_full ? 0 : 16,
                        fixed(2 * (1 - kr) * chroma),
                        fixed(-2 * (1 - kb) * kb / kg * chroma),
                        fixed(-2 * (1 - kr) * kr / kg * chroma),
                        fixed(2 * (1 - kb) * chroma)};
}

static uint8_t level(int sum)
{
    int value = (sum + 32768) >> 16;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void yuv_row(const picture *from, int y, const yuv_to_rgb *f, uint8_t *to)
{
    bool is_nv12 = from->fourcc == RM_FOURCC_NV12;
    ptrdiff_t chroma_row = y / 2;
    const uint8_t *luma = from->plane[0] + (ptrdiff_t)y * from->stride[0];
    const uint8_t *u = from->plane[1] + chroma_row * from->stride[1];
    const uint8_t *v = is_nv12 ? u + 1 : from->plane[2] + chroma_row * from->stride[2];
    int step = is_nv12 ? 2 : 1;
    for (int x = 0; x < from->width; x++, to += 3) {
        int l = (luma[x] - f->luma_zero) * f->luma;
        int cu = u[x / 2 * step] - 128, cv = v[x / 2 * step] - 128;
        to[0] = level(l + cv * f->red_v);
        to[1] = level(l + cu * f->green_u + cv * f->green_v);
        to[2] = level(l + cu * f->blue_u);
    }
}

static void grey_row(const uint8_t *from, int width, bool is_limited, int channels, uint8_t *to)
{
    int zero = is_limited ? 16 : 0, factor = is_limited ? fixed(255.0 / 219) : 65536;
    for (int x = 0; x < width; x++, to += channels) {
        memset(to, level((from[x] - zero) * factor), (size_t)channels);
    }
}

/* Over black, where the alpha has no place. */
static void rgba_to_rgb_row(const uint8_t *from, int width, uint8_t *to)
{
    for (int x = 0; x < width; x++, from += 4, to += 3) {
        for (int c = 0; c < 3; c++) {
            to[c] = (uint8_t)((from[c] * from[3] + 127) / 255);
        }
    }
}

static void convert_row(const picture *from, int y, const rm_format_line *line,
                        const yuv_to_rgb *factors, const image *to)
{
    uint8_t *row = to->pixels + (size_t)y * (size_t)to->width * (size_t)to->channels;
    const uint8_t *source = from->plane[0] + (ptrdiff_t)y * from->stride[0];
    switch (from->fourcc) {
    case RM_FOURCC_GRAY8:
        grey_row(source, from->width, line->video.range == VIDEO_RANGE_LIMITED, to->channels, row);
        break;
    case RM_FOURCC_RGBA:
        if (to->channels == 3) {
            rgba_to_rgb_row(source, from->width, row);
            break;
        }
        memcpy(row, source, (size_t)from->width * 4);
        break;
    case RM_FOURCC_RGB24: memcpy(row, source, (size_t)from->width * 3); break;
    default: yuv_row(from, y, factors, row); break;
    }
}

/* ---- upright */

/* Where the pixel x, y of the result lies in the source, after `turns` quarter turns clockwise. */
static size_t source_index(const image *from, int x, int y, unsigned turns)
{
    int source_x = x, source_y = y;
    switch (turns) {
    case 1:
        source_x = y;
        source_y = from->height - 1 - x;
        break;
    case 2:
        source_x = from->width - 1 - x;
        source_y = from->height - 1 - y;
        break;
    case 3:
        source_x = from->width - 1 - y;
        source_y = x;
        break;
    default: break;
    }
    return (size_t)source_y * (size_t)from->width + (size_t)source_x;
}

static rm_status turn(image *from, unsigned turns, rm_error *err)
{
    image to = {0};
    bool is_lying = turns & 1;
    rm_status status = image_new(is_lying ? from->height : from->width,
                                 is_lying ? from->width : from->height, from->channels, &to, err);
    if (status != RM_OK) {
        return status;
    }
    size_t bytes = (size_t)from->channels;
    uint8_t *pixel = to.pixels;
    for (int y = 0; y < to.height; y++) {
        for (int x = 0; x < to.width; x++, pixel += bytes) {
            memcpy(pixel, from->pixels + source_index(from, x, y, turns) * bytes, bytes);
        }
    }
    image_free(from);
    *from = to;
    return RM_OK;
}

rm_status image_of_packet(const rm_packet *packet, image_kind kind, image *ret_image, rm_error *err)
{
    const rm_format_line *line = &packet->header.format;
    picture from = video_picture(packet);
    bool is_full = line->video.range == VIDEO_RANGE_FULL;
    yuv_to_rgb factors = factors_of(video_matrix(line), is_full);
    int channels = from.fourcc == RM_FOURCC_GRAY8 ? 1 : from.fourcc == RM_FOURCC_RGBA ? 4 : 3;
    image to = {0};
    rm_status status =
        image_new(from.width, from.height, kind == IMAGE_RGB ? 3 : channels, &to, err);
    if (status != RM_OK) {
        return status;
    }
    for (int y = 0; y < from.height; y++) {
        convert_row(&from, y, line, &factors, &to);
    }
    if (line->video.rotation & 3) {
        status = turn(&to, line->video.rotation & 3, err);
    }
    if (status != RM_OK) {
        image_free(&to);
        return status;
    }
    *ret_image = to;
    return RM_OK;
}
