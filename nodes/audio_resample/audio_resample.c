/* audio.resample — from one rate to another, by libsoxr.
 *
 *     input packet ──▶ soxr (holds the filter's delay) ──▶ straight into the output packet
 *
 * The output is a run of frames counted from the time of the run's first input frame; soxr takes
 * its own delay off. A gap in the input, or another input format, ends the run: its tail goes out
 * first.
 */
#include <soxr.h>
#include <string.h>

#include "../audio_packet.h"
#include "history.h"

enum { TAIL_PACKET_FRAMES = 4096, SPARE_FRAMES = 64, REPEAT_FRAMES = 4096 };
#define FED_MAX (UINT64_C(1) << 42) /* months */

typedef struct resample_params {
    int64_t rate_hz, quality, phase, delay;
} resample_params;

typedef struct resampler {
    soxr_t soxr;            /* NULL: none is needed, or none made yet */
    rm_format_line in, out; /* in.rate_hz 0: not known yet */
    rm_format_line wanted;  /* where `renew`: the input format from here on */
    bool renew;
    audio_run run;    /* of the input */
    uint64_t given;   /* output frames of the run */
    bool taken;       /* soxr has the samples of the packet at hand, and more to give */
    bool ending;      /* soxr was told that the run has ended */
    bool gap;         /* the next output does not join on the last */
    rm_packet *spare; /* made, and soxr had nothing for it: `spare_room` frames of `out` */
    uint32_t spare_room;
    int16_t *scratch; /* u8 only: soxr has no 8 bits */
    size_t scratch_samples;
    bool is_kept;    /* the session makes checkpoints: only then there is a history … */
    history history; /* … of the run */
} resampler;

/* ---- setting up */

static bool is_u8(const resampler *r)
{
    return r->in.audio.sample_format == RM_SAMPLE_U8;
}

static bool is_same_rate(const resampler *r)
{
    return r->in.audio.rate_hz == r->out.audio.rate_hz;
}

static soxr_datatype_t datatype_of(const rm_format_line *line)
{
    static const soxr_datatype_t types[] = {
        0, SOXR_INT16_I, SOXR_INT16_I, SOXR_INT32_I, SOXR_FLOAT32_I, SOXR_FLOAT64_I};
    bool split = line->audio.planar && line->audio.sample_format != RM_SAMPLE_U8;
    return types[line->audio.sample_format] | (split ? SOXR_SPLIT : 0);
}

static rm_status soxr_fail(soxr_error_t why, rm_error *err)
{
    bool memory = strstr(why, "malloc") != NULL;
    return rm_fail(err, memory ? RM_ENOMEM : RM_EFAIL, "libsoxr: %s", why);
}

static uint32_t soxr_sample_bytes(const resampler *r)
{
    return is_u8(r) ? 2 : (uint32_t)audio_sample_bytes(&r->in);
}

