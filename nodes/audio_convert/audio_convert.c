/* audio.convert — sample format, layout and channels, in one pass over the samples. */
#include <jansson.h>
#include <string.h>

#include "../audio_packet.h"
#include "dsp/mix.h"

/* Index of the parameter's choice. */
enum { LAYOUT_KEEP, LAYOUT_INTERLEAVED, LAYOUT_PLANAR };

typedef struct convert_params {
    int64_t sample_format, layout, channels;
    const char *matrix;
} convert_params;

typedef struct converter {
    rm_format_line out;
    bool same, mixes;
    double *matrix; /* of the parameter; NULL: none */
    uint32_t rows, columns;
    double *applied; /* what is used: outputs × inputs */
    size_t applied_count;
} converter;

/* ---- the matrix parameter: [[left, right], …], a row an output channel */

static rm_status matrix_shape(const json_t *rows, uint32_t *ret_rows, uint32_t *ret_columns,
                              rm_error *err)
{
    size_t count = json_array_size(rows), columns = json_array_size(json_array_get(rows, 0));
    if (count < 1 || count > AUDIO_CHANNELS_MAX || columns < 1 || columns > AUDIO_CHANNELS_MAX) {
        return rm_fail_as(err, RM_CODE_PARAM_TYPE,
                          "matrix has %zu rows of %zu numbers, want a list of 1 to %d rows, each a "
                          "list of 1 to %d numbers",
                          count, columns, AUDIO_CHANNELS_MAX, AUDIO_CHANNELS_MAX);
    }
    for (size_t r = 0; r < count; r++) {
        const json_t *row = json_array_get(rows, r);
        if (json_array_size(row) != columns) {
            return rm_fail_as(err, RM_CODE_PARAM_TYPE,
                              "matrix row %zu has %zu numbers, want %zu as in the first row", r + 1,
                              json_array_size(row), columns);
        }
        for (size_t c = 0; c < columns; c++) {
            double value = json_number_value(json_array_get(row, c));
            if (!json_is_number(json_array_get(row, c)) || value < -100 || value > 100) {
                return rm_fail_as(err, RM_CODE_PARAM_RANGE,
                                  "matrix row %zu, column %zu is no number of -100 to 100", r + 1,
                                  c + 1);
            }
        }
    }
    *ret_rows = (uint32_t)count;
    *ret_columns = (uint32_t)columns;
    return RM_OK;
}

static rm_status check_with_channels(const convert_params *params, uint32_t rows, rm_error *err)
{
    if (params->channels && params->channels != rows) {
        return rm_fail_as(err, RM_CODE_PARAM_RANGE,
                          "channels is %lld, want %u as the matrix has rows, or leave it out",
                          (long long)params->channels, rows);
    }
    return RM_OK;
}

/* ret_matrix may be NULL; else rows × columns, released by rm_free(). */
static rm_status read_matrix(const convert_params *params, uint32_t *ret_rows,
                             uint32_t *ret_columns, double **ret_matrix, rm_error *err)
{
    json_t *json = json_loads(params->matrix, JSON_DECODE_ANY, NULL);
    rm_status status = matrix_shape(json, ret_rows, ret_columns, err);
    if (status == RM_OK) {
        status = check_with_channels(params, *ret_rows, err);
    }
    if (status == RM_OK && ret_matrix) {
        double *matrix = rm_alloc(sizeof *matrix * *ret_rows * *ret_columns);
        for (uint32_t k = 0; matrix && k < *ret_rows * *ret_columns; k++) {
            const json_t *row = json_array_get(json, k / *ret_columns);
            matrix[k] = json_number_value(json_array_get(row, k % *ret_columns));
        }
        status = matrix ? RM_OK : rm_fail(err, RM_ENOMEM, "no memory for a matrix");
        *ret_matrix = matrix;
    }
    json_decref(json);
    return status;
}

/* ---- planning */

static rm_status check_columns(uint32_t columns, int64_t channels, rm_error *err)
{
    if (columns != channels) {
        return rm_fail_as(err, RM_CODE_PACKET_FORMAT,
                          "matrix has %u columns, and the audio has %lld channels", columns,
                          (long long)channels);
    }
    return RM_OK;
}

static void fix(rm_field *field, int64_t value)
{
    *field = (rm_field){RM_FIELD_SET, 1, {value}};
}

static rm_status convert_plan(const void *params_, const rm_format *in, rm_format *out,
                              rm_error *err)
{
    const convert_params *params = params_;
    int64_t channels = params->channels;
    if (params->matrix) {
        uint32_t rows, columns;
        rm_status status = read_matrix(params, &rows, &columns, NULL, err);
        if (status == RM_OK && in[0].kind == RM_KIND_AUDIO && in[0].field[1].mode == RM_FIELD_SET) {
            status = check_columns(columns, in[0].field[1].value[0], err);
        }
        if (status != RM_OK) {
            return status;
        }
        channels = rows;
    }
    if (in[0].kind == RM_KIND_AUDIO) {
        out[0] = in[0];
    }
    if (channels) {
        fix(&out[0].field[1], channels);
    }
    if (params->sample_format) {
        fix(&out[0].field[2], params->sample_format);
    }
    if (params->layout != LAYOUT_KEEP) {
        fix(&out[0].field[3], params->layout == LAYOUT_PLANAR);
    }
    return RM_OK;
}

/* ---- running */

static void convert_close(rm_node *node)
{
    converter *c = node->state;
    rm_free(c->matrix);
    rm_free(c->applied);
}

static rm_status convert_open(rm_node *node, rm_error *err)
{
    const convert_params *params = node->params;
    converter *c = node->state;
    return params->matrix ? read_matrix(params, &c->rows, &c->columns, &c->matrix, err) : RM_OK;
}

