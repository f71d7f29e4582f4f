/* test.pattern — colour bars, a ramp, a number and something that moves. */
#include <string.h>

#include "draw.h"

enum { CODE_BITS = 32, SIDE_MIN = 32, DIGITS = 6 };

typedef struct pattern_params {
    int64_t width, height, rate_num, rate_den, pictures, format;
    bool paced;
} pattern_params;

typedef struct pattern {
    rm_format_line line;
    picture background; /* all that does not move */
    void *memory;       /* of background */
    uint64_t memory_bytes;
    uint64_t next, first; /* first: of this process */
    int64_t start_ns;     /* paced: when picture 0 left */
    draw_colour black, white;
} pattern;

/* In the order of the parameter's choices. */
static const uint32_t formats[] = {RM_FOURCC_I420, RM_FOURCC_NV12, RM_FOURCC_RGB24, RM_FOURCC_RGBA,
                                   RM_FOURCC_GRAY8};

static rm_status pattern_plan(const void *params_, const rm_format *in, rm_format *out,
                              rm_error *err)
{
    const pattern_params *params = params_;
    (void)in;
    (void)err;
    out[0].field[0] = (rm_field){RM_FIELD_SET, 1, {formats[params->format]}};
    out[0].field[1] = (rm_field){RM_FIELD_SET, 1, {params->width}};
    out[0].field[2] = (rm_field){RM_FIELD_SET, 1, {params->height}};
    return RM_OK;
}

/* ---- the picture, in sixths of its height: four of bars, one of a ramp, one of a code */

static void draw_background(const picture *to, uint8_t matrix)
{
    static const uint8_t bars[8][3] = {{191, 191, 191}, {191, 191, 0}, {0, 191, 191}, {0, 191, 0},
                                       {191, 0, 191},   {191, 0, 0},   {0, 0, 191},   {0, 0, 0}};
    int ramp_y = to->height * 4 / 6 & ~1, code_y = to->height * 5 / 6 & ~1;
    for (int i = 0; i < 8; i++) {
        int x = to->width * i / 8 & ~1, end = to->width * (i + 1) / 8;
        draw_rectangle(to, (draw_box){x, 0, end - x, ramp_y},
                       draw_rgb(to->fourcc, matrix, bars[i][0], bars[i][1], bars[i][2]));
    }
    for (int x = 0; x < to->width; x += 2) {
        int grey = x * 255 / (to->width - 1);
        draw_rectangle(to, (draw_box){x, ramp_y, 2, code_y - ramp_y},
                       draw_rgb(to->fourcc, matrix, grey, grey, grey));
    }
    draw_rectangle(to, (draw_box){0, code_y, to->width, to->height - code_y},
                   draw_rgb(to->fourcc, matrix, 128, 128, 128));
}

/* The picture's number as squares, the most significant bit on the left, white for 1. */
static void draw_code(const pattern *p, const picture *to, uint32_t number)
{
    int y = to->height * 5 / 6 & ~1, gap = (to->height - y) / 4 & ~1;
    for (int i = 0; i < CODE_BITS; i++) {
        int x = to->width * i / CODE_BITS & ~1, end = to->width * (i + 1) / CODE_BITS & ~1;
        bool is_one = number >> (CODE_BITS - 1 - i) & 1;
        draw_rectangle(to, (draw_box){x, y + gap, end - x, to->height - y - 2 * gap},
                       is_one ? p->white : p->black);
    }
}

static void draw_moving(const pattern *p, const picture *to, uint32_t number)
{
    int side = to->height / 8 & ~1, way = to->width - side;
    int step = to->width / 64 < 2 ? 2 : to->width / 64 & ~1;
    int x = (int)((uint64_t)number * (uint64_t)step % (uint64_t)way) & ~1;
    draw_rectangle(to, (draw_box){x, (to->height * 4 / 6 - side) & ~1, side, side}, p->white);
}

static void draw_counter(const pattern *p, const picture *to, uint32_t number)
{
    int size = to->height / 10 & ~1, width = DIGITS * size + (DIGITS + 1) * (size / 2);
    int x = (to->width - width) / 2 & ~1, y = to->height / 8 & ~1;
    if (size < 6 || x < 0) {
        return; /* too small to be read */
    }
    draw_rectangle(to, (draw_box){x, y, width, 3 * size}, p->black);
    draw_number(to, (draw_box){x + size / 2, y + size / 2, size, 2 * size}, number, DIGITS,
                p->white);
}

/* ---- the node */

static rm_status pattern_open(rm_node *node, rm_error *err)
{
    const pattern_params *params = node->params;
    pattern *p = node->state;
    rm_format_line *line = &p->line;
    line->video.fourcc = formats[params->format];
    line->video.width = (uint32_t)params->width;
    line->video.height = (uint32_t)params->height;
    line->video.sar_num = line->video.sar_den = 1;
    line->video.rate_num = (uint32_t)params->rate_num;
    line->video.rate_den = (uint32_t)params->rate_den;
    line->video.primaries = line->video.transfer = 1;
    line->video.matrix = video_is_rgb(line->video.fourcc) ? VIDEO_MATRIX_RGB : video_matrix(line);
    line->video.range = video_is_rgb(line->video.fourcc) ? VIDEO_RANGE_FULL : VIDEO_RANGE_LIMITED;
    p->background =
        (picture){line->video.fourcc, (int)params->width, (int)params->height, {NULL}, {0}};
    p->memory_bytes = video_lay_out(&p->background, NULL);
    p->memory = rm_alloc(p->memory_bytes);
    if (!p->memory) {
        return rm_fail(err, RM_ENOMEM, "no memory for a picture of %d x %d pixels",
                       p->background.width, p->background.height);
    }
    (void)video_lay_out(&p->background, p->memory);
    p->black = draw_rgb(line->video.fourcc, line->video.matrix, 0, 0, 0);
    p->white = draw_rgb(line->video.fourcc, line->video.matrix, 255, 255, 255);
    draw_background(&p->background, line->video.matrix);
    return RM_OK;
}

