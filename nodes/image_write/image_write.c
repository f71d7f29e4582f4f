/* image.write — pictures as PNG files: one, numbered ones, or a contact sheet. */
#include <limits.h>
#include <stdio.h>

#include "../file_out.h"
#include "png_out.h"
#include "sheet.h"

enum { SHEET_ROWS = 6, COME_BACK_NS = 1000000, NUMBER_DIGITS_MAX = 9 };

typedef struct write_params {
    const char *path;
    int64_t every, pictures, columns;
} write_params;

/* Where the number of a picture stands in the path. */
typedef struct numbering {
    bool is_there;
    int digits;       /* at least so many, with leading zeros */
    size_t at, after; /* bytes before it; where the rest begins */
} numbering;

typedef struct writer {
    numbering number;
    uint64_t seen, written; /* pictures; files */
    sheet sheet;
    png_bytes png; /* what is being written */
    size_t done;   /* of png */
    bool is_open;
    file_out file;
    char path[PATH_MAX];
} writer;

/* ---- paths */

/* Finds %d, %3d or %03d, once. */
static rm_status find_number(const char *path, numbering *ret_number, rm_error *err)
{
    *ret_number = (numbering){.is_there = false};
    for (size_t i = 0; path[i]; i++) {
        if (path[i] != '%') {
            continue;
        }
        size_t end = i + 1;
        int digits = 0;
        while (path[end] >= '0' && path[end] <= '9' && digits <= NUMBER_DIGITS_MAX) {
            digits = digits * 10 + (path[end++] - '0');
        }
        if (path[end] != 'd' || digits > NUMBER_DIGITS_MAX || ret_number->is_there) {
            return rm_fail_as(err, RM_CODE_PARAM_RANGE,
                              "path is '%.300s', want one %%d or %%03d at most, of 1 to 9 digits",
                              path);
        }
        *ret_number = (numbering){true, digits, i, end + 1};
    }
    return RM_OK;
}

static rm_status next_path(writer *w, const write_params *params, rm_error *err)
{
    const numbering *n = &w->number;
    int length = n->is_there ? snprintf(w->path, sizeof w->path, "%.*s%0*llu%s", (int)n->at,
                                        params->path, n->digits, (unsigned long long)w->written + 1,
                                        params->path + n->after)
                             : snprintf(w->path, sizeof w->path, "%s", params->path);
    if (length < 0 || (size_t)length >= sizeof w->path) {
        return rm_fail_as(err, RM_CODE_PARAM_RANGE, "path has %zu bytes, want at most %zu",
                          strlen(params->path), sizeof w->path - 1);
    }
    return RM_OK;
}

/* Nothing is opened before there is something to write; that it can be is asked at once. */
static rm_status check_folder(const char *path, rm_error *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    struct stat about;
    if (strcmp(path, "-") == 0) {
        return RM_OK;
    }
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1,
             slash ? path : ".");
    int os_errno = access(folder, W_OK | X_OK) != 0 ? errno : 0;
    if (!os_errno && stat(path, &about) == 0 && S_ISDIR(about.st_mode)) {
        os_errno = EISDIR;
    }
    return os_errno ? rm_fail_as(err, RM_CODE_MEDIA_WRITE, "cannot write '%.300s': %s", path,
                                 strerror(os_errno))
                    : RM_OK;
}

/* ---- open and close */

static uint32_t sheet_images(const write_params *params)
{
    int64_t count = params->pictures ? params->pictures : params->columns * SHEET_ROWS;
    return (uint32_t)(count < SHEET_IMAGES_MAX ? count : SHEET_IMAGES_MAX);
}

static rm_status image_open(rm_node *node, rm_error *err)
{
    const write_params *params = node->params;
    writer *w = node->state;
    rm_status status = find_number(params->path, &w->number, err);
    if (status == RM_OK && params->columns > 0 && w->number.is_there) {
        status =
            rm_fail_as(err, RM_CODE_PARAM_RANGE,
                       "path is '%.300s' and columns is %lld: a sheet is one file, want no %%d",
                       params->path, (long long)params->columns);
    }
    if (status == RM_OK) {
        status = next_path(w, params, err);
    }
    if (status == RM_OK) {
        status = check_folder(w->path, err);
    }
    if (status == RM_OK && params->columns > 0) {
        status = sheet_init(&w->sheet, (int)params->columns, sheet_images(params),
                            (uint64_t)params->every, err);
    }
    return status;
}

/* A file that was not written to its end is no image. */
static void discard_file(writer *w)
{
    if (w->is_open) {
        file_out_discard(&w->file);
        w->is_open = false;
    }
    png_bytes_free(&w->png);
}

static void image_close(rm_node *node)
{
    writer *w = node->state;
    discard_file(w);
    sheet_fini(&w->sheet);
}

/* ---- writing */

/* From png to the file. RM_EAGAIN: a pipe is full, a timer is set. */
static rm_status write_on(rm_node *node, writer *w, rm_error *err)
{
    rm_status status = RM_OK;
    if (!w->is_open) {
        status = file_out_open(&w->file, w->path, err);
        w->is_open = status == RM_OK;
        w->done = 0;
    }
    if (status == RM_OK) {
        status = file_out_write(&w->file, w->png.data, w->png.length, &w->done, err);
    }
    if (status == RM_EAGAIN) {
        rm_node_wake_at(node, rm_node_now(node) + COME_BACK_NS);
        return status;
    }
    if (status == RM_OK) {
        status = file_out_finish(&w->file, err);
        w->is_open = status != RM_OK;
    }
    if (status != RM_OK) {
        if (w->file.regular && w->done > 0) {
            rm_error_help(err, "make room, or write elsewhere: the part of an image was removed");
        }
        discard_file(w);
        return status;
    }
    png_bytes_free(&w->png);
    w->written++;
    return RM_OK;
}

