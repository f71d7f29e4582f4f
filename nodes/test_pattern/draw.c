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

static int pixel_bytes(uint32_t fourcc, bool is_chroma)
{
    switch (fourcc) {
    case RM_FOURCC_RGB24: return 3;
    case RM_FOURCC_RGBA: return 4;
    case RM_FOURCC_NV12: return is_chroma ? 2 : 1; /* U and V side by side */
    default: return 1;
    }
}

static void fill_plane(const picture *to, unsigned plane, draw_box box, draw_colour colour)
{
    int bytes = pixel_bytes(to->fourcc, plane > 0);
    if (plane > 0) { /* the last column and row of an odd picture have chroma too */
        box = (draw_box){box.x / 2, box.y / 2, (box.width + 1) / 2, (box.height + 1) / 2};
    }
    uint8_t *row = to->plane[plane] + (ptrdiff_t)box.y * to->stride[plane] + box.x * bytes;
    for (int y = 0; y < box.height; y++, row += to->stride[plane]) {
        fill_row(row, box.width, bytes, colour.component + plane);
    }
}

static int cut(int value, int limit)
{
    return value < 0 ? 0 : value < limit ? value & ~1 : limit;
}

void draw_rectangle(const picture *to, draw_box box, draw_colour colour)
{
    int left = cut(box.x, to->width), right = cut(box.x + box.width, to->width);
    int top = cut(box.y, to->height), bottom = cut(box.y + box.height, to->height);
    for (unsigned p = 0; p < VIDEO_PLANES_MAX && to->plane[p] && right > left; p++) {
        fill_plane(to, p, (draw_box){left, top, right - left, bottom - top}, colour);
    }
}

/*  _0_
 * 5   1      bit n of a digit: segment n is lit
 *  _6_
 * 4   2
 *  _3_  */
static const uint8_t segments_of[10] = {0x3f, 0x06, 0x5b, 0x4f, 0x66, 0x6d, 0x7d, 0x07, 0x7f, 0x6f};

static void draw_digit(const picture *to, draw_box box, int digit, draw_colour colour)
{
    int size = box.width, tall = box.height, line = size / 5 < 2 ? 2 : size / 5 & ~1;
    const draw_box segments[7] = {
        {box.x, box.y, size, line},
        {box.x + size - line, box.y, line, size},
        {box.x + size - line, box.y + size, line, size},
        {box.x, box.y + tall - line, size, line},
        {box.x, box.y + size, line, size},
        {box.x, box.y, line, size},
        {box.x, box.y + size - line / 2, size, line},
    };
    for (int i = 0; i < 7; i++) {
        if (segments_of[digit] >> i & 1) {
            draw_rectangle(to, segments[i], colour);
        }
    }
}

void draw_number(const picture *to, draw_box first, uint32_t number, int digits, draw_colour colour)
{
    for (int place = digits - 1; place >= 0; place--, number /= 10) {
        draw_box box = first;
        box.x += place * (first.width + first.width / 2);
        draw_digit(to, box, (int)(number % 10), colour);
    }
}
