/* pixels.h — pictures to other sizes and layouts, by libyuv.
 *
 * Layouts: I420 NV12 RGB24 RGBA GREY8. Any two are converted, by way of I420 where there is no
 * shorter one.
 *
 * Threads: any, one call at a time for what is written.
 */
#ifndef VIDEO_SCALE_PIXELS_H
#define VIDEO_SCALE_PIXELS_H

#include "../video_packet.h"

/* The values of libyuv's FilterMode, and the parameter's choices. */
typedef enum pixels_filter {
    FILTER_NONE = 0,
    FILTER_LINEAR = 1,
    FILTER_BILINEAR = 2,
    FILTER_BOX = 3
} pixels_filter;

/* Between two pictures of one layout. False where libyuv refuses. */
bool pixels_scale(const picture *from, const picture *to, pixels_filter filter);

/* Between two pictures of one size. matrix and range: of the side that is YUV when the other is
 * RGB; towards YUV they are BT.601, limited. between: an I420 picture of the same size, needed
 * where pixels_convert_needs_i420() says so; may be NULL elsewhere. */
bool pixels_convert(const picture *from, const picture *to, uint8_t matrix, uint8_t range,
                    const picture *between);
bool pixels_convert_needs_i420(uint32_t from, uint32_t to);

/* Black, opaque. */
void pixels_blacken(const picture *to, uint8_t range);

#endif