static rm_status prepare_mix(converter *c, const rm_format_line *in, rm_error *err)
{
    uint32_t inputs = in->audio.channels, outputs = c->out.audio.channels;
    size_t count = (size_t)inputs * outputs;
    if (count > c->applied_count) {
        rm_free(c->applied);
        c->applied_count = 0;
        c->applied = rm_alloc(count * sizeof *c->applied);
        if (!c->applied) {
            return rm_fail(err, RM_ENOMEM, "no memory for a matrix");
        }
        c->applied_count = count;
    }
    if (c->matrix) {
        memcpy(c->applied, c->matrix, count * sizeof *c->applied);
    } else {
        rmi_mix_matrix(inputs, in->audio.channel_mask, outputs, 0, c->applied);
    }
    return RM_OK;
}

/* The stream is of this format from now on. */
static rm_status prepare(rm_node *node, const rm_format_line *in, rm_error *err)
{
    const convert_params *params = node->params;
    converter *c = node->state;
    rm_status status = audio_check_line(in, err);
    if (status == RM_OK && c->matrix) {
        status = check_columns(c->columns, in->audio.channels, err);
    }
    if (status != RM_OK) {
        return status;
    }
    uint32_t channels = c->matrix          ? c->rows
                        : params->channels ? (uint32_t)params->channels
                                           : in->audio.channels;
    c->out = *in;
    c->out.audio.channels = (uint16_t)channels;
    if (params->sample_format) {
        c->out.audio.sample_format = (uint8_t)params->sample_format;
    }
    if (params->layout != LAYOUT_KEEP) {
        c->out.audio.planar = params->layout == LAYOUT_PLANAR;
    }
    c->mixes = c->matrix || channels != in->audio.channels;
    if (c->mixes) {
        c->out.audio.channel_mask = 0;
        status = prepare_mix(c, in, err);
    }
    c->same = !c->mixes && memcmp(&c->out, in, sizeof *in) == 0;
    return status;
}

static rm_status convert_control(rm_node *node, const rm_control *control, rm_error *err)
{
    return control->op == RM_CONTROL_FORMAT ? prepare(node, control->line, err) : RM_OK;
}

/* What is not the samples comes from the packet that they were in. */
static rm_status inherit(rm_packet *to, const rm_packet *from, rm_error *err)
{
    to->header.pts_ns = from->header.pts_ns;
    to->header.duration_ns = from->header.duration_ns;
    to->header.flags = from->header.flags;
    if (from->metadata && from->header.metadata_bytes &&
        rm_packet_set_metadata(to, from->metadata, from->header.metadata_bytes) != RM_OK) {
        return rm_fail(err, RM_ENOMEM, "no memory for a packet's metadata");
    }
    return RM_OK;
}

static rm_status convert_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const converter *c = node->state;
    const rm_packet *in = inputs->packet[0];
    uint32_t frames = in->header.instance.audio.frames;
    if (c->same) {
        return rm_forward(node, 0);
    }
    rm_packet *packet = NULL;
    rm_status status = audio_check(in, err);
    if (status == RM_OK) {
        status = audio_packet_room(node, &c->out, frames, &packet, err);
    }
    if (status != RM_OK) {
        return status;
    }
    rmi_audio from = audio_of(in), to = audio_of(packet);
    if (frames && c->mixes) {
        rmi_mix(&to, &from, frames, c->applied);
    } else if (frames) {
        rmi_audio_convert(&to, &from, frames);
    }
    status = inherit(packet, in, err);
    if (status != RM_OK) {
        rm_packet_unref(packet);
        return status;
    }
    return rm_emit(node, 0, packet);
}

static const rm_param convert_table[] = {
    {.name = "sample_format",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(convert_params, sample_format),
     .default_json = "\"keep\"",
     .choices = "keep|u8|s16|s32|f32|f64",
     .summary = "of the output; keep: as it comes"},
    {.name = "layout",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(convert_params, layout),
     .default_json = "\"keep\"",
     .choices = "keep|interleaved|planar",
     .summary = "frame by frame, or one plane a channel; keep: as it comes"},
    {.name = "channels",
     .kind = RM_PARAM_INT,
     .offset = offsetof(convert_params, channels),
     .default_json = "0",
     .min = 0,
     .max = AUDIO_CHANNELS_MAX,
     .summary =
         "of the output, mixed by ITU-R BS.775, never louder than full scale; 0: as it comes"},
    {.name = "matrix",
     .kind = RM_PARAM_JSON,
     .offset = offsetof(convert_params, matrix),
     .summary =
         "the mix itself: a list of rows, one an output channel, of factors -100 to 100, one "
         "an input channel"},
    {0},
};

static const rm_port convert_inputs[] = {
    {.name = "in", .formats = "audio", .summary = "audio of any format"}, {0}};
static const rm_port convert_outputs[] = {
    {.name = "out", .formats = "audio", .summary = "the same times and frames"}, {0}};

static const rm_node_type convert_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "audio.convert",
    .summary = "Change sample format, layout and channels of audio",
    .example =
        "wav.read path=film.wav ! audio.convert channels=1 sample_format=f32 ! audio.level ! "
        "json.write path=-",
    .flags = RM_NODE_PURE,
    .inputs = convert_inputs,
    .outputs = convert_outputs,
    .params = convert_table,
    .params_size = sizeof(convert_params),
    .state_size = sizeof(converter),
    .plan = convert_plan,
    .open = convert_open,
    .process = convert_process,
    .control = convert_control,
    .close = convert_close,
};

RM_MODULE("audio.convert", RM_VERSION, &convert_type)
