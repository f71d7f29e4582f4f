/* media.read — any audio or video file that libav* knows, decoded. */
#include <string.h>

#include "../audio_packet.h"
#include "frames.h"
#include "place.h"
#include "timeline.h"

enum {
    BATCH_PACKETS = 8,     /* audio packets that one call emits at most; a picture ends the call */
    BATCH_STEPS = 64,      /* file packets that one call deals with at most */
    PREROLL_MS = 200,      /* a decoder that starts in the middle needs a run-up */
    SHORT_BY_MS_MAX = 500, /* headers are not exact about the length */
    COME_BACK_NS = 2000000 /* how often to look for pictures that came back, or bytes in a pipe */
};

#define TIME_MAX_NS (INT64_MAX / 4) /* 73 years */

typedef struct read_params {
    const char *path;
    bool paced;
    double start_s, duration_s;
    int64_t audio_stream, video_stream, threads, damaged;
} read_params;

enum { DAMAGED_FAIL = 0, DAMAGED_KEEP = 1 };

/* What is known of the source's frame: it waits here until it may leave. */
typedef struct waiting {
    bool is_there;
    media_kind kind;
    int64_t pts_ns, duration_ns;
    uint32_t flags;
    uint32_t first, count; /* audio: the samples that are wanted */
} waiting;

typedef struct reader {
    media_source source;
    timeline times[MEDIA_KINDS];
    picture_converter converter;
    audio_pace pace;
    waiting next;
    bool is_chosen; /* which streams to decode */
    bool is_over;
    int64_t start_ns, end_ns;
    rm_error failure;             /* comes after what the same call has emitted */
    uint64_t frames[MEDIA_KINDS]; /* dealt with: given, or not wanted */
    uint64_t before[MEDIA_KINDS]; /* so many of them by the run that this one goes on from */
    stream_point points[MEDIA_KINDS];
    file_mark mark;
} reader;

/* ---- which streams */

static rm_status choose_streams(rm_node *node, reader *r, rm_error *err)
{
    const read_params *params = node->params;
    const int64_t index[MEDIA_KINDS] = {params->audio_stream, params->video_stream};
    int wanted = 0, found = 0;
    for (int kind = 0; kind < MEDIA_KINDS; kind++) {
        if (!rm_port_is_connected(node, (uint32_t)kind)) {
            continue;
        }
        wanted |= 1 << kind;
        rm_status status = media_source_select(&r->source, (media_kind)kind, (int)index[kind],
                                               (int)params->threads, err);
        if (status != RM_OK) {
            return status;
        }
        found |= r->source.streams[kind].stream ? 1 << kind : 0;
    }
    r->is_chosen = wanted != 0;
    if (wanted && !found) {
        static const char *const what[] = {"", "audio", "video", "audio or video"};
        return rm_fail_as(err, RM_CODE_MEDIA_DATA, "media file '%s' has no %s stream", params->path,
                          what[wanted]);
    }
    if (r->start_ns > 0) {
        double from_s = params->start_s - PREROLL_MS / 1000.0;
        return from_s > 0 ? media_source_seek(&r->source, from_s, err) : RM_OK;
    }
    return RM_OK;
}

static rm_status begin(rm_node *node, reader *r, rm_error *err)
{
    rm_status status = media_source_open(&r->source, err);
    return status == RM_OK ? choose_streams(node, r, err) : status;
}

static rm_status read_open(rm_node *node, rm_error *err)
{
    const read_params *params = node->params;
    reader *r = node->state;
    r->start_ns = params->start_s > 0 ? (int64_t)(params->start_s * 1e9) : -TIME_MAX_NS;
    r->end_ns = params->duration_s > 0 ? (int64_t)((params->start_s + params->duration_s) * 1e9)
                                       : TIME_MAX_NS;
    rm_status status = media_source_init(&r->source, params->path, err);
    if (status == RM_OK && !media_source_is_pipe(&r->source)) {
        r->mark = file_mark_of(params->path);
        status = begin(node, r, err);
    }
    if (status != RM_OK) {
        media_source_close(&r->source);
    }
    return status;
}

