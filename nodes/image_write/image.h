/* image.h — a still image in memory, and how a picture becomes one.
 *
 * Ownership: an image owns its pixels; image_free() accepts zeros. Threads: one at a time an image.
 */
#ifndef IMAGE_WRITE_IMAGE_H
#define IMAGE_WRITE_IMAGE_H

#include "../video_packet.h"

/* Rows without gaps, top first; bytes grey, R G B, or R G B A. */
typedef struct image {
    int width, height;
    int channels; /* 1, 3 or 4 */
    uint8_t *pixels;
} image;

typedef enum image_kind { IMAGE_AS_IT_IS = 0, IMAGE_RGB = 3 } image_kind;

/* Black, transparent. RM_ENOMEM. */
rm_status image_new(int width, int height, int channels, image *ret_image, rm_error *err);
void image_free(image *done);

/* The picture of a packet that video_check() has passed, upright. Colours by the header's matrix
 * and range, rounded to the nearest level; unknown: BT.601, BT.709 from 720 rows on; limited for
 * YUV, full for grey. kind IMAGE_RGB: three channels whatever it is. */
rm_status image_of_packet(const rm_packet *packet, image_kind kind, image *ret_image,
                          rm_error *err);

#endif
