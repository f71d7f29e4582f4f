/* geometry.h — which size a picture gets, and where in the result it lies.
 *
 * Threads: any; pure functions.
 */
#ifndef VIDEO_SCALE_GEOMETRY_H
#define VIDEO_SCALE_GEOMETRY_H

#include "../video_packet.h"

typedef enum aspect { ASPECT_STRETCH = 0, ASPECT_FIT = 1, ASPECT_PAD = 2 } aspect;

typedef struct geometry {
    int width, height;                   /* of the result */
    int x, y, inner_width, inner_height; /* the picture within it; x and y are even */
} geometry;

/* width, height: what was asked for; 0: not given. One alone gives the other its due; sides that
 * are calculated are even. The sizes of the source are 1 or more. */
geometry geometry_of(int from_width, int from_height, int width, int height, aspect how);

enum { HALVINGS_MAX = 14 };

/* True where each pixel of the result is the mean of a whole number of pixels. */
bool geometry_is_whole(int from_width, int from_height, int width, int height);

/* How often to halve a picture before the last, bilinear step: that looks at 2 x 2 pixels, and
 * skips what lies between when it shrinks by much more than 2. 0 where sizes are whole multiples.
 */
int geometry_halvings(int from_width, int from_height, int width, int height);

/* The pixel shape that keeps what is seen in shape. */
void geometry_pixel_shape(const geometry *to, const rm_format_line *from, rm_format_line *ret_line);

#endif
