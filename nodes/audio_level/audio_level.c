/* audio.level — RMS and peak of each packet, or of each interval, as value packets. */
#include <math.h>
#include <msgpack.h>

#include "../audio_packet.h"
#include "dsp/level.h"

enum { FIXED_BYTES = 160, CHANNEL_BYTES = 18 }; /* of a packed value: keys and times; two doubles */

/* Index of the parameter's choice. */
enum { TOGETHER, EACH };

typedef struct level_params {
    double interval_ms;
    int64_t channels;
} level_params;

typedef struct meter {
    uint32_t rate_hz, channels;
    uint64_t interval; /* frames; 0: each packet */
    audio_run run;     /* of the input, with the packet in hand */
    uint64_t begun;    /* frame of the run that the interval begins with */
    uint64_t measured; /* frames of the interval */
    bool in_hand;
    uint32_t taken;        /* frames of the packet in hand */
    rm_format_line wanted; /* where `renew`, the format from here on */
    bool renew;
    rmi_level level[AUDIO_CHANNELS_MAX];
} meter;

static void begin_interval(meter *m)
{
    memset(m->level, 0, sizeof *m->level * m->channels);
    m->begun += m->measured;
    m->measured = 0;
}

static void forget(meter *m)
{
    begin_interval(m);
    m->begun = 0;
    m->run.running = m->in_hand = false;
}

/* ---- the value */

typedef struct text_buffer {
    uint8_t *bytes;
    size_t used, size;
} text_buffer;

static int append(void *context, const char *data, size_t bytes)
{
    text_buffer *buffer = context;
    if (bytes > buffer->size - buffer->used) {
        return -1;
    }
    memcpy(buffer->bytes + buffer->used, data, bytes);
    buffer->used += bytes;
    return 0;
}

static void pack_key(msgpack_packer *packer, const char *key)
{
    msgpack_pack_str_with_body(packer, key, strlen(key));
}

/* What is said is a thousandth of a decibel, so that it reads well. */
static void pack_db(msgpack_packer *packer, double db)
{
    msgpack_pack_double(packer, round(db * 1000) / 1000);
}

static rmi_level all_channels(const meter *m)
{
    rmi_level all = {0};
    for (uint32_t c = 0; c < m->channels; c++) {
        const rmi_level *one = &m->level[c];
        all.square_sum += one->square_sum;
        all.frames += one->frames;
        all.peak = one->peak > all.peak || isnan(one->peak) ? one->peak : all.peak;
    }
    return all;
}

static void pack_levels(msgpack_packer *packer, const meter *m, bool each,
                        double (*measure)(const rmi_level *))
{
    if (!each) {
        rmi_level all = all_channels(m);
        pack_db(packer, measure(&all));
        return;
    }
    msgpack_pack_array(packer, m->channels);
    for (uint32_t c = 0; c < m->channels; c++) {
        pack_db(packer, measure(&m->level[c]));
    }
}

static size_t pack_value(const meter *m, const rm_packet_header *h, bool each, void *payload,
                         size_t size)
{
    text_buffer buffer = {payload, 0, size};
    msgpack_packer packer;
    int64_t start_ns = h->pts_ns == RM_TIME_NONE ? audio_time_ns(m->begun, m->rate_hz) : h->pts_ns;
    msgpack_packer_init(&packer, &buffer, append);
    msgpack_pack_map(&packer, 4);
    pack_key(&packer, "start_s");
    msgpack_pack_double(&packer, (double)start_ns / 1e9);
    pack_key(&packer, "end_s");
    msgpack_pack_double(&packer, (double)(start_ns + h->duration_ns) / 1e9);
    pack_key(&packer, "rms_dbfs");
    pack_levels(&packer, m, each, rmi_level_rms_db);
    pack_key(&packer, "peak_dbfs");
    pack_levels(&packer, m, each, rmi_level_peak_db);
    return buffer.used;
}

/* What was measured goes out, and the next interval begins. */
static rm_status emit_level(rm_node *node, rm_error *err)
{
    const level_params *params = node->params;
    meter *m = node->state;
    size_t size = FIXED_BYTES + (size_t)CHANNEL_BYTES * m->channels;
    rm_packet *packet = NULL;
    rm_status status = rm_packet_new(node, size, &packet);
    if (status != RM_OK) {
        return status < 0 ? rm_fail(err, status, "no memory for a level") : status;
    }
    rm_packet_header *h = &packet->header;
    h->kind = RM_KIND_VALUE;
    h->pts_ns = audio_run_time_ns(&m->run, m->begun, m->rate_hz);
    h->duration_ns =
        audio_time_ns(m->begun + m->measured, m->rate_hz) - audio_time_ns(m->begun, m->rate_hz);
    h->payload_bytes = pack_value(m, h, params->channels == EACH, packet->payload, size);
    begin_interval(m);
    return rm_emit(node, 0, packet);
}

/* ---- the stream */

static void begin_format(meter *m, const level_params *params)
{
    m->rate_hz = m->wanted.audio.rate_hz;
    m->channels = m->wanted.audio.channels;
    m->interval = params->interval_ms > 0 ? audio_frames_of_ms(params->interval_ms, m->rate_hz) : 0;
    m->renew = false;
}

/* RM_OK: the packet is part of the run. RM_MORE: the run before it had a rest. */
static rm_status join_run(rm_node *node, const rm_packet *packet, rm_error *err)
{
    meter *m = node->state;
    if (!m->run.running || m->renew || !audio_run_joins(&m->run, packet)) {
        if (m->measured) {
            rm_status status = emit_level(node, err);
            return status == RM_OK ? RM_MORE : status;
        }
        forget(m);
        if (m->renew) {
            begin_format(m, node->params);
        }
        audio_run_begin(&m->run, packet);
    }
    m->run.frames += packet->header.instance.audio.frames;
    m->in_hand = true;
    m->taken = 0;
    return RM_OK;
}

