#include "draw.h"

#include <string.h>

/* a × b / 2^16, rounded. */
static int scaled(int64_t product)
{
    return (int)((product + (product < 0 ? -32768 : 32768)) / 65536);
}

draw_colour draw_rgb(uint32_t fourcc, uint8_t matrix, int red, int green, int blue)
{
    if (video_is_rgb(fourcc)) {
        return (draw_colour){{(uint8_t)red, (uint8_t)green, (uint8_t)blue, 255}};
    }
    /* Kr and Kb of H.273 times 2^16, and 1 / (2 - 2 Kb), 1 / (2 - 2 Kr) likewise. */
    bool is_709 = matrix == VIDEO_MATRIX_BT709;
    int64_t kr = is_709 ? 13933 : 19595, kb = is_709 ? 4732 : 7471;
    int64_t ub = is_709 ? 35318 : 36983, vr = is_709 ? 41614 : 46745;
    int64_t luma = kr * red + kb * blue + (65536 - kr - kb) * green; /* times 2^16 */
    int64_t u = (((int64_t)blue * 65536 - luma) * ub) / 65536;
    int64_t v = (((int64_t)red * 65536 - luma) * vr) / 65536;
    return (draw_colour){{(uint8_t)(16 + scaled(luma * 219 / 255)),
                          (uint8_t)(128 + scaled(u * 224 / 255)),
                          (uint8_t)(128 + scaled(v * 224 / 255)), 0}};
}

static void fill_row(uint8_t *row, int pixels, int bytes_a_pixel, const uint8_t *pixel)
{
    if (bytes_a_pixel == 1) {
        memset(row, pixel[0], (size_t)pixels);
        return;
    }
    for (int x = 0; x < pixels; x++) {
        memcpy(row + (ptrdiff_t)x * bytes_a_pixel, pixel, (size_t)bytes_a_pixel);
    }
}

static void fill_plane(const picture *to, unsigned plane, int x, int y, int width, int height,
                       draw_colour colour)
{
    bool is_chroma = plane > 0;
    bool is_pair = is_chroma && to->fourcc == RM_FOURCC_NV12;
    int bytes_a_pixel = to->fourcc == RM_FOURCC_RGB24  ? 3
                        : to->fourcc == RM_FOURCC_RGBA ? 4
                        : is_pair                      ? 2
                                                       : 1;
    if (is_chroma) { /* the last column and row of an odd picture have chroma too */
        width = (width + 1) / 2;
        height = (height + 1) / 2;
        x /= 2;
        y /= 2;
    }
    for (int row = 0; row < height; row++) {
        fill_row(to->plane[plane] + (ptrdiff_t)(y + row) * to->stride[plane] +
                     (ptrdiff_t)x * bytes_a_pixel,
                 width, bytes_a_pixel, colour.component + plane);
    }
}

static int cut(int value, int limit)
{
    return value < 0 ? 0 : value < limit ? value & ~1 : limit;
}

void draw_rectangle(const picture *to, int x, int y, int width, int height, draw_colour colour)
{
    int left = cut(x, to->width), right = cut(x + width, to->width);
    int top = cut(y, to->height), bottom = cut(y + height, to->height);
    for (unsigned p = 0; p < VIDEO_PLANES_MAX && to->plane[p] && right > left; p++) {
        fill_plane(to, p, left, top, right - left, bottom - top, colour);
    }
}

/*  _0_
 * 5   1      bit n of a digit: segment n is lit
 *  _6_
 * 4   2
 *  _3_  */
static const uint8_t segments_of[10] = {0x3f, 0x06, 0x5b, 0x4f, 0x66, 0x6d, 0x7d, 0x07, 0x7f, 0x6f};

static void draw_digit(const picture *to, int x, int y, int size, int digit, draw_colour colour)
{
    int line = size / 5 < 2 ? 2 : size / 5 & ~1, tall = 2 * size;
    const struct {
        int x, y, width, height;
    } segments[7] = {
        {0, 0, size, line},
        {size - line, 0, line, size},
        {size - line, size, line, size},
        {0, tall - line, size, line},
        {0, size, line, size},
        {0, 0, line, size},
        {0, size - line / 2, size, line},
    };
    for (int i = 0; i < 7; i++) {
        if (segments_of[digit] >> i & 1) {
            draw_rectangle(to, x + segments[i].x, y + segments[i].y, segments[i].width,
                           segments[i].height, colour);
        }
    }
}

void draw_number(const picture *to, int x, int y, int size, uint32_t number, int digits,
                 draw_colour colour)
{
    for (int place = digits - 1; place >= 0; place--, number /= 10) {
        draw_digit(to, x + place * (size + size / 2), y, size, (int)(number % 10), colour);
    }
}