static void read_close(rm_node *node)
{
    reader *r = node->state;
    picture_converter_free(&r->converter);
    media_source_close(&r->source);
}

/* ---- frames */

static void forget_frame(reader *r)
{
    av_frame_unref(r->source.frame);
    r->next.is_there = false;
    r->frames[r->next.kind]++;
}

/* Samples from the start of the frame to a time, to the nearest one. */
static uint32_t samples_until(const AVFrame *frame, int64_t from_ns, int64_t until_ns)
{
    if (until_ns <= from_ns) {
        return 0;
    }
    int64_t count = av_rescale(until_ns - from_ns, frame->sample_rate, 1000000000);
    return count < frame->nb_samples ? (uint32_t)count : (uint32_t)frame->nb_samples;
}

static rm_status look_at_audio(reader *r, int64_t file_ns, rm_error *err)
{
    const AVFrame *frame = r->source.frame;
    rm_format_line line;
    rm_status status = audio_line(frame, &line, err);
    if (status != RM_OK) {
        return status;
    }
    AVRational tick = r->source.streams[MEDIA_AUDIO].stream->time_base;
    int64_t tolerance_ns = 2000000 + av_rescale(2000000000, tick.num, tick.den);
    waiting *next = &r->next;
    int64_t from_ns = timeline_audio(&r->times[MEDIA_AUDIO], file_ns, tolerance_ns, &next->flags);
    next->first = samples_until(frame, from_ns, r->start_ns);
    uint32_t until = samples_until(frame, from_ns, r->end_ns);
    next->count = until > next->first ? until - next->first : 0;
    next->pts_ns = from_ns + audio_time_ns(next->first, line.audio.rate_hz);
    timeline_audio_add(&r->times[MEDIA_AUDIO], (uint64_t)frame->nb_samples, line.audio.rate_hz);
    if (until < (uint32_t)frame->nb_samples) {
        media_source_drop(&r->source, MEDIA_AUDIO);
    }
    next->is_there = next->count > 0;
    return RM_OK;
}

static int64_t picture_duration_ns(const reader *r)
{
    const AVFrame *frame = r->source.frame;
    AVStream *stream = r->source.streams[MEDIA_VIDEO].stream;
    AVRational ns = {1, 1000000000};
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 30, 100)
    int64_t ticks = frame->duration;
#else
    int64_t ticks = frame->pkt_duration;
#endif
    if (ticks > 0) {
        return av_rescale_q(ticks, stream->time_base, ns);
    }
    AVRational rate = av_guess_frame_rate(r->source.container, stream, NULL);
    return rate.num > 0 && rate.den > 0 ? av_rescale(1000000000, rate.den, rate.num) : 0;
}

static bool is_key(const AVFrame *frame)
{
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100)
    return (frame->flags & AV_FRAME_FLAG_KEY) != 0;
#else
    return frame->key_frame != 0;
#endif
}

static void look_at_picture(reader *r, int64_t file_ns)
{
    waiting *next = &r->next;
    next->duration_ns = picture_duration_ns(r);
    next->pts_ns = timeline_video(&r->times[MEDIA_VIDEO], file_ns, next->duration_ns, &next->flags);
    next->flags |= is_key(r->source.frame) ? RM_FLAG_KEY : 0;
    if (next->pts_ns >= r->end_ns) {
        media_source_drop(&r->source, MEDIA_VIDEO);
    }
    next->is_there = next->pts_ns >= r->start_ns && next->pts_ns < r->end_ns;
}

