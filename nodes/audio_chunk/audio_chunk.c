/* audio.chunk — packets of one length, whatever the lengths that come.
 *
 *     in    |--------|---|------------|--|
 *     out   |=====|=====|=====|=====|==      chunk = hop
 *           |=====|  |=====|  |=====|        hop < chunk: the end of one is the begin of the next
 *              |=====|  |=====|
 *
 * Samples are copied once, into the packet that leaves; a packet that is a chunk already is not
 * copied at all. Memory that is not there is waited for before anything is taken from the input.
 */
#include <string.h>

#include "../audio_packet.h"

/* Index of the parameter's choice. */
enum { REST_SHORT, REST_PAD, REST_DROP };
enum { CHUNK_FRAMES_MAX = 1 << 24, ROUNDING_NS = 1000 };

typedef struct chunk_params {
    double chunk_ms, hop_ms;
    int64_t chunk_frames, hop_frames, rest;
} chunk_params;

typedef struct chunker {
    rm_format_line line, wanted; /* wanted: where `renew`, the format from here on */
    bool renew;
    uint32_t chunk, hop;
    audio_run run;        /* of the input, with the packet in hand */
    uint64_t begun;       /* frame of the run that the chunk begins with */
    rm_packet *made;      /* the chunk, `filled` frames of it */
    uint32_t filled, old; /* of them `old` have been in the last chunk */
    bool in_hand;         /* the input packet is part of the run */
    uint32_t taken;       /* frames of it */
    bool gap;             /* the next chunk does not join on the last */
} chunker;

/* ---- lengths */

static rm_status check_lengths(double chunk, double hop, const char *unit, rm_error *err)
{
    return hop <= chunk ? RM_OK
                        : rm_fail_as(err, RM_CODE_PARAM_RANGE,
                                     "the hop is %g %s, want at most the chunk, %g %s", hop, unit,
                                     chunk, unit);
}

static rm_status chunk_plan(const void *params_, const rm_format *in, rm_format *out, rm_error *err)
{
    const chunk_params *params = params_;
    out[0] = in[0].kind == RM_KIND_AUDIO ? in[0] : out[0];
    if (params->chunk_frames && params->hop_frames) {
        return check_lengths((double)params->chunk_frames, (double)params->hop_frames, "frames",
                             err);
    }
    return params->chunk_frames || params->hop_frames
               ? RM_OK
               : check_lengths(params->chunk_ms, params->hop_ms, "ms", err);
}

static rm_status chunk_open(rm_node *node, rm_error *err)
{
    rm_format unused = {.kind = RM_KIND_AUDIO};
    return chunk_plan(node->params, &unused, &unused, err);
}

/* The stream is of this format from now on. */
static rm_status begin_format(chunker *c, const chunk_params *params, const rm_format_line *line,
                              rm_error *err)
{
    uint32_t rate_hz = line->audio.rate_hz;
    uint64_t chunk = params->chunk_frames ? (uint64_t)params->chunk_frames
                                          : audio_frames_of_ms(params->chunk_ms, rate_hz);
    uint64_t hop = params->hop_frames   ? (uint64_t)params->hop_frames
                   : params->hop_ms > 0 ? audio_frames_of_ms(params->hop_ms, rate_hz)
                                        : chunk;
    rm_status status = check_lengths((double)chunk, (double)hop, "frames", err);
    if (status == RM_OK && chunk > CHUNK_FRAMES_MAX) {
        status = rm_fail_as(err, RM_CODE_PARAM_RANGE, "a chunk has %llu frames, want at most %d",
                            (unsigned long long)chunk, CHUNK_FRAMES_MAX);
    }
    c->line = *line;
    c->chunk = (uint32_t)chunk;
    c->hop = (uint32_t)hop;
    c->renew = status != RM_OK;
    return status;
}

/* ---- frames */

static void copy_frames(rm_packet *to, uint32_t to_frame, const rm_packet *from,
                        uint32_t from_frame, uint32_t frames)
{
    rmi_audio target = audio_of(to), source = audio_of(from);
    size_t bytes = frames * rmi_sample_bytes(target.format);
    if (!target.plane_bytes) {
        memcpy(rmi_audio_channel(&target, 0, to_frame), rmi_audio_channel(&source, 0, from_frame),
               bytes * target.channels);
        return;
    }
    for (uint32_t c = 0; c < target.channels; c++) {
        memcpy(rmi_audio_channel(&target, c, to_frame), rmi_audio_channel(&source, c, from_frame),
               bytes);
    }
}

