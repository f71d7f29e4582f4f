/* png_out.h — an image as PNG, in memory.
 *
 * Ownership: bytes own their data; png_bytes_free() accepts zeros. Threads: one at a time.
 */
#ifndef IMAGE_WRITE_PNG_OUT_H
#define IMAGE_WRITE_PNG_OUT_H

#include "image.h"

typedef struct png_bytes {
    uint8_t *data;
    size_t length, capacity;
} png_bytes;

/* sar_num, sar_den: shape of a pixel, noted in the file unless it is square or 0. Fails with
 * RM_ENOMEM; RM_EFAIL with libpng's words. */
rm_status png_encode(const image *from, uint16_t sar_num, uint16_t sar_den, png_bytes *ret_bytes,
                     rm_error *err);
void png_bytes_free(png_bytes *bytes);

#endif
