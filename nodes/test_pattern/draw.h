/* draw.h — rectangles and figures in pictures of any layout, by integers alone: the same
 * everywhere.
 *
 * Threads: any, one call at a time for what is written.
 */
#ifndef TEST_PATTERN_DRAW_H
#define TEST_PATTERN_DRAW_H

#include "../video_packet.h"

/* What a picture's bytes are for one colour: Y U V, R G B A, or grey. */
typedef struct draw_colour {
    uint8_t component[4];
} draw_colour;

/* R, G, B of 0 to 255 in a layout; matrix: VIDEO_MATRIX_BT709, or BT.601 for any other. YUV is of
 * limited range. */
draw_colour draw_rgb(uint32_t fourcc, uint8_t matrix, int red, int green, int blue);

/* In pixels; x, y: top left. */
typedef struct draw_box {
    int x, y, width, height;
} draw_box;

/* Fills a rectangle; its sides are cut to even numbers and to the picture. */
void draw_rectangle(const picture *to, draw_box box, draw_colour colour);

/* The decimal digits of a number, seven segments each, right-aligned in `digits` places with
 * leading zeros. first: of the first place, twice as high as wide; the gap is half its width. */
void draw_number(const picture *to, draw_box first, uint32_t number, int digits,
                 draw_colour colour);

#endif