static rm_status make_soxr(resampler *r, const resample_params *params, rm_error *err)
{
    static const unsigned long recipes[] = {SOXR_QQ, SOXR_LQ, SOXR_MQ, SOXR_HQ, SOXR_VHQ};
    static const unsigned long phases[] = {SOXR_LINEAR_PHASE, SOXR_INTERMEDIATE_PHASE,
                                           SOXR_MINIMUM_PHASE};
    soxr_io_spec_t io = soxr_io_spec(datatype_of(&r->in), datatype_of(&r->in));
    soxr_quality_spec_t quality =
        soxr_quality_spec(recipes[params->quality] | phases[params->phase], 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    soxr_error_t why = NULL;
    io.flags |= SOXR_NO_DITHER; /* silence stays silence, and a run can be repeated */
    if (params->delay) {
        runtime.log2_min_dft_size = runtime.log2_large_dft_size = 8;
    }
    r->soxr = soxr_create(r->in.audio.rate_hz, r->out.audio.rate_hz, r->in.audio.channels, &why,
                          &io, &quality, &runtime);
    bool split = r->in.audio.planar && !is_u8(r);
    uint32_t channels = r->in.audio.channels;
    history_begin(&r->history, split ? channels : 1, soxr_sample_bytes(r) * (split ? 1 : channels));
    return why ? soxr_fail(why, err) : RM_OK;
}

static void drop_spare(resampler *r)
{
    rm_packet_unref(r->spare);
    r->spare = NULL;
}

static rm_status configure(resampler *r, const resample_params *params, const rm_format_line *in,
                           rm_error *err)
{
    drop_spare(r);
    soxr_delete(r->soxr);
    r->soxr = NULL;
    r->in = r->out = *in;
    r->out.audio.rate_hz = (uint32_t)params->rate_hz;
    rm_status status = is_same_rate(r) ? RM_OK : make_soxr(r, params, err);
    if (status != RM_OK) {
        r->in.audio.rate_hz = 0;
    }
    return status;
}

static bool same_for_soxr(const rm_format_line *a, const rm_format_line *b)
{
    return a->audio.rate_hz == b->audio.rate_hz && a->audio.channels == b->audio.channels &&
           a->audio.sample_format == b->audio.sample_format && a->audio.planar == b->audio.planar;
}

static rm_status resample_plan(const void *params_, const rm_format *in, rm_format *out,
                               rm_error *err)
{
    const resample_params *params = params_;
    (void)err;
    if (in[0].kind == RM_KIND_AUDIO) {
        out[0] = in[0];
    }
    out[0].field[0] = (rm_field){RM_FIELD_SET, 1, {params->rate_hz}};
    return RM_OK;
}

static void resample_close(rm_node *node)
{
    resampler *r = node->state;
    drop_spare(r);
    soxr_delete(r->soxr);
    rm_free(r->scratch);
    history_free(&r->history);
}

/* Making the filters takes time: it is done now where the plan says what will come. */
static rm_status resample_open(rm_node *node, rm_error *err)
{
    resampler *r = node->state;
    rm_format_line planned = audio_planned_line(node, 0);
    r->is_kept = rm_node_is_kept(node);
    return audio_check_line(&planned, NULL) == RM_OK ? configure(r, node->params, &planned, err)
                                                     : RM_OK;
}

static rm_status take_format(resampler *r, const rm_format_line *line, rm_error *err)
{
    rm_status status = audio_check_line(line, err);
    if (status != RM_OK) {
        return status;
    }
    r->renew = !same_for_soxr(line, &r->in);
    r->wanted = *line;
    if (!r->renew) {
        r->in.audio.channel_mask = r->out.audio.channel_mask = line->audio.channel_mask;
        drop_spare(r);
    }
    return RM_OK;
}

static rm_status resample_control(rm_node *node, const rm_control *control, rm_error *err)
{
    resampler *r = node->state;
    if (control->op == RM_CONTROL_FORMAT) {
        return take_format(r, control->line, err);
    }
    if (control->op == RM_CONTROL_INTERRUPT) {
        r->gap |= r->run.running;
        r->run.running = r->taken = r->ending = false;
        history_clear(&r->history);
        soxr_error_t why = r->soxr ? soxr_clear(r->soxr) : NULL;
        return why ? soxr_fail(why, err) : RM_OK;
    }
    return RM_OK;
}

/* ---- samples */

static rm_status reserve_scratch(resampler *r, size_t samples, rm_error *err)
{
    if (samples > r->scratch_samples) {
        rm_free(r->scratch);
        r->scratch_samples = 0;
        r->scratch = rm_alloc(samples * sizeof *r->scratch);
        if (!r->scratch) {
            return rm_fail(err, RM_ENOMEM, "no memory for %zu samples", samples);
        }
        r->scratch_samples = samples;
    }
    return RM_OK;
}

static const void *input_samples(resampler *r, const rm_packet *packet, size_t frames)
{
    if (packet && is_u8(r)) {
        rmi_audio from = audio_of(packet), to = {r->scratch, 0, from.channels, RMI_S16};
        rmi_audio_convert(&to, &from, frames);
        return r->scratch;
    }
    return packet ? packet->payload : NULL;
}

static bool has_room_to_keep(resampler *r, const rm_packet *in, size_t frames)
{
    return !in || !r->is_kept || history_reserve(&r->history, frames);
}

/* soxr got these frames, from one place or several, and gave some. */
static void note_call(resampler *r, const void *from, const void *const *planes, size_t frames,
                      size_t given)
{
    if (!r->is_kept) {
        return;
    }
    bool split = r->in.audio.planar && !is_u8(r);
    if (from && frames) {
        history_add(&r->history, split ? planes : &from, frames);
    }
    if (given) {
        history_note_output(&r->history);
    }
}

/* One call of soxr. in NULL: the input has ended; in_frames 0 with an input: what is left of it. */
static rm_status run_soxr(resampler *r, const rm_packet *in, size_t in_frames, rm_packet *out,
                          size_t *ret_frames, rm_error *err)
{
    const void *from = input_samples(r, in, in_frames), *in_planes[AUDIO_CHANNELS_MAX];
    void *to = out->payload, *out_planes[AUDIO_CHANNELS_MAX];
    size_t room = out->header.instance.audio.frames;
    if (!has_room_to_keep(r, in, in_frames)) {
        return rm_fail(err, RM_ENOMEM, "no memory for %zu frames", in_frames);
    }
    if (r->in.audio.planar && !is_u8(r)) {
        for (uint32_t c = 0; c < r->in.audio.channels; c++) {
            rmi_audio from_audio = {0}, to_audio = audio_of(out);
            if (in) {
                from_audio = audio_of(in);
                in_planes[c] = rmi_audio_channel(&from_audio, c, 0);
            }
            out_planes[c] = rmi_audio_channel(&to_audio, c, 0);
        }
        from = in ? in_planes : NULL;
        to = out_planes;
    } else if (is_u8(r)) {
        to = r->scratch + (in ? in_frames * r->in.audio.channels : 0);
    }
    soxr_error_t why = soxr_process(r->soxr, from, in_frames, NULL, to, room, ret_frames);
    if (why) {
        return soxr_fail(why, err);
    }
    note_call(r, in ? from : NULL, in_planes, in_frames, *ret_frames);
    if (is_u8(r) && *ret_frames) {
        rmi_audio from_audio = {to, 0, r->in.audio.channels, RMI_S16}, to_audio = audio_of(out);
        rmi_audio_convert(&to_audio, &from_audio, *ret_frames);
    }
    return RM_OK;
}

/* Every other block gives soxr nothing to give: what was made for it is kept. */
static rm_status make_packet(rm_node *node, uint32_t room, rm_packet **ret_packet, rm_error *err)
{
    resampler *r = node->state;
    if (r->spare && r->spare_room == room) {
        *ret_packet = r->spare;
        r->spare = NULL;
        return RM_OK;
    }
    drop_spare(r);
    return audio_packet_room(node, &r->out, room, ret_packet, err);
}

/* Makes one output packet of at most `room` frames; none where soxr has nothing to give. */
static rm_status give(rm_node *node, const rm_packet *in, size_t in_frames, uint32_t room,
                      size_t *ret_frames, rm_error *err)
{
    resampler *r = node->state;
    rm_packet *packet = NULL;
    size_t frames = 0;
    rm_status status = RM_OK;
    if (is_u8(r)) {
        status = reserve_scratch(r, (in_frames + room) * r->in.audio.channels, err);
    }
    if (status == RM_OK) {
        status = make_packet(node, room, &packet, err);
    }
    if (status != RM_OK) {
        return status;
    }
    status = run_soxr(r, in, in_frames, packet, &frames, err);
    if (status != RM_OK || frames == 0) {
        r->spare = packet;
        r->spare_room = room;
        *ret_frames = 0;
        return status;
    }
    audio_set_room(packet, (uint32_t)frames);
    audio_run_stamp(&r->run, r->given, packet);
    packet->header.flags = r->gap ? RM_FLAG_DISCONTINUITY : 0;
    r->gap = false;
    r->given += frames;
    *ret_frames = frames;
    return rm_emit(node, 0, packet);
}

static uint64_t frames_owed(const resampler *r)
{
    __extension__ typedef unsigned __int128 wide;
    uint32_t in_hz = r->in.audio.rate_hz;
    wide doubled = (wide)r->run.frames * r->out.audio.rate_hz * 2 + in_hz;
    uint64_t total = (uint64_t)(doubled / (2 * (wide)in_hz));
    return total > r->given ? total - r->given : 0;
}

/* RM_MORE: a packet of what soxr still holds went out. RM_OK: it holds nothing any more. */
static rm_status give_tail(rm_node *node, rm_error *err)
{
    resampler *r = node->state;
    uint64_t owed = r->run.running && r->soxr ? frames_owed(r) : 0;
    size_t frames = 0;
    r->ending = true;
    if (owed) {
        uint32_t room = owed < TAIL_PACKET_FRAMES ? (uint32_t)owed : TAIL_PACKET_FRAMES;
        rm_status status = give(node, NULL, 0, room, &frames, err);
        if (status != RM_OK) {
            return status;
        }
    }
    if (frames) {
        return RM_MORE;
    }
    r->run.running = r->taken = r->ending = false;
    history_clear(&r->history);
    if (r->soxr) {
        soxr_error_t why = soxr_clear(r->soxr);
        return why ? soxr_fail(why, err) : RM_OK;
    }
    return RM_OK;
}

/* RM_OK: the packet goes into the run. RM_MORE: the run before it had a packet left. */
static rm_status join_run(rm_node *node, const rm_packet *packet, rm_error *err)
{
    resampler *r = node->state;
    if (r->run.running && !r->ending && !r->renew && audio_run_joins(&r->run, packet)) {
        return RM_OK;
    }
    bool first = !r->run.running;
    rm_status status = give_tail(node, err);
    if (status != RM_OK) {
        return status;
    }
    r->gap |= !first || packet->header.flags & RM_FLAG_DISCONTINUITY;
    if (r->renew) {
        status = configure(r, node->params, &r->wanted, err);
    }
    if (status == RM_OK) {
        r->renew = false;
        r->given = 0;
        audio_run_begin(&r->run, packet);
    }
    return status;
}

/* Room for what this input comes to and for what a filter gives in one go: mostly one call. */
static uint32_t output_room(const resampler *r, uint32_t frames)
{
    uint64_t whole =
        ((uint64_t)frames * r->out.audio.rate_hz + r->in.audio.rate_hz - 1) / r->in.audio.rate_hz;
    uint64_t room = 2 * whole + SPARE_FRAMES;
    return room < UINT32_MAX ? (uint32_t)room : UINT32_MAX;
}

static rm_status resample_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    resampler *r = node->state;
    const rm_packet *packet = inputs->packet[0];
    uint32_t frames = packet->header.instance.audio.frames;
    if (!r->taken) {
        rm_status status = audio_check(packet, err);
        if (status == RM_OK) {
            status = join_run(node, packet, err);
        }
        if (status != RM_OK) {
            return status;
        }
        if (frames == 0) {
            return RM_OK;
        }
        if (is_same_rate(r)) {
            r->run.frames += frames;
            return rm_forward(node, 0);
        }
    }
    uint32_t room = output_room(r, frames);
    size_t given = 0;
    rm_status status = give(node, packet, r->taken ? 0 : frames, room, &given, err);
    if (status != RM_OK) {
        return status;
    }
    r->run.frames += r->taken ? 0 : frames;
    r->taken = given == room;
    return r->taken ? RM_MORE : RM_OK;
}