/* The next frame, and when it is. RM_MORE: none yet. */
static rm_status find_frame(reader *r, rm_error *err)
{
    media_kind kind = MEDIA_AUDIO;
    rm_status status = media_source_next(&r->source, &kind, err);
    if (status != RM_OK) {
        return status;
    }
    media_stream *stream = &r->source.streams[kind];
    r->next = (waiting){.kind = kind};
    r->next.flags = (stream->gap ? RM_FLAG_DISCONTINUITY : 0u) |
                    (media_frame_is_damaged(r->source.frame) ? RM_FLAG_CORRUPT : 0u);
    int64_t file_ns = media_frame_time_ns(&r->source, kind);
    if (stream->is_point) {
        r->points[kind] = (stream_point){stream->point_at, r->frames[kind], r->times[kind]};
    }
    if (kind == MEDIA_AUDIO) {
        status = look_at_audio(r, file_ns, err);
    } else {
        look_at_picture(r, file_ns);
    }
    stream->gap = stream->gap && !r->next.is_there;
    bool was_dealt_with = r->frames[kind] < r->before[kind];
    if (!r->next.is_there || was_dealt_with) {
        forget_frame(r);
        return status == RM_OK || was_dealt_with ? RM_MORE : status;
    }
    return RM_OK;
}

static rm_status emit_frame(rm_node *node, reader *r, rm_error *err)
{
    const waiting *next = &r->next;
    rm_packet *packet = NULL;
    rm_status status =
        next->kind == MEDIA_AUDIO
            ? audio_frame_packet(node, r->source.frame, next->first, next->count, &packet, err)
            : picture_frame_packet(node, &r->source, &r->converter, &packet, err);
    if (status != RM_OK) {
        return status;
    }
    packet->header.pts_ns = next->pts_ns;
    packet->header.flags = next->flags;
    if (next->kind == MEDIA_VIDEO) {
        packet->header.duration_ns = next->duration_ns;
    }
    status = rm_emit(node, (uint32_t)next->kind, packet);
    forget_frame(r);
    return status;
}

/* ---- the end */

/* Where a stream ended long before what its header says; else 0. */
static double ends_early_s(const reader *r, media_kind kind)
{
    const AVStream *stream = r->source.streams[kind].stream;
    bool is_told = r->source.container->duration_estimation_method == AVFMT_DURATION_FROM_STREAM;
    if (!stream || stream->discard == AVDISCARD_ALL || !is_told || stream->duration <= 0 ||
        r->end_ns != TIME_MAX_NS) {
        return 0;
    }
    double told_s = (double)stream->duration * av_q2d(stream->time_base);
    double got_s = (double)r->times[kind].next_ns / 1e9;
    return got_s < told_s - SHORT_BY_MS_MAX / 1000.0 ? told_s : 0;
}

static rm_status damage_error(const reader *r, rm_error *err)
{
    const media_source *source = &r->source;
    for (int kind = 0; kind < MEDIA_KINDS; kind++) {
        double told_s = ends_early_s(r, (media_kind)kind);
        if (told_s > 0) {
            return rm_fail_as(
                err, RM_CODE_MEDIA_DATA,
                "media file '%s' is cut off: it ends at %.3f s, its header says %.3f s",
                source->path, (double)r->times[kind].next_ns / 1e9, told_s);
        }
    }
    if (source->damaged == 0) {
        return RM_OK;
    }
    return rm_fail_as(err, RM_CODE_MEDIA_DATA,
                      "media file '%s' is damaged: %llu of %llu packets are not whole (%s)",
                      source->path, (unsigned long long)source->damaged,
                      (unsigned long long)source->packets, source->reason);
}

static rm_status finish(rm_node *node, reader *r, rm_error *err)
{
    const read_params *params = node->params;
    rm_error damage = RM_ERROR_INIT;
    r->is_over = true;
    if (damage_error(r, &damage) == RM_OK) {
        return RM_DONE;
    }
    if (params->damaged == DAMAGED_KEEP) {
        rm_log(RM_LOG_WARNING, "media.read", "%s: %s", node->id, damage.message);
        return RM_DONE;
    }
    rm_error_help(&damage, "damaged=keep takes what can be decoded");
    if (err) {
        *err = damage;
    }
    return damage.status;
}

