#include "pixels.h"

#include <stddef.h>

#include <libyuv.h>
#include <libyuv/scale_rgb.h>

/* libyuv names RGB layouts by the word, we by the bytes: its ABGR is our RGBA, its RAW our RGB24.
 * Towards RGB it has matrices for ARGB and RGB24 only; with U and V exchanged, and the mirrored
 * constants, red and blue change places. */

bool pixels_scale(const picture *from, const picture *to, pixels_filter filter)
{
    enum FilterMode mode = (enum FilterMode)filter;
    uint8_t *const *f = from->plane, *const *t = to->plane;
    const int *fs = from->stride, *ts = to->stride;
    switch (from->fourcc) {
    case RM_FOURCC_I420:
        return I420Scale(f[0], fs[0], f[1], fs[1], f[2], fs[2], from->width, from->height, t[0],
                         ts[0], t[1], ts[1], t[2], ts[2], to->width, to->height, mode) == 0;
    case RM_FOURCC_NV12:
        return NV12Scale(f[0], fs[0], f[1], fs[1], from->width, from->height, t[0], ts[0], t[1],
                         ts[1], to->width, to->height, mode) == 0;
    case RM_FOURCC_RGB24:
        return RGBScale(f[0], fs[0], from->width, from->height, t[0], ts[0], to->width, to->height,
                        mode) == 0;
    case RM_FOURCC_RGBA:
        return ARGBScale(f[0], fs[0], from->width, from->height, t[0], ts[0], to->width, to->height,
                         mode) == 0;
    default:
        ScalePlane(f[0], fs[0], from->width, from->height, t[0], ts[0], to->width, to->height,
                   mode);
        return true;
    }
}

static const struct YuvConstants *mirrored_constants(uint8_t matrix, uint8_t range)
{
    bool is_full = range == VIDEO_RANGE_FULL;
    switch (matrix) {
    case VIDEO_MATRIX_BT709: return is_full ? &kYvuF709Constants : &kYvuH709Constants;
    case VIDEO_MATRIX_BT2020: return is_full ? &kYvuV2020Constants : &kYvu2020Constants;
    default: return is_full ? &kYvuJPEGConstants : &kYvuI601Constants;
    }
}

static bool to_i420(const picture *from, const picture *to)
{
    uint8_t *const *f = from->plane, *const *t = to->plane;
    const int *fs = from->stride, *ts = to->stride;
    int w = from->width, h = from->height;
    switch (from->fourcc) {
    case RM_FOURCC_NV12:
        return NV12ToI420(f[0], fs[0], f[1], fs[1], t[0], ts[0], t[1], ts[1], t[2], ts[2], w, h) ==
               0;
    case RM_FOURCC_RGB24:
        return RAWToI420(f[0], fs[0], t[0], ts[0], t[1], ts[1], t[2], ts[2], w, h) == 0;
    case RM_FOURCC_RGBA:
        return ABGRToI420(f[0], fs[0], t[0], ts[0], t[1], ts[1], t[2], ts[2], w, h) == 0;
    default: return I400ToI420(f[0], fs[0], t[0], ts[0], t[1], ts[1], t[2], ts[2], w, h) == 0;
    }
}

static bool from_i420(const picture *from, const picture *to, const struct YuvConstants *mirrored)
{
    uint8_t *const *f = from->plane, *const *t = to->plane;
    const int *fs = from->stride, *ts = to->stride;
    int w = from->width, h = from->height;
    switch (to->fourcc) {
    case RM_FOURCC_NV12:
        return I420ToNV12(f[0], fs[0], f[1], fs[1], f[2], fs[2], t[0], ts[0], t[1], ts[1], w, h) ==
               0;
    case RM_FOURCC_RGB24:
        return I420ToRGB24Matrix(f[0], fs[0], f[2], fs[2], f[1], fs[1], t[0], ts[0], mirrored, w,
                                 h) == 0;
    case RM_FOURCC_RGBA:
        return I420ToARGBMatrix(f[0], fs[0], f[2], fs[2], f[1], fs[1], t[0], ts[0], mirrored, w,
                                h) == 0;
    default: CopyPlane(f[0], fs[0], t[0], ts[0], w, h); return true;
    }
}

static bool is_luma_first(uint32_t fourcc)
{
    return !video_is_rgb(fourcc);
}

bool pixels_convert_needs_i420(uint32_t from, uint32_t to)
{
    bool is_direct = from == RM_FOURCC_I420 || to == RM_FOURCC_I420 ||
                     (video_is_rgb(from) && video_is_rgb(to)) ||
                     (to == RM_FOURCC_GRAY8 && is_luma_first(from));
    return !is_direct;
}

bool pixels_convert(const picture *from, const picture *to, uint8_t matrix, uint8_t range,
                    const picture *between)
{
    const struct YuvConstants *mirrored = mirrored_constants(matrix, range);
    int w = from->width, h = from->height;
    if (video_is_rgb(from->fourcc) && video_is_rgb(to->fourcc)) {
        /* These two only add or drop a byte a pixel: the order of the other three does not matter.
         */
        return (to->fourcc == RM_FOURCC_RGBA ? RGB24ToARGB(from->plane[0], from->stride[0],
                                                           to->plane[0], to->stride[0], w, h)
                                             : ARGBToRGB24(from->plane[0], from->stride[0],
                                                           to->plane[0], to->stride[0], w, h)) == 0;
    }
    if (from->fourcc == RM_FOURCC_I420 ||
        (to->fourcc == RM_FOURCC_GRAY8 && is_luma_first(from->fourcc))) {
        return from_i420(from, to, mirrored);
    }
    if (to->fourcc == RM_FOURCC_I420) {
        return to_i420(from, to);
    }
    return to_i420(from, between) && from_i420(between, to, mirrored);
}

void pixels_blacken(const picture *to, uint8_t range)
{
    uint32_t luma = range == VIDEO_RANGE_FULL ? 0 : 16;
    int rows, bytes;
    if (to->fourcc == RM_FOURCC_RGBA) {
        ARGBRect(to->plane[0], to->stride[0], 0, 0, to->width, to->height, 0xff000000u);
        return;
    }
    for (unsigned p = 0;
         p < VIDEO_PLANES_MAX && video_plane(to->fourcc, to->width, to->height, p, &rows, &bytes);
         p++) {
        uint32_t value = p ? 128 : to->fourcc == RM_FOURCC_RGB24 ? 0 : luma;
        SetPlane(to->plane[p], to->stride[p], bytes, rows, value);
    }
}