static rm_status resample_flush(rm_node *node, rm_error *err)
{
    return give_tail(node, err);
}

/* ---- checkpoints */

typedef struct saved {
    rm_format_line in, wanted;
    audio_run run;
    uint64_t given, fed, first, frames;
    uint32_t renew, taken, ending, gap;
} saved;

/* Between two calls. */
static rm_status resample_checkpoint(rm_node *node, rm_blob *blob, rm_error *err)
{
    const resampler *r = node->state;
    const history *h = &r->history;
    saved s;
    if (r->soxr && !r->is_kept) {
        return rm_fail_as(err, RM_CODE_CHECKPOINT_REFUSED,
                          "the session was opened without checkpoints, so that no input was kept");
    }
    if (r->soxr && h->lost) {
        return rm_fail_as(err, RM_CODE_CHECKPOINT_REFUSED,
                          "more than %zu MiB of sound would have to be kept",
                          HISTORY_BYTES_MAX >> 20);
    }
    memset(&s, 0, sizeof s);
    s.in = r->in;
    s.wanted = r->wanted;
    s.run = r->run;
    s.given = r->given;
    s.renew = r->renew;
    s.taken = r->taken;
    s.ending = r->ending;
    s.gap = r->gap;
    s.fed = h->fed;
    s.first = h->first;
    s.frames = history_wanted(h);
    rm_status status = rm_blob_append(blob, &s, sizeof s);
    for (uint32_t p = 0; p < h->planes && s.frames && status == RM_OK; p++) {
        status = rm_blob_append(blob, history_plane(h, p) + (h->frames - s.frames) * h->frame_bytes,
                                s.frames * h->frame_bytes);
    }
    return status == RM_OK ? RM_OK : rm_fail(err, status, "no memory to save a resampler");
}