/* ---- process */

/* What is awaited sends no word: looks again soon. */
static rm_status come_back(rm_node *node)
{
    rm_node_wake_at(node, rm_node_now(node) + COME_BACK_NS);
    return RM_EAGAIN;
}

/* One file packet or one frame. RM_OK: a packet was emitted. RM_EAGAIN: not now, a timer is set, or
 * memory is awaited. */
static rm_status step(rm_node *node, reader *r, rm_error *err)
{
    const read_params *params = node->params;
    if (!media_source_has_room(&r->source)) {
        return come_back(node);
    }
    if (!r->next.is_there) {
        rm_status status = find_frame(r, err);
        if (status != RM_OK) {
            return status == RM_DONE     ? finish(node, r, err)
                   : status == RM_EAGAIN ? come_back(node)
                                         : status;
        }
    }
    if (params->paced && !audio_pace_is_due(&r->pace, node, r->next.pts_ns)) {
        return RM_EAGAIN;
    }
    return emit_frame(node, r, err);
}

static rm_status begin_call(rm_node *node, reader *r, rm_error *err)
{
    if (r->failure.status < 0) {
        *err = r->failure;
        return err->status;
    }
    rm_status status = RM_OK;
    if (!r->source.container) {
        status = media_source_is_ready(&r->source) ? begin(node, r, err) : come_back(node);
    } else if (!r->is_chosen) {
        status = choose_streams(node, r, err);
    }
    for (int kind = 0; kind < MEDIA_KINDS; kind++) {
        if (!rm_port_is_connected(node, (uint32_t)kind)) {
            media_source_drop(&r->source, (media_kind)kind);
        }
    }
    return r->is_over ? RM_DONE : status;
}

static rm_status read_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    reader *r = node->state;
    (void)inputs;
    rm_status status = begin_call(node, r, err);
    int emitted = 0;
    bool is_full = false;
    for (int i = 0; i < BATCH_STEPS && status == RM_OK && !is_full; i++) {
        status = step(node, r, err);
        emitted += status == RM_OK;
        is_full = status == RM_OK && (r->next.kind == MEDIA_VIDEO || emitted == BATCH_PACKETS);
        status = status == RM_MORE ? RM_OK : status;
    }
    if (emitted && status == RM_EAGAIN) {
        return RM_OK;
    }
    if (emitted && status < 0) {
        r->failure = *err; /* an error would take back what was emitted */
        *err = (rm_error)RM_ERROR_INIT;
        return RM_OK;
    }
    return status;
}

/* ---- checkpoints */

static rm_status read_checkpoint(rm_node *node, rm_blob *blob, rm_error *err)
{
    const reader *r = node->state;
    rm_status status = media_place_check(&r->source, err);
    if (status != RM_OK) {
        return status;
    }
    media_place place;
    memset(&place, 0, sizeof place); /* its gaps, too, are written */
    place.mark = r->mark;
    place.is_over = r->is_over && r->failure.status == RM_OK;
    for (int kind = 0; kind < MEDIA_KINDS; kind++) {
        bool is_on_its_way = r->frames[kind] < r->before[kind];
        place.frames[kind] = is_on_its_way ? r->before[kind] : r->frames[kind];
        place.points[kind] = r->points[kind];
    }
    status = rm_blob_append(blob, &place, sizeof place);
    return status == RM_OK ? RM_OK : rm_fail(err, status, "no memory to save a place");
}

