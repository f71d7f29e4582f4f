#include "sheet.h"

#include <stdio.h>
#include <string.h>

enum { MARGIN = 24, GAP = 16, LABEL_GAP = 7, GLYPH_WIDTH = 5, GLYPH_HEIGHT = 7 };
#define SHEET_BYTES_MAX ((uint64_t)256 << 20)

static const uint8_t paper[3] = {22, 24, 29}, frame[3] = {58, 63, 74}, ink[3] = {203, 208, 219};

/* ---- which images */

rm_status sheet_init(sheet *s, int columns, uint32_t images_max, uint64_t every, rm_error *err)
{
    *s = (sheet){.columns = columns,
                 .count_max = images_max,
                 .step = every ? every : 1,
                 .thins_out = every == 0 && images_max > 1};
    s->entries = rm_alloc(images_max * sizeof *s->entries);
    return s->entries ? RM_OK
                      : rm_fail(err, RM_ENOMEM, "no memory for a sheet of %u images", images_max);
}

void sheet_fini(sheet *s)
{
    for (uint32_t i = 0; s->entries && i < s->count; i++) {
        image_free(&s->entries[i].image);
    }
    rm_free(s->entries);
    s->entries = NULL;
    s->count = 0;
}

bool sheet_is_full(const sheet *s)
{
    return s->count == s->count_max && !s->thins_out;
}

bool sheet_wants(const sheet *s, uint64_t number)
{
    return number % s->step == 0;
}

static void thin_out(sheet *s)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (i % 2) {
            image_free(&s->entries[i].image);
        } else {
            s->entries[kept++] = s->entries[i];
        }
    }
    s->count = kept;
    s->step *= 2;
}

static rm_status check_size(const sheet *s, const image *cell, rm_error *err)
{
    uint64_t rows = (s->count_max + (uint32_t)s->columns - 1) / (uint32_t)s->columns;
    uint64_t bytes = 3 * rows * (uint64_t)s->columns * (uint64_t)(cell->width + GAP) *
                     (uint64_t)(cell->height + GAP + LABEL_GAP + 3 * GLYPH_HEIGHT);
    if (bytes <= SHEET_BYTES_MAX) {
        return RM_OK;
    }
    rm_status status = rm_fail(
        err, RM_ELIMIT, "a sheet of %u images of %d x %d pixels takes %llu MiB, want 256 at most",
        s->count_max, cell->width, cell->height, (unsigned long long)(bytes >> 20));
    rm_error_help(err, "video.scale width=320 before it makes them smaller");
    return status;
}

rm_status sheet_add(sheet *s, image *takes, int64_t pts_ns, uint64_t number, rm_error *err)
{
    rm_status status = s->count == 0 ? check_size(s, takes, err) : RM_OK;
    if (status == RM_OK && s->count == s->count_max) {
        thin_out(s);
    }
    if (status != RM_OK || !sheet_wants(s, number)) {
        image_free(takes);
        return status;
    }
    s->entries[s->count++] = (sheet_entry){*takes, pts_ns, number};
    takes->pixels = NULL;
    return RM_OK;
}

/* ---- the text */

typedef struct glyph {
    char character;
    uint8_t rows[GLYPH_HEIGHT]; /* bit 4 is the left column */
} glyph;

static const glyph glyphs[] = {
    {'0', {0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e}},
    {'1', {0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e}},
    {'2', {0x0e, 0x11, 0x01, 0x06, 0x08, 0x10, 0x1f}},
    {'3', {0x0e, 0x11, 0x01, 0x06, 0x01, 0x11, 0x0e}},
    {'4', {0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02}},
    {'5', {0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e}},
    {'6', {0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e}},
    {'7', {0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08}},
    {'8', {0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e}},
    {'9', {0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c}},
    {':', {0x00, 0x0c, 0x0c, 0x00, 0x0c, 0x0c, 0x00}},
    {'.', {0x00, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x0c}},
    {'-', {0x00, 0x00, 0x00, 0x0e, 0x00, 0x00, 0x00}},
    {'#', {0x0a, 0x0a, 0x1f, 0x0a, 0x1f, 0x0a, 0x0a}},
};

static void fill(const image *to, int x, int y, int width, int height, const uint8_t colour[3])
{
    for (int row = y; row < y + height; row++) {
        uint8_t *pixel = to->pixels + ((size_t)row * (size_t)to->width + (size_t)x) * 3;
        for (int i = 0; i < width; i++, pixel += 3) {
            memcpy(pixel, colour, 3);
        }
    }
}