/* soxr gets frames again, and what it gives is let go: *left frames of it are known. */
static rm_status repeat(resampler *r, const uint8_t *data, size_t plane_bytes, size_t frames,
                        uint64_t *left, uint8_t *sink)
{
    const void *from[HISTORY_PLANES_MAX] = {0};
    void *to[HISTORY_PLANES_MAX];
    for (uint32_t p = 0; p < r->history.planes; p++) {
        from[p] = data ? data + p * plane_bytes : NULL;
        to[p] = sink + (size_t)p * REPEAT_FRAMES * r->history.frame_bytes;
    }
    bool split = r->history.planes > 1 || (r->in.audio.planar && !is_u8(r));
    size_t given = 0;
    do {
        size_t room = *left < REPEAT_FRAMES ? (size_t)*left : REPEAT_FRAMES;
        soxr_error_t why = soxr_process(r->soxr,
                                        !data   ? NULL
                                        : split ? from
                                                : from[0],
                                        frames, NULL, split ? (void *)to : to[0], room, &given);
        if (why) {
            return RM_EFAIL;
        }
        *left -= given;
        frames = 0;
    } while (given && *left);
    return RM_OK;
}

/* The run once more: silence for what the filters have forgotten, then what is kept. */
static rm_status repeat_run(resampler *r, const saved *s, const uint8_t *kept)
{
    uint32_t frame_bytes = r->history.frame_bytes;
    size_t step = (size_t)r->history.planes * frame_bytes;
    uint8_t *silence = rm_alloc(2 * REPEAT_FRAMES * step); /* cleared; behind it the sink */
    rm_status status = silence ? RM_OK : RM_ENOMEM;
    uint64_t left = s->given, before = s->fed - s->frames;
    uint8_t *sink = silence ? silence + REPEAT_FRAMES * step : NULL;
    while (before && status == RM_OK) {
        size_t frames = before < REPEAT_FRAMES ? (size_t)before : REPEAT_FRAMES;
        status = repeat(r, silence, REPEAT_FRAMES * frame_bytes, frames, &left, sink);
        before -= frames;
    }
    for (size_t at = 0; at < s->frames && status == RM_OK; at += REPEAT_FRAMES) {
        size_t rest = s->frames - at, frames = rest < REPEAT_FRAMES ? rest : REPEAT_FRAMES;
        status = repeat(r, kept + at * frame_bytes, s->frames * frame_bytes, frames, &left, sink);
    }
    if (s->ending && left && status == RM_OK) {
        status = repeat(r, NULL, 0, 0, &left, sink);
    }
    rm_free(silence);
    return status == RM_OK && left ? RM_EFAIL : status;
}