static void measure(meter *m, const rm_packet *packet, uint32_t frames)
{
    rmi_audio audio = audio_of(packet);
    for (uint32_t c = 0; c < m->channels; c++) {
        rmi_level_add(&m->level[c], &audio, c, m->taken, frames);
    }
    m->taken += frames;
    m->measured += frames;
}

static rm_status level_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    meter *m = node->state;
    const rm_packet *packet = inputs->packet[0];
    uint32_t frames = packet->header.instance.audio.frames;
    if (!m->in_hand) {
        rm_status status = audio_check(packet, err);
        if (status == RM_OK) {
            status = join_run(node, packet, err);
        }
        if (status != RM_OK) {
            return status;
        }
    }
    uint64_t goal = m->interval ? m->interval : frames;
    uint64_t left = frames - m->taken, room = goal - m->measured;
    measure(m, packet, (uint32_t)(left < room ? left : room));
    rm_status status = m->measured == goal && goal ? emit_level(node, err) : RM_OK;
    if (status == RM_OK && m->taken < frames) {
        return RM_MORE;
    }
    m->in_hand = status == RM_EAGAIN;
    return status;
}

static rm_status level_flush(rm_node *node, rm_error *err)
{
    meter *m = node->state;
    return m->measured ? emit_level(node, err) : RM_OK;
}

static rm_status level_control(rm_node *node, const rm_control *control, rm_error *err)
{
    meter *m = node->state;
    if (control->op == RM_CONTROL_INTERRUPT) {
        forget(m);
    }
    if (control->op != RM_CONTROL_FORMAT) {
        return RM_OK;
    }
    m->wanted = *control->line;
    m->renew = m->wanted.audio.rate_hz != m->rate_hz || m->wanted.audio.channels != m->channels;
    return audio_check_line(control->line, err);
}

/* ---- handing over to a node that takes this one's place */

typedef struct saved {
    rm_format_line line, wanted;
    audio_run run;
    uint64_t begun, measured, interval;
    uint32_t taken;
    bool in_hand, renew;
    rmi_level level[AUDIO_CHANNELS_MAX];
} saved;

static rm_status level_save(rm_node *node, rm_blob *blob, rm_error *err)
{
    const meter *m = node->state;
    saved s;
    memset(&s, 0, sizeof s);
    s.line = s.wanted = m->wanted;
    s.line.audio.rate_hz = m->rate_hz;
    s.line.audio.channels = (uint16_t)m->channels;
    s.run = m->run;
    s.begun = m->begun;
    s.measured = m->measured;
    s.interval = m->interval;
    s.taken = m->taken;
    s.in_hand = m->in_hand;
    s.renew = m->renew;
    memcpy(s.level, m->level, sizeof s.level);
    rm_status status = rm_blob_append(blob, &s, sizeof s);
    return status == RM_OK ? RM_OK : rm_fail(err, status, "no memory to save a level");
}

/* An interval that is over already by this node's measure is left as if it had just begun. */
static rm_status level_load(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    meter *m = node->state;
    saved s;
    if (bytes != sizeof s) {
        return rm_fail(err, RM_EINVAL, "a saved level has %zu bytes, want %zu", bytes, sizeof s);
    }
    memcpy(&s, data, sizeof s);
    if (audio_check_line(&s.line, NULL) != RM_OK) {
        return RM_OK; /* nothing had come yet */
    }
    m->wanted = s.line;
    begin_format(m, node->params);
    m->wanted = s.wanted;
    m->renew = s.renew;
    m->run = s.run;
    m->begun = s.begun;
    m->taken = s.taken;
    m->in_hand = s.in_hand;
    if (s.measured < m->interval || s.interval == m->interval) {
        m->measured = s.measured;
        memcpy(m->level, s.level, sizeof s.level);
    } else {
        m->begun += s.measured;
    }
    return RM_OK;
}

static const rm_param level_table[] = {
    {.name = "interval_ms",
     .kind = RM_PARAM_FLOAT,
     .offset = offsetof(level_params, interval_ms),
     .default_json = "100",
     .min = 0,
     .max = 600000,
     .unit = "ms",
     .summary = "what one value is the level of, rounded to whole frames; 0: each packet"},
    {.name = "channels",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(level_params, channels),
     .default_json = "\"together\"",
     .choices = "together|each",
     .summary = "one number for all channels, or a list with one for each"},
    {0},
};

static const rm_port level_inputs[] = {
    {.name = "in", .formats = "audio", .summary = "audio of any format"}, {0}};
static const rm_port level_outputs[] = {
    {.name = "level",
     .formats = "value",
     .summary = "{start_s, end_s, rms_dbfs, peak_dbfs}, -120 at least"},
    {0}};

static const rm_node_type level_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "audio.level",
    .summary = "Measure RMS and peak level of audio",
    .example = "test.tone duration_ms=500 ! audio.level ! json.write path=-",
    .inputs = level_inputs,
    .outputs = level_outputs,
    .params = level_table,
    .params_size = sizeof(level_params),
    .state_size = sizeof(meter),
    .process = level_process,
    .flush = level_flush,
    .control = level_control,
    .save = level_save,
    .load = level_load,
};

RM_MODULE("audio.level", RM_VERSION, &level_type)