static void silence(rm_packet *packet, uint32_t first, uint32_t frames)
{
    rmi_audio audio = audio_of(packet);
    int zero = audio.format == RMI_U8 ? 128 : 0;
    size_t bytes = frames * rmi_sample_bytes(audio.format);
    if (!audio.plane_bytes) {
        memset(rmi_audio_channel(&audio, 0, first), zero, bytes * audio.channels);
        return;
    }
    for (uint32_t c = 0; c < audio.channels; c++) {
        memset(rmi_audio_channel(&audio, c, first), zero, bytes);
    }
}

/* The chunk as it is goes out. */
static rm_status emit_chunk(rm_node *node, uint32_t frames)
{
    chunker *c = node->state;
    rm_packet *packet = c->made;
    c->made = NULL;
    audio_set_room(packet, frames);
    audio_run_stamp(&c->run, c->begun, packet);
    packet->header.flags = c->gap ? RM_FLAG_DISCONTINUITY : 0;
    c->gap = false;
    c->begun += c->hop;
    c->filled = c->old = 0;
    return rm_emit(node, 0, packet);
}

/* A full chunk goes out; its end, where chunks overlap, becomes the begin of the next. */
static rm_status emit_full(rm_node *node, rm_error *err)
{
    chunker *c = node->state;
    uint32_t overlap = c->chunk - c->hop;
    rm_packet *next = NULL;
    if (overlap) {
        rm_status status = audio_packet_room(node, &c->line, c->chunk, &next, err);
        if (status != RM_OK) {
            return status;
        }
        copy_frames(next, 0, c->made, c->hop, overlap);
    }
    rm_status status = emit_chunk(node, c->chunk);
    c->made = next;
    c->filled = c->old = overlap;
    return status;
}

static void forget(chunker *c)
{
    rm_packet_unref(c->made);
    c->made = NULL;
    c->filled = c->old = c->taken = 0;
    c->run.running = c->in_hand = false;
}

/* RM_MORE: what was left of the run went out. RM_OK: nothing is left. */
static rm_status emit_rest(rm_node *node)
{
    const chunk_params *params = node->params;
    chunker *c = node->state;
    if (!c->made || c->filled == c->old || params->rest == REST_DROP) {
        forget(c);
        return RM_OK;
    }
    uint32_t frames = c->filled;
    if (params->rest == REST_PAD) {
        silence(c->made, frames, c->chunk - frames);
        frames = c->chunk;
    }
    rm_status status = emit_chunk(node, frames);
    forget(c);
    return status == RM_OK ? RM_MORE : status;
}

/* RM_OK: the packet is part of the run. RM_MORE: the run before it had a rest. */
static rm_status join_run(rm_node *node, const rm_packet *packet, rm_error *err)
{
    chunker *c = node->state;
    if (!c->run.running || c->renew || !audio_run_joins(&c->run, packet)) {
        bool was_running = c->run.running;
        rm_status status = emit_rest(node);
        c->gap |= was_running || packet->header.flags & RM_FLAG_DISCONTINUITY;
        if (status == RM_OK && c->renew) {
            status = begin_format(c, node->params, &c->wanted, err);
        }
        if (status != RM_OK) {
            return status;
        }
        audio_run_begin(&c->run, packet);
        c->begun = 0;
    }
    c->run.frames += packet->header.instance.audio.frames;
    c->in_hand = true;
    c->taken = 0;
    return RM_OK;
}

/* It is a chunk, and its time is the run's. */
static bool is_chunk(const chunker *c, const rm_packet *packet)
{
    uint32_t frames = packet->header.instance.audio.frames;
    if (c->made || c->taken || frames != c->chunk || c->hop != c->chunk || c->gap) {
        return false;
    }
    int64_t off_ns = packet->header.pts_ns -
                     audio_run_time_ns(&c->run, c->run.frames - frames, c->line.audio.rate_hz);
    return c->run.start_ns == RM_TIME_NONE ? packet->header.pts_ns == RM_TIME_NONE
                                           : off_ns <= ROUNDING_NS && off_ns >= -ROUNDING_NS;
}