static rm_status read_restore(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    reader *r = node->state;
    media_place place;
    rm_status status = media_place_check(&r->source, err);
    if (status == RM_OK) {
        status = media_place_read(&r->source, &r->mark, data, bytes, &place, err);
    }
    if (status != RM_OK) {
        return status;
    }
    r->is_over = place.is_over;
    for (int kind = 0; kind < MEDIA_KINDS; kind++) {
        const stream_point *point = &place.points[kind];
        r->before[kind] = place.frames[kind];
        r->points[kind] = *point;
        r->frames[kind] = point->frames;
        r->times[kind] = point->times;
        r->source.streams[kind].points.left_out = point->packet;
    }
    return RM_OK;
}

/* ---- the type */

static const rm_param read_table[] = {
    {.name = "path",
     .kind = RM_PARAM_STRING,
     .flags = RM_PARAM_REQUIRED,
     .offset = offsetof(read_params, path),
     .summary = "the file; - is standard input"},
    {.name = "paced",
     .kind = RM_PARAM_BOOL,
     .offset = offsetof(read_params, paced),
     .default_json = "false",
     .summary = "packets leave in real time, not as fast as they are taken"},
    {.name = "start_s",
     .kind = RM_PARAM_FLOAT,
     .offset = offsetof(read_params, start_s),
     .default_json = "0",
     .min = 0,
     .max = 1e6,
     .unit = "s",
     .summary = "where to begin, from the start of the file"},
    {.name = "duration_s",
     .kind = RM_PARAM_FLOAT,
     .offset = offsetof(read_params, duration_s),
     .default_json = "0",
     .min = 0,
     .max = 1e6,
     .unit = "s",
     .summary = "how much to read; 0: to the end"},
    {.name = "audio_stream",
     .kind = RM_PARAM_INT,
     .offset = offsetof(read_params, audio_stream),
     .default_json = "-1",
     .min = -1,
     .max = 1000,
     .summary = "which of the audio streams, from 0; -1: the best"},
    {.name = "video_stream",
     .kind = RM_PARAM_INT,
     .offset = offsetof(read_params, video_stream),
     .default_json = "-1",
     .min = -1,
     .max = 1000,
     .summary = "which of the video streams, from 0; -1: the best"},
    {.name = "threads",
     .kind = RM_PARAM_INT,
     .offset = offsetof(read_params, threads),
     .default_json = "1",
     .min = 0,
     .max = 64,
     .summary = "of each decoder; 0: one a core"},
    {.name = "damaged",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(read_params, damaged),
     .default_json = "\"fail\"",
     .choices = "fail|keep",
     .summary = "what can be decoded comes in any case; fail: then the node fails, keep: it warns"},
    {0},
};

static const rm_port read_outputs[] = {{.name = "audio",
                                        .formats = "audio",
                                        .summary = "sound as the decoder gives it",
                                        .emit_max = BATCH_PACKETS},
                                       {.name = "video",
                                        .formats = "video fourcc=I420,NV12,RGB3,RGBA,GREY",
                                        .summary = "pictures as the decoder gives them",
                                        .emit_max = 1},
                                       {0}};

/* What these libraries decode was fixed when they were built. */
static void each_codec(void (*show)(void *context, const char *name), void *context)
{
    void *at = NULL;
    for (const AVCodec *codec; (codec = av_codec_iterate(&at));) {
        bool plays = codec->type == AVMEDIA_TYPE_AUDIO || codec->type == AVMEDIA_TYPE_VIDEO;
        if (plays && av_codec_is_decoder(codec)) {
            show(context, avcodec_get_name(codec->id));
        }
    }
}

static const rm_node_type read_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "media.read",
    .summary = "Read and decode an audio or video file",
    .example = "media.read path=talk.flac ! audio.level ! json.write path=-",
    .flags = RM_NODE_BLOCKS,
    .outputs = read_outputs,
    .params = read_table,
    .params_size = sizeof(read_params),
    .state_size = sizeof(reader),
    .open = read_open,
    .process = read_process,
    .close = read_close,
    .each_codec = each_codec,
    .checkpoint = read_checkpoint,
    .restore = read_restore,
};

RM_MODULE("media.read", RM_VERSION, &read_type)
