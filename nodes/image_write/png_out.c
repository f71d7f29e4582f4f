#include "png_out.h"

#include <setjmp.h>
#include <string.h>

#include <png.h>

enum { FIRST_BYTES = 1 << 16, COMPRESSION_LEVEL = 6 };

/* What libpng's functions are called with. */
typedef struct encoder {
    png_bytes bytes;
    char message[128];
    bool no_memory;
    jmp_buf failed;
} encoder;

static void on_error(png_structp png, png_const_charp message)
{
    encoder *e = png_get_error_ptr(png);
    size_t length = strnlen(message, sizeof e->message - 1);
    memcpy(e->message, message, length);
    e->message[length] = 0;
    longjmp(e->failed, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    rm_log(RM_LOG_DEBUG, "image.write", "libpng: %s", message);
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t bytes)
{
    encoder *e = png_get_mem_ptr(png);
    void *memory = rm_alloc(bytes);
    e->no_memory |= !memory;
    return memory;
}

static void on_free(png_structp png, png_voidp memory)
{
    (void)png;
    rm_free(memory);
}

static void on_write(png_structp png, png_bytep data, size_t length)
{
    encoder *e = png_get_io_ptr(png);
    png_bytes *to = &e->bytes;
    if (to->capacity - to->length < length) {
        size_t capacity = to->capacity ? to->capacity : FIRST_BYTES;
        while (capacity - to->length < length) {
            capacity *= 2;
        }
        uint8_t *larger = rm_alloc(capacity);
        if (!larger) {
            e->no_memory = true;
            png_error(png, "no memory");
        }
        if (to->length) {
            memcpy(larger, to->data, to->length);
        }
        rm_free(to->data);
        to->data = larger;
        to->capacity = capacity;
    }
    memcpy(to->data + to->length, data, length);
    to->length += length;
}

static void on_flush(png_structp png)
{
    (void)png;
}

static void write_all(png_structp png, png_infop info, const image *from, uint16_t sar_num,
                      uint16_t sar_den)
{
    int colour = from->channels == 1   ? PNG_COLOR_TYPE_GRAY
                 : from->channels == 3 ? PNG_COLOR_TYPE_RGB
                                       : PNG_COLOR_TYPE_RGB_ALPHA;
    png_set_compression_level(png, COMPRESSION_LEVEL);
    png_set_IHDR(png, info, (png_uint_32)from->width, (png_uint_32)from->height, 8, colour,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (sar_num && sar_den && sar_num != sar_den) {
        /* Pixels a unit: the wider a pixel, the fewer. */
        png_set_pHYs(png, info, sar_den, sar_num, PNG_RESOLUTION_UNKNOWN);
    }
    png_write_info(png, info);
    for (int y = 0; y < from->height; y++) {
        png_write_row(png, from->pixels + (size_t)y * (size_t)from->width * (size_t)from->channels);
    }
    png_write_end(png, info);
}

/* False: libpng has failed, and jumped back here. No variable of this frame changes after setjmp().
 */
static bool encode(encoder *e, const image *from, uint16_t sar_num, uint16_t sar_den,
                   png_structp *png, png_infop *info)
{
    if (setjmp(e->failed)) {
        return false;
    }
    *png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, e, on_error, on_warning, e, on_malloc,
                                     on_free);
    if (!*png) {
        return false;
    }
    *info = png_create_info_struct(*png);
    if (!*info) {
        return false;
    }
    png_set_write_fn(*png, e, on_write, on_flush);
    write_all(*png, *info, from, sar_num, sar_den);
    return true;
}

rm_status png_encode(const image *from, uint16_t sar_num, uint16_t sar_den, png_bytes *ret_bytes,
                     rm_error *err)
{
    encoder *e = rm_alloc(sizeof *e);
    png_structp png = NULL;
    png_infop info = NULL;
    rm_status status = RM_OK;
    if (!e) {
        return rm_fail(err, RM_ENOMEM, "no memory for a PNG encoder");
    }
    bool done = encode(e, from, sar_num, sar_den, &png, &info);
    png_destroy_write_struct(&png, &info);
    if (done) {
        *ret_bytes = e->bytes;
    } else {
        png_bytes_free(&e->bytes);
        status = e->no_memory || !e->message[0]
                     ? rm_fail(err, RM_ENOMEM, "no memory to make a PNG image of %d x %d pixels",
                               from->width, from->height)
                     : rm_fail(err, RM_EFAIL, "libpng cannot make an image of %d x %d pixels: %s",
                               from->width, from->height, e->message);
    }
    rm_free(e);
    return status;
}

void png_bytes_free(png_bytes *bytes)
{
    rm_free(bytes->data);
    *bytes = (png_bytes){NULL, 0, 0};
}