/* Takes what the chunk has room for. RM_OK: all is taken. RM_MORE: a chunk went out. */
static rm_status take_frames(rm_node *node, const rm_packet *packet, rm_error *err)
{
    chunker *c = node->state;
    uint32_t left = packet->header.instance.audio.frames - c->taken;
    if (!c->made && left) {
        rm_status status = audio_packet_room(node, &c->line, c->chunk, &c->made, err);
        if (status != RM_OK) {
            return status;
        }
    }
    uint32_t room = c->chunk - c->filled, frames = left < room ? left : room;
    if (frames) {
        copy_frames(c->made, c->filled, packet, c->taken, frames);
        c->filled += frames;
        c->taken += frames;
    }
    if (c->filled < c->chunk) {
        return RM_OK;
    }
    rm_status status = emit_full(node, err);
    bool more = c->taken < packet->header.instance.audio.frames;
    return status == RM_OK && more ? RM_MORE : status;
}

static rm_status chunk_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    chunker *c = node->state;
    const rm_packet *packet = inputs->packet[0];
    if (!c->in_hand) {
        rm_status status = audio_check(packet, err);
        if (status == RM_OK) {
            status = join_run(node, packet, err);
        }
        if (status != RM_OK) {
            return status;
        }
    }
    if (is_chunk(c, packet)) {
        c->begun += c->hop;
        c->in_hand = false;
        return rm_forward(node, 0);
    }
    rm_status status = take_frames(node, packet, err);
    c->in_hand = status == RM_MORE || status == RM_EAGAIN;
    return status;
}

static rm_status chunk_flush(rm_node *node, rm_error *err)
{
    (void)err;
    return emit_rest(node);
}

static rm_status chunk_control(rm_node *node, const rm_control *control, rm_error *err)
{
    chunker *c = node->state;
    if (control->op == RM_CONTROL_INTERRUPT) {
        c->gap |= c->run.running;
        forget(c);
    }
    if (control->op != RM_CONTROL_FORMAT) {
        return RM_OK;
    }
    c->wanted = *control->line;
    c->renew = memcmp(&c->wanted, &c->line, sizeof c->line) != 0;
    return audio_check_line(control->line, err);
}

/* ---- handing over to a node that takes this one's place */

/* In front of the samples of the chunk that is begun, channel by channel. */
typedef struct saved {
    rm_format_line line, wanted;
    audio_run run;
    uint64_t begun;
    uint32_t filled, old, taken;
    bool gap, renew, in_hand;
} saved;

static rm_status chunk_save(rm_node *node, rm_blob *blob, rm_error *err)
{
    const chunker *c = node->state;
    saved s;
    memset(&s, 0, sizeof s);
    s.line = c->line;
    s.wanted = c->wanted;
    s.run = c->run;
    s.begun = c->begun;
    s.gap = c->gap;
    s.renew = c->renew;
    s.in_hand = c->in_hand;
    s.taken = c->taken;
    s.filled = c->made ? c->filled : 0;
    s.old = c->made ? c->old : 0;
    rm_status status = rm_blob_append(blob, &s, sizeof s);
    rmi_audio audio = c->made ? audio_of(c->made) : (rmi_audio){0};
    size_t planes = audio.plane_bytes ? audio.channels : 1;
    size_t bytes = s.filled * rmi_sample_bytes(audio.format) * audio.channels / planes;
    for (uint32_t p = 0; p < planes && bytes && status == RM_OK; p++) {
        status = rm_blob_append(blob, rmi_audio_channel(&audio, p, 0), bytes);
    }
    return status == RM_OK ? RM_OK
                           : rm_fail(err, status, "cannot save a chunk of %u frames", s.filled);
}