static rm_status keep_history(resampler *r, const saved *s, const uint8_t *kept)
{
    history *h = &r->history;
    if (!history_reserve(h, s->frames)) {
        return RM_ENOMEM;
    }
    const void *planes[HISTORY_PLANES_MAX];
    for (uint32_t p = 0; p < h->planes; p++) {
        planes[p] = kept + (size_t)p * s->frames * h->frame_bytes;
    }
    if (s->frames) {
        history_add(h, planes, s->frames);
    }
    h->fed = s->fed;
    h->first = s->first;
    return RM_OK;
}

static bool is_sound(const resampler *r, const saved *s, size_t bytes)
{
    size_t step = (size_t)r->history.planes * r->history.frame_bytes;
    bool fits = s->frames <= s->fed && s->fed <= FED_MAX && s->frames <= HISTORY_BYTES_MAX / step;
    return fits && bytes == s->frames * step;
}

static rm_status resample_restore(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    resampler *r = node->state;
    saved s;
    if (bytes < sizeof s) {
        return rm_fail(err, RM_EINVAL, "a saved resampler has %zu bytes, want %zu or more", bytes,
                       sizeof s);
    }
    memcpy(&s, data, sizeof s);
    const uint8_t *kept = (const uint8_t *)data + sizeof s;
    rm_status status = RM_OK;
    if (s.in.audio.rate_hz) {
        status = audio_check_line(&s.in, err);
        status = status == RM_OK ? configure(r, node->params, &s.in, err) : status;
    }
    if (status != RM_OK) {
        return status;
    }
    if (r->soxr && !is_sound(r, &s, bytes - sizeof s)) {
        return rm_fail(err, RM_EINVAL, "a saved resampler has %zu bytes for %llu frames", bytes,
                       (unsigned long long)s.frames);
    }
    if (r->soxr && s.fed) {
        status = repeat_run(r, &s, kept);
        status = status == RM_OK ? keep_history(r, &s, kept) : status;
    }
    if (status != RM_OK) {
        return rm_fail(err, status, "libsoxr does not do the same again");
    }
    r->wanted = s.wanted;
    r->run = s.run;
    r->given = s.given;
    r->renew = s.renew;
    r->taken = s.taken;
    r->ending = s.ending;
    r->gap = s.gap;
    return RM_OK;
}