static void pattern_close(rm_node *node)
{
    pattern *p = node->state;
    rm_free(p->memory);
}

/* When picture n begins. Exact, rounded down. */
static int64_t time_of(const pattern_params *params, uint64_t n)
{
    uint64_t units = n * (uint64_t)params->rate_den, rate = (uint64_t)params->rate_num;
    return (int64_t)(units / rate * 1000000000u + units % rate * 1000000000u / rate);
}

static bool is_due(rm_node *node, pattern *p, int64_t pts_ns)
{
    int64_t now_ns = rm_node_now(node);
    if (p->next == p->first) {
        p->start_ns = now_ns - pts_ns;
    }
    if (now_ns < p->start_ns + pts_ns) {
        rm_node_wake_at(node, p->start_ns + pts_ns);
        return false;
    }
    return true;
}

static rm_status pattern_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const pattern_params *params = node->params;
    pattern *p = node->state;
    (void)inputs;
    int64_t pts_ns = time_of(params, p->next);
    if (params->paced && !is_due(node, p, pts_ns)) {
        return RM_EAGAIN;
    }
    rm_packet *packet = NULL;
    rm_status status = video_packet_new(node, &p->line, &packet, err);
    if (status != RM_OK) {
        return status;
    }
    picture to = video_picture(packet);
    memcpy(packet->payload, p->memory, p->memory_bytes);
    draw_counter(p, &to, (uint32_t)p->next);
    draw_moving(p, &to, (uint32_t)p->next);
    draw_code(p, &to, (uint32_t)p->next);
    packet->header.pts_ns = pts_ns;
    packet->header.duration_ns = time_of(params, p->next + 1) - pts_ns;
    packet->header.flags = RM_FLAG_KEY;
    p->next++;
    status = rm_emit(node, 0, packet);
    return status == RM_OK && p->next == (uint64_t)params->pictures ? RM_DONE : status;
}

/* ---- checkpoints */

static rm_status pattern_checkpoint(rm_node *node, rm_blob *blob, rm_error *err)
{
    const pattern *p = node->state;
    (void)err;
    return rm_blob_append(blob, &p->next, sizeof p->next);
}

static rm_status pattern_restore(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    pattern *p = node->state;
    if (bytes != sizeof p->next) {
        return rm_fail(err, RM_EINVAL, "a saved pattern has %zu bytes, want %zu", bytes,
                       sizeof p->next);
    }
    memcpy(&p->next, data, sizeof p->next);
    p->first = p->next;
    return RM_OK;
}

/* ---- the type */

static const rm_param pattern_table[] = {
    {.name = "width",
     .kind = RM_PARAM_INT,
     .offset = offsetof(pattern_params, width),
     .default_json = "640",
     .min = SIDE_MIN,
     .max = VIDEO_SIDE_MAX,
     .unit = "pixels",
     .summary = "of each picture"},
    {.name = "height",
     .kind = RM_PARAM_INT,
     .offset = offsetof(pattern_params, height),
     .default_json = "360",
     .min = SIDE_MIN,
     .max = VIDEO_SIDE_MAX,
     .unit = "pixels",
     .summary = "of each picture"},
    {.name = "rate_num",
     .kind = RM_PARAM_INT,
     .offset = offsetof(pattern_params, rate_num),
     .default_json = "25",
     .min = 1,
     .max = 1000000,
     .summary = "pictures in rate_den seconds"},
    {.name = "rate_den",
     .kind = RM_PARAM_INT,
     .offset = offsetof(pattern_params, rate_den),
     .default_json = "1",
     .min = 1,
     .max = 1000000,
     .unit = "s",
     .summary = "how long rate_num pictures last"},
    {.name = "pictures",
     .kind = RM_PARAM_INT,
     .offset = offsetof(pattern_params, pictures),
     .default_json = "50",
     .min = 0,
     .max = 4294967295.0,
     .summary = "how many; 0: without end"},
    {.name = "format",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(pattern_params, format),
     .default_json = "\"I420\"",
     .choices = "I420|NV12|RGB3|RGBA|GREY",
     .summary = "layout of the pixels"},
    {.name = "paced",
     .kind = RM_PARAM_BOOL,
     .offset = offsetof(pattern_params, paced),
     .default_json = "false",
     .summary = "pictures leave in real time, not as fast as they are taken"},
    {0},
};

static const rm_port pattern_outputs[] = {{.name = "video",
                                           .formats = "video fourcc=I420,NV12,RGB3,RGBA,GREY",
                                           .summary = "the pictures, from 0 s on"},
                                          {0}};

static const rm_node_type pattern_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "test.pattern",
    .summary = "Colour bars with a number, and something that moves",
    .example = "test.pattern pictures=9 ! image.write path=picture-%03d.png",
    .flags = RM_NODE_HEAVY,
    .outputs = pattern_outputs,
    .params = pattern_table,
    .params_size = sizeof(pattern_params),
    .state_size = sizeof(pattern),
    .plan = pattern_plan,
    .open = pattern_open,
    .process = pattern_process,
    .close = pattern_close,
    .checkpoint = pattern_checkpoint,
    .restore = pattern_restore,
};

RM_MODULE("test.pattern", RM_VERSION, &pattern_type)