/* What does not fit into the chunks of this node is left out, and the gap marked. */
static rm_status chunk_load(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    chunker *c = node->state;
    saved s;
    if (bytes < sizeof s) {
        return rm_fail(err, RM_EINVAL, "a saved chunk has %zu bytes, want %zu or more", bytes,
                       sizeof s);
    }
    memcpy(&s, data, sizeof s);
    if (s.line.audio.rate_hz == 0) {
        return RM_OK; /* nothing had come yet */
    }
    rm_status status = audio_check_line(&s.line, err);
    status = status == RM_OK ? begin_format(c, node->params, &s.line, err) : status;
    if (status != RM_OK) {
        return status;
    }
    c->wanted = s.wanted;
    c->renew = s.renew;
    c->gap = s.gap;
    c->in_hand = s.in_hand;
    c->taken = s.taken;
    size_t frame_bytes = (size_t)audio_sample_bytes(&s.line) * s.line.audio.channels;
    bool is_over = s.filled == c->chunk && !s.in_hand; /* else it waits for memory to go out */
    if (s.filled > c->chunk || is_over || bytes - sizeof s != s.filled * frame_bytes) {
        c->gap = true;
        return RM_OK;
    }
    if (s.filled) {
        status = audio_packet_room(node, &s.line, c->chunk, &c->made, err);
    }
    if (status != RM_OK) {
        return status;
    }
    const char *from = (const char *)data + sizeof s;
    size_t planes = s.line.audio.planar ? s.line.audio.channels : 1;
    size_t plane = s.filled * frame_bytes / planes;
    for (uint32_t p = 0; p < planes && plane; p++) {
        rmi_audio to = audio_of(c->made);
        memcpy(rmi_audio_channel(&to, p, 0), from + p * plane, plane);
    }
    c->run = s.run;
    c->begun = s.begun;
    c->filled = s.filled;
    c->old = s.old;
    return RM_OK;
}

static void chunk_close(rm_node *node)
{
    forget(node->state);
}

static const rm_param chunk_table[] = {
    {.name = "chunk_ms",
     .kind = RM_PARAM_FLOAT,
     .offset = offsetof(chunk_params, chunk_ms),
     .default_json = "20",
     .min = 0.01,
     .max = 600000,
     .unit = "ms",
     .summary = "length of a chunk, rounded to whole frames"},
    {.name = "chunk_frames",
     .kind = RM_PARAM_INT,
     .offset = offsetof(chunk_params, chunk_frames),
     .default_json = "0",
     .min = 0,
     .max = CHUNK_FRAMES_MAX,
     .unit = "frames",
     .summary = "length of a chunk, whatever the rate; 0: chunk_ms says it"},
    {.name = "hop_ms",
     .kind = RM_PARAM_FLOAT,
     .offset = offsetof(chunk_params, hop_ms),
     .default_json = "0",
     .min = 0,
     .max = 600000,
     .unit = "ms",
     .summary = "from the begin of one chunk to the begin of the next; less than a chunk: they "
                "overlap; 0: as long as a chunk"},
    {.name = "hop_frames",
     .kind = RM_PARAM_INT,
     .offset = offsetof(chunk_params, hop_frames),
     .default_json = "0",
     .min = 0,
     .max = CHUNK_FRAMES_MAX,
     .unit = "frames",
     .summary = "the same in frames; 0: hop_ms says it"},
    {.name = "rest",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(chunk_params, rest),
     .default_json = "\"short\"",
     .choices = "short|pad|drop",
     .summary = "what is left at the end, or before a gap: a shorter packet, one filled with "
                "silence, or nothing"},
    {0},
};

static const rm_port chunk_inputs[] = {
    {.name = "in", .formats = "audio", .summary = "packets of any length"}, {0}};
static const rm_port chunk_outputs[] = {
    {.name = "out", .formats = "audio", .summary = "packets of one length"}, {0}};

static const rm_node_type chunk_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "audio.chunk",
    .summary = "Cut audio into packets of one length, overlapping or not",
    .example = "wav.read path=talk.wav ! audio.chunk chunk_ms=25 hop_ms=10 ! audio.level ! "
               "json.write path=-",
    .inputs = chunk_inputs,
    .outputs = chunk_outputs,
    .params = chunk_table,
    .params_size = sizeof(chunk_params),
    .state_size = sizeof(chunker),
    .plan = chunk_plan,
    .open = chunk_open,
    .process = chunk_process,
    .flush = chunk_flush,
    .control = chunk_control,
    .close = chunk_close,
    .save = chunk_save,
    .load = chunk_load,
};

RM_MODULE("audio.chunk", RM_VERSION, &chunk_type)
