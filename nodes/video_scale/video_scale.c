/* video.scale — pictures to another size, layout and shape. */
#include <string.h>

#include "geometry.h"
#include "pixels.h"

typedef struct scale_params {
    int64_t width, height, filter, format, aspect;
} scale_params;

typedef struct scaler {
    rm_format_line from, to; /* of what came last, and what goes out for it */
    bool is_ready;
    geometry geometry;
    uint8_t matrix; /* of the YUV side */
    int halvings;   /* how many of half[] are used, each half the one before */
    picture half[HALVINGS_MAX];
    picture scaled;  /* the input's layout, the result's size; no planes where it is not needed */
    picture between; /* I420; likewise */
    void *scratch;
    uint64_t scratch_bytes;
} scaler;

/* In the order of the parameter's choices; 0: as it came. */
static const uint32_t formats[] = {
    0, RM_FOURCC_I420, RM_FOURCC_NV12, RM_FOURCC_RGB24, RM_FOURCC_RGBA, RM_FOURCC_GRAY8};

/* ---- plan */

static void fix(rm_field *field, int64_t value)
{
    *field = (rm_field){RM_FIELD_SET, 1, {value}};
}

static bool is_fixed(const rm_format *format, unsigned field)
{
    return format->kind == RM_KIND_VIDEO && format->field[field].mode == RM_FIELD_SET &&
           format->field[field].count == 1;
}

static rm_status check_params(const scale_params *params, rm_error *err)
{
    if (params->aspect != ASPECT_STRETCH && (params->width == 0 || params->height == 0)) {
        return rm_fail_as(
            err, RM_CODE_PARAM_MISSING, "aspect is %s, %s is not given, want both width and height",
            params->aspect == ASPECT_FIT ? "fit" : "pad", params->width == 0 ? "width" : "height");
    }
    return RM_OK;
}

static rm_status scale_plan(const void *params_, const rm_format *in, rm_format *out, rm_error *err)
{
    const scale_params *params = params_;
    rm_status status = check_params(params, err);
    if (status != RM_OK) {
        return status;
    }
    if (formats[params->format]) {
        fix(&out[0].field[0], formats[params->format]);
    } else if (is_fixed(&in[0], 0)) {
        fix(&out[0].field[0], in[0].field[0].value[0]);
    }
    bool is_known = is_fixed(&in[0], 1) && is_fixed(&in[0], 2) && in[0].field[1].value[0] > 0 &&
                    in[0].field[2].value[0] > 0;
    if (is_known) {
        geometry to = geometry_of((int)in[0].field[1].value[0], (int)in[0].field[2].value[0],
                                  (int)params->width, (int)params->height, (aspect)params->aspect);
        fix(&out[0].field[1], to.width);
        fix(&out[0].field[2], to.height);
        return RM_OK;
    }
    if (params->width && params->aspect != ASPECT_FIT) {
        fix(&out[0].field[1], params->width);
    }
    if (params->height && params->aspect != ASPECT_FIT) {
        fix(&out[0].field[2], params->height);
    }
    return RM_OK;
}

static rm_status scale_open(rm_node *node, rm_error *err)
{
    return check_params(node->params, err);
}

static void scale_close(rm_node *node)
{
    scaler *s = node->state;
    rm_free(s->scratch);
}

/* ---- a new format */

static void describe_result(const scale_params *params, scaler *s)
{
    rm_format_line *to = &s->to;
    const rm_format_line *from = &s->from;
    *to = *from;
    to->video.fourcc = formats[params->format] ? formats[params->format] : from->video.fourcc;
    to->video.width = (uint32_t)s->geometry.width;
    to->video.height = (uint32_t)s->geometry.height;
    geometry_pixel_shape(&s->geometry, from, to);
    s->matrix = video_matrix(from);
    if (video_is_rgb(to->video.fourcc)) {
        to->video.matrix = VIDEO_MATRIX_RGB;
        to->video.range = VIDEO_RANGE_FULL;
    } else if (video_is_rgb(from->video.fourcc)) {
        to->video.matrix = VIDEO_MATRIX_BT601;
        to->video.range = VIDEO_RANGE_LIMITED;
    } else if (video_matrix(to) != s->matrix) {
        to->video.matrix = s->matrix; /* another size must not change what "unknown" is taken for */
    }
}