static rm_status encode_packet(writer *w, const rm_packet *packet, rm_error *err)
{
    const rm_format_line *line = &packet->header.format;
    bool is_lying = line->video.rotation & 1;
    image picture_image = {0};
    rm_status status = image_of_packet(packet, IMAGE_AS_IT_IS, &picture_image, err);
    if (status == RM_OK) {
        status = png_encode(&picture_image, is_lying ? line->video.sar_den : line->video.sar_num,
                            is_lying ? line->video.sar_num : line->video.sar_den, &w->png, err);
        image_free(&picture_image);
    }
    return status;
}

static rm_status write_picture(rm_node *node, writer *w, const rm_packet *packet, rm_error *err)
{
    const write_params *params = node->params;
    rm_status status = RM_OK;
    if (!w->png.data) {
        status = next_path(w, params, err);
        if (status == RM_OK) {
            status = encode_packet(w, packet, err);
        }
    }
    if (status == RM_OK) {
        status = write_on(node, w, err);
    }
    if (status != RM_OK) {
        return status;
    }
    w->seen++;
    bool is_last = !w->number.is_there || w->written == (uint64_t)params->pictures;
    return is_last ? RM_DONE : RM_OK;
}

static rm_status collect(writer *w, const rm_packet *packet, rm_error *err)
{
    image small = {0};
    rm_status status = image_of_packet(packet, IMAGE_RGB, &small, err);
    if (status == RM_OK) {
        status = sheet_add(&w->sheet, &small, packet->header.pts_ns, w->seen, err);
    }
    if (status != RM_OK) {
        return status;
    }
    w->seen++;
    return sheet_is_full(&w->sheet) ? RM_DONE : RM_OK;
}

static rm_status image_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const write_params *params = node->params;
    writer *w = node->state;
    const rm_packet *packet = inputs->packet[0];
    bool is_sheet = params->columns > 0;
    bool is_wanted = is_sheet ? sheet_wants(&w->sheet, w->seen)
                              : params->every == 0 || w->seen % (uint64_t)params->every == 0;
    if (!is_wanted) {
        w->seen++;
        return RM_OK;
    }
    rm_status status = video_check(packet, err);
    if (status != RM_OK) {
        return status;
    }
    return is_sheet ? collect(w, packet, err) : write_picture(node, w, packet, err);
}

static rm_status write_sheet(rm_node *node, writer *w, rm_error *err)
{
    image whole = {0};
    if (!w->png.data) {
        rm_status status = sheet_draw(&w->sheet, &whole, err);
        if (status == RM_OK) {
            status = png_encode(&whole, 1, 1, &w->png, err);
            image_free(&whole);
        }
        if (status != RM_OK) {
            return status;
        }
    }
    return write_on(node, w, err);
}

static rm_status image_flush(rm_node *node, rm_error *err)
{
    writer *w = node->state;
    if (w->sheet.count > 0) {
        return write_sheet(node, w, err);
    }
    if (w->written == 0) {
        rm_log(RM_LOG_WARNING, "image.write", "%s: no picture came, '%s' was not written", node->id,
               w->path);
    }
    return RM_OK;
}

/* What was begun for a picture that has gone is not finished. */
static rm_status image_control(rm_node *node, const rm_control *control, rm_error *err)
{
    (void)err;
    if (control->op == RM_CONTROL_INTERRUPT) {
        discard_file(node->state);
    }
    return RM_OK;
}

/* ---- the type */

static const rm_param write_table[] = {
    {.name = "path",
     .kind = RM_PARAM_STRING,
     .flags = RM_PARAM_REQUIRED,
     .offset = offsetof(write_params, path),
     .summary = "of the PNG file; with %03d in it a file a picture, numbered from 1; - is standard "
                "output"},
    {.name = "every",
     .kind = RM_PARAM_INT,
     .offset = offsetof(write_params, every),
     .default_json = "0",
     .min = 0,
     .max = 1e9,
     .summary = "takes the first of so many pictures; 0: each one; in a sheet, spread over all"},
    {.name = "pictures",
     .kind = RM_PARAM_INT,
     .offset = offsetof(write_params, pictures),
     .default_json = "0",
     .min = 0,
     .max = 1e9,
     .summary = "how many at most; 0: no bound; in a sheet, six rows (at most 1,000)"},
    {.name = "columns",
     .kind = RM_PARAM_INT,
     .offset = offsetof(write_params, columns),
     .default_json = "0",
     .min = 0,
     .max = SHEET_COLUMNS_MAX,
     .summary = "of a contact sheet, written at the end; 0: no sheet"},
    {0},
};

static const rm_port write_inputs[] = {
    {.name = "video",
     .formats = "video fourcc=I420,NV12,RGB3,RGBA,GREY",
     .summary = "pictures; a sheet takes them as small as they come"},
    {0}};

static void each_codec(void (*show)(void *context, const char *name), void *context)
{
    show(context, "png");
}

static const rm_node_type write_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "image.write",
    .summary = "Write pictures as PNG files, or as one contact sheet",
    .example =
        "test.pattern pictures=100 width=240 height=136 ! image.write path=sheet.png columns=4",
    .flags = RM_NODE_BLOCKS | RM_NODE_LATE,
    .inputs = write_inputs,
    .params = write_table,
    .params_size = sizeof(write_params),
    .state_size = sizeof(writer),
    .open = image_open,
    .process = image_process,
    .flush = image_flush,
    .close = image_close,
    .control = image_control,
    .each_codec = each_codec,
};

RM_MODULE("image.write", RM_VERSION, &write_type)
