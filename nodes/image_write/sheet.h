/* sheet.h — a contact sheet: small images in rows, each with its time below.
 *
 *     sheet_init() ─▶ sheet_wants() ─▶ sheet_add() … ─▶ sheet_draw() ─▶ sheet_fini()
 *
 * How many images will come is not known before. With `every` 0 the sheet takes each one; when it
 * is full it drops every second one and goes on with half as many, so that it spans all that came.
 *
 * Ownership: the sheet owns its images. Threads: one at a time.
 */
#ifndef IMAGE_WRITE_SHEET_H
#define IMAGE_WRITE_SHEET_H

#include "image.h"

enum { SHEET_IMAGES_MAX = 1000, SHEET_COLUMNS_MAX = 50 };

typedef struct sheet_entry {
    image image;
    int64_t pts_ns;
    uint64_t number; /* of the picture, from 0 */
} sheet_entry;

typedef struct sheet {
    int columns;
    uint32_t count, count_max;
    uint64_t step; /* takes the pictures whose number this divides */
    bool thins_out;
    sheet_entry *entries;
} sheet;

/* images_max: 1 to SHEET_IMAGES_MAX. every 0: thins out. RM_ENOMEM. */
rm_status sheet_init(sheet *s, int columns, uint32_t images_max, uint64_t every, rm_error *err);
void sheet_fini(sheet *s);

/* Full, and does not thin out. */
bool sheet_is_full(const sheet *s);
bool sheet_wants(const sheet *s, uint64_t number);

/* Takes the image, also on failure. Fails with RM_ELIMIT where the sheet would be larger than 256
 * MiB. */
rm_status sheet_add(sheet *s, image *takes, int64_t pts_ns, uint64_t number, rm_error *err);

/* At least one image is there. */
rm_status sheet_draw(const sheet *s, image *ret_image, rm_error *err);

#endif