/* Lays out all pictures that are needed on the way, one behind the other. Returns their bytes. With
 * memory NULL only these are told. */
static uint64_t lay_out_scratch(scaler *s, uint8_t *memory)
{
    const geometry *g = &s->geometry;
    uint32_t from = s->from.video.fourcc, to = s->to.video.fourcc;
    int width = (int)s->from.video.width, height = (int)s->from.video.height;
    bool scales = g->inner_width != width || g->inner_height != height;
    uint64_t at = 0;
    for (int i = 0; i < s->halvings; i++) {
        s->half[i] = (picture){from, width >>= 1, height >>= 1, {NULL}, {0}};
        at += video_lay_out(&s->half[i], memory ? memory + at : NULL);
    }
    s->scaled = (picture){from, g->inner_width, g->inner_height, {NULL}, {0}};
    if (scales && from != to) {
        at += video_lay_out(&s->scaled, memory ? memory + at : NULL);
    }
    s->between = (picture){RM_FOURCC_I420, g->inner_width, g->inner_height, {NULL}, {0}};
    if (from != to && pixels_convert_needs_i420(from, to)) {
        at += video_lay_out(&s->between, memory ? memory + at : NULL);
    }
    return at;
}

static rm_status make_scratch(const scale_params *params, scaler *s, rm_error *err)
{
    const geometry *g = &s->geometry;
    s->halvings = params->filter == FILTER_BOX
                      ? geometry_halvings((int)s->from.video.width, (int)s->from.video.height,
                                          g->inner_width, g->inner_height)
                      : 0;
    uint64_t bytes = lay_out_scratch(s, NULL);
    if (bytes > s->scratch_bytes) {
        rm_free(s->scratch);
        s->scratch = rm_alloc(bytes);
        s->scratch_bytes = s->scratch ? bytes : 0;
    }
    if (bytes > s->scratch_bytes) {
        return rm_fail(err, RM_ENOMEM, "no memory for a picture of %d x %d pixels", g->inner_width,
                       g->inner_height);
    }
    (void)lay_out_scratch(s, s->scratch);
    return RM_OK;
}

static rm_status prepare(const scale_params *params, scaler *s, const rm_format_line *line,
                         rm_error *err)
{
    if (s->is_ready && memcmp(&s->from, line, sizeof *line) == 0) {
        return RM_OK;
    }
    s->is_ready = false;
    s->from = *line;
    s->geometry = geometry_of((int)line->video.width, (int)line->video.height, (int)params->width,
                              (int)params->height, (aspect)params->aspect);
    describe_result(params, s);
    rm_status status = make_scratch(params, s, err);
    s->is_ready = status == RM_OK;
    return status;
}

/* ---- a picture */

static bool scale(const scaler *s, const picture *from, const picture *to, pixels_filter filter)
{
    for (int i = 0; i < s->halvings; i++) {
        if (!pixels_scale(from, &s->half[i], FILTER_BOX)) {
            return false;
        }
        from = &s->half[i];
    }
    /* libyuv's boxes have whole sides: between whole multiples they are worse than bilinear. */
    bool is_whole = geometry_is_whole(from->width, from->height, to->width, to->height);
    return pixels_scale(from, to, filter == FILTER_BOX && !is_whole ? FILTER_BILINEAR : filter);
}

static bool transform(const scaler *s, const picture *from, const picture *whole,
                      pixels_filter filter)
{
    const geometry *g = &s->geometry;
    uint8_t range = s->from.video.range;
    picture to = video_part(whole, g->x, g->y, g->inner_width, g->inner_height);
    bool scales = to.width != from->width || to.height != from->height;
    if (whole->width != to.width || whole->height != to.height) {
        pixels_blacken(whole, s->to.video.range);
    }
    if (from->fourcc == to.fourcc) {
        return scale(s, from, &to, scales ? filter : FILTER_NONE); /* in its size it is a copy */
    }
    if (!scales) {
        return pixels_convert(from, &to, s->matrix, range, &s->between);
    }
    return scale(s, from, &s->scaled, filter) &&
           pixels_convert(&s->scaled, &to, s->matrix, range, &s->between);
}