static const glyph *glyph_of(char character)
{
    for (size_t i = 0; i < sizeof glyphs / sizeof glyphs[0]; i++) {
        if (glyphs[i].character == character) {
            return &glyphs[i];
        }
    }
    return NULL;
}

static void write_text(const image *to, int x, int y, int size, const char *text)
{
    for (; *text; text++, x += (GLYPH_WIDTH + 1) * size) {
        const glyph *shape = glyph_of(*text);
        for (int i = 0; shape && i < GLYPH_WIDTH * GLYPH_HEIGHT; i++) {
            int column = i % GLYPH_WIDTH, row = i / GLYPH_WIDTH;
            if (shape->rows[row] >> (GLYPH_WIDTH - 1 - column) & 1) {
                fill(to, x + column * size, y + row * size, size, size, ink);
            }
        }
    }
}

/* 0:04.4, 1:02:03.4; without a time the number of the picture. */
static void label_of(const sheet_entry *entry, char *text, size_t size)
{
    int64_t tenths = (entry->pts_ns < 0 ? 0 : entry->pts_ns) / 100000000;
    int seconds = (int)(tenths / 10 % 60), minutes = (int)(tenths / 600 % 60);
    long long hours = (long long)(tenths / 36000);
    if (entry->pts_ns == RM_TIME_NONE) {
        snprintf(text, size, "#%llu", (unsigned long long)entry->number);
    } else if (hours) {
        snprintf(text, size, "%lld:%02d:%02d.%d", hours, minutes, seconds, (int)(tenths % 10));
    } else {
        snprintf(text, size, "%d:%02d.%d", minutes, seconds, (int)(tenths % 10));
    }
}

/* ---- the sheet */

/* The size of all cells: that of the first image. An image of another size is cut, or in the
 * middle. */
static void put_image(const image *to, int x, int y, const image *cell, const image *from)
{
    int width = from->width < cell->width ? from->width : cell->width;
    int height = from->height < cell->height ? from->height : cell->height;
    int to_x = x + (cell->width - width) / 2, to_y = y + (cell->height - height) / 2;
    int from_x = (from->width - width) / 2, from_y = (from->height - height) / 2;
    fill(to, x - 1, y - 1, cell->width + 2, cell->height + 2, frame);
    for (int row = 0; row < height; row++) {
        memcpy(to->pixels + ((size_t)(to_y + row) * (size_t)to->width + (size_t)to_x) * 3,
               from->pixels + ((size_t)(from_y + row) * (size_t)from->width + (size_t)from_x) * 3,
               (size_t)width * 3);
    }
}

/* How many images are shown: of those that were thinned out, as many as fill whole rows. */
static uint32_t shown_count(const sheet *s)
{
    uint32_t columns = (uint32_t)s->columns;
    bool cuts = s->thins_out && s->step > 1 && s->count > columns;
    return cuts ? s->count - s->count % columns : s->count;
}

rm_status sheet_draw(const sheet *s, image *ret_image, rm_error *err)
{
    const image *cell = &s->entries[0].image;
    uint32_t shown = shown_count(s);
    int columns = shown < (uint32_t)s->columns ? (int)shown : s->columns;
    int rows = ((int)shown + columns - 1) / columns;
    int size = cell->width >= 200 ? 2 : 1;
    int pitch_x = cell->width + GAP;
    int pitch_y = cell->height + LABEL_GAP + GLYPH_HEIGHT * size + GAP;
    image to = {0};
    rm_status status = image_new(2 * MARGIN - GAP + columns * pitch_x,
                                 2 * MARGIN - GAP + rows * pitch_y, 3, &to, err);
    if (status != RM_OK) {
        return status;
    }
    fill(&to, 0, 0, to.width, to.height, paper);
    for (uint32_t i = 0; i < shown; i++) {
        const sheet_entry *entry = &s->entries[(uint64_t)i * s->count / shown];
        int x = MARGIN + (int)i % columns * pitch_x, y = MARGIN + (int)i / columns * pitch_y;
        char text[32];
        put_image(&to, x, y, cell, &entry->image);
        label_of(entry, text, sizeof text);
        if ((int)strlen(text) * (GLYPH_WIDTH + 1) * size <= cell->width) {
            write_text(&to, x, y + cell->height + LABEL_GAP, size, text);
        }
    }
    *ret_image = to;
    return RM_OK;
}
