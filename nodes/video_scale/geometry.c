#include "geometry.h"

static int even(double side)
{
    int rounded = (int)(side / 2 + 0.5) * 2;
    return rounded < 2 ? 2 : rounded > VIDEO_SIDE_MAX ? VIDEO_SIDE_MAX : rounded;
}

/* The largest picture in shape that fits; a side that limits it is taken exactly. */
static void fit(double shape, int width, int height, int *ret_width, int *ret_height)
{
    bool is_wide = shape * height >= width;
    int other = is_wide ? even(width / shape) : even(height * shape);
    *ret_width = is_wide ? width : other < width ? other : width;
    *ret_height = is_wide ? (other < height ? other : height) : height;
}

geometry geometry_of(int from_width, int from_height, int width, int height, aspect how)
{
    double shape = (double)from_width / from_height;
    geometry to = {from_width, from_height, 0, 0, from_width, from_height};
    if (width && height && how != ASPECT_STRETCH) {
        fit(shape, width, height, &to.inner_width, &to.inner_height);
    } else if (width || height) {
        to.inner_width = width ? width : even(height * shape);
        to.inner_height = height ? height : even(width / shape);
    }
    to.width = how == ASPECT_PAD && width ? width : to.inner_width;
    to.height = how == ASPECT_PAD && height ? height : to.inner_height;
    to.x = (to.width - to.inner_width) / 4 * 2;
    to.y = (to.height - to.inner_height) / 4 * 2;
    return to;
}

bool geometry_is_whole(int from_width, int from_height, int width, int height)
{
    return from_width % width == 0 && from_height % height == 0;
}

int geometry_halvings(int from_width, int from_height, int width, int height)
{
    int count = 0;
    while (2 * from_width >= 5 * width && 2 * from_height >= 5 * height &&
           !geometry_is_whole(from_width, from_height, width, height)) {
        from_width /= 2;
        from_height /= 2;
        count++;
    }
    return count;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a ? a : 1;
}

void geometry_pixel_shape(const geometry *to, const rm_format_line *from, rm_format_line *ret_line)
{
    bool is_known = from->video.sar_num && from->video.sar_den;
    uint64_t num = (uint64_t)from->video.width * (uint64_t)to->inner_height;
    uint64_t den = (uint64_t)from->video.height * (uint64_t)to->inner_width;
    /* Rounding a side to whole, even pixels is no change of shape. */
    double change = (double)num / (double)den;
    if (change > 0.98 && change < 1.02) {
        return;
    }
    num *= is_known ? from->video.sar_num : 1;
    den *= is_known ? from->video.sar_den : 1;
    uint64_t divisor = common_divisor(num, den);
    num /= divisor;
    den /= divisor;
    while (num > UINT16_MAX || den > UINT16_MAX) {
        num = (num + 1) / 2;
        den = (den + 1) / 2;
    }
    ret_line->video.sar_num = (uint16_t)num;
    ret_line->video.sar_den = (uint16_t)den;
}