static bool is_as_wanted(const scaler *s)
{
    return s->to.video.fourcc == s->from.video.fourcc && s->to.video.width == s->from.video.width &&
           s->to.video.height == s->from.video.height &&
           s->geometry.inner_width == s->geometry.width &&
           s->geometry.inner_height == s->geometry.height;
}

static rm_status scale_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const scale_params *params = node->params;
    scaler *s = node->state;
    const rm_packet *in = inputs->packet[0];
    rm_status status = video_check(in, err);
    if (status == RM_OK) {
        status = prepare(params, s, &in->header.format, err);
    }
    if (status != RM_OK) {
        return status;
    }
    if (is_as_wanted(s)) {
        return rm_forward(node, 0);
    }
    rm_packet *out = NULL;
    status = video_packet_new(node, &s->to, &out, err);
    if (status != RM_OK) {
        return status;
    }
    picture from = video_picture(in), to = video_picture(out);
    if (!transform(s, &from, &to, (pixels_filter)params->filter)) {
        status = rm_fail(err, RM_EFAIL, "libyuv cannot bring %d x %d pixels to %d x %d", from.width,
                         from.height, to.width, to.height);
    }
    out->header.pts_ns = in->header.pts_ns;
    out->header.duration_ns = in->header.duration_ns;
    out->header.flags = in->header.flags;
    if (status == RM_OK && in->header.metadata_bytes) {
        status = rm_packet_set_metadata(out, in->metadata, in->header.metadata_bytes);
    }
    if (status != RM_OK) {
        rm_packet_unref(out);
        return status;
    }
    return rm_emit(node, 0, out);
}

/* ---- the type */

static const rm_param scale_table[] = {
    {.name = "width",
     .kind = RM_PARAM_INT,
     .offset = offsetof(scale_params, width),
     .default_json = "0",
     .min = 0,
     .max = VIDEO_SIDE_MAX,
     .unit = "pixels",
     .summary = "of the result; 0: by height, in shape, or as it came"},
    {.name = "height",
     .kind = RM_PARAM_INT,
     .offset = offsetof(scale_params, height),
     .default_json = "0",
     .min = 0,
     .max = VIDEO_SIDE_MAX,
     .unit = "pixels",
     .summary = "of the result; 0: by width, in shape, or as it came"},
    {.name = "aspect",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(scale_params, aspect),
     .default_json = "\"stretch\"",
     .choices = "stretch|fit|pad",
     .summary =
         "with width and height: exactly so; within them, in shape; in shape, with black bars"},
    {.name = "filter",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(scale_params, filter),
     .default_json = "\"box\"",
     .choices = "none|linear|bilinear|box",
     .summary = "nearest pixel; linear across; linear both ways; averages, linear when enlarging"},
    {.name = "format",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(scale_params, format),
     .default_json = "\"same\"",
     .choices = "same|I420|NV12|RGB3|RGBA|GREY",
     .summary = "layout of the pixels"},
    {0},
};

#define LAYOUTS "video fourcc=I420,NV12,RGB3,RGBA,GREY"

static const rm_port scale_inputs[] = {
    {.name = "video", .formats = LAYOUTS, .summary = "pictures of any size"}, {0}};
static const rm_port scale_outputs[] = {
    {.name = "video", .formats = LAYOUTS, .summary = "the same pictures in the size wanted"}, {0}};

static const rm_node_type scale_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "video.scale",
    .summary = "Bring pictures to another size or pixel layout",
    .example =
        "media.read path=film.mp4 ! video.scale width=320 ! image.write path=picture-%03d.png",
    .flags = RM_NODE_HEAVY | RM_NODE_PURE,
    .inputs = scale_inputs,
    .outputs = scale_outputs,
    .params = scale_table,
    .params_size = sizeof(scale_params),
    .state_size = sizeof(scaler),
    .plan = scale_plan,
    .open = scale_open,
    .process = scale_process,
    .close = scale_close,
};

RM_MODULE("video.scale", RM_VERSION, &scale_type)