static const rm_param resample_table[] = {
    {.name = "rate_hz",
     .kind = RM_PARAM_INT,
     .flags = RM_PARAM_REQUIRED,
     .offset = offsetof(resample_params, rate_hz),
     .min = 1000,
     .max = 768000,
     .unit = "Hz",
     .summary = "frames a second of the output"},
    {.name = "quality",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(resample_params, quality),
     .default_json = "\"high\"",
     .choices = "quick|low|medium|high|very_high",
     .summary = "cubic, 16 bits wide or medium roll-off, 20 bits, 28 bits"},
    {.name = "phase",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(resample_params, phase),
     .default_json = "\"linear\"",
     .choices = "linear|intermediate|minimum",
     .summary = "of the filter; minimum delays least, and not all frequencies alike"},
    {.name = "delay",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(resample_params, delay),
     .default_json = "\"normal\"",
     .choices = "normal|low",
     .summary = "low: smaller blocks for live sound, at more work a frame"},
    {0},
};

static const rm_port resample_inputs[] = {
    {.name = "in", .formats = "audio", .summary = "audio of any format", .latency_packets = 4},
    {0}};
static const rm_port resample_outputs[] = {
    {.name = "out", .formats = "audio", .summary = "the same at rate_hz; packets of any length"},
    {0}};

static const rm_node_type resample_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "audio.resample",
    .summary = "Change the rate of audio",
    .example = "wav.read path=talk.wav ! audio.resample rate_hz=16000 ! wav.write path=talk16.wav",
    .inputs = resample_inputs,
    .outputs = resample_outputs,
    .params = resample_table,
    .params_size = sizeof(resample_params),
    .state_size = sizeof(resampler),
    .plan = resample_plan,
    .open = resample_open,
    .process = resample_process,
    .flush = resample_flush,
    .control = resample_control,
    .close = resample_close,
    .checkpoint = resample_checkpoint,
    .restore = resample_restore,
};

RM_MODULE("audio.resample", RM_VERSION, &resample_type)
