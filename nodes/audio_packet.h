/* audio_packet.h — what the audio nodes share: checking, making and addressing audio packets.
 *
 * Included by node modules and their tests; all inline, on the public headers and core/dsp.
 */
#ifndef NODES_AUDIO_PACKET_H
#define NODES_AUDIO_PACKET_H

#include <stdbool.h>

#include <remotemedia/module.h>

#include "dsp/convert.h"

enum { AUDIO_CHANNELS_MAX = 64 };

/* When frame `frames` of a stream begins, counted from its start. Exact, rounded down. The first 4
 * days at 48 kHz take one division, which is what a packet's times cost. */
static inline int64_t audio_time_ns(uint64_t frames, uint32_t rate_hz)
{
    if (frames < UINT64_MAX / 1000000000u) {
        return (int64_t)(frames * 1000000000u / rate_hz);
    }
    return (int64_t)(frames / rate_hz * 1000000000u + frames % rate_hz * 1000000000u / rate_hz);
}

/* How many frames an interval of milliseconds has, at least 1. */
static inline uint64_t audio_frames_of_ms(double ms, uint32_t rate_hz)
{
    double frames = ms * rate_hz / 1000 + 0.5;
    return frames < 1 ? 1 : (uint64_t)frames;
}

static inline uint32_t audio_sample_bytes(const rm_format_line *line)
{
    return (uint32_t)rmi_sample_bytes(line->audio.sample_format);
}

static inline rm_status audio_check_line(const rm_format_line *line, rm_error *err)
{
    if (audio_sample_bytes(line) == 0 || line->audio.rate_hz == 0 || line->audio.planar > 1) {
        return rm_fail_as(
            err, RM_CODE_PACKET_HEADER,
            "audio packet has sample_format %u, rate_hz %u, planar %u, want 1 to 5, 1 or "
            "more, 0 or 1",
            line->audio.sample_format, line->audio.rate_hz, line->audio.planar);
    }
    if (line->audio.channels == 0 || line->audio.channels > AUDIO_CHANNELS_MAX) {
        return rm_fail_as(err, RM_CODE_PACKET_FORMAT, "audio packet has %u channels, want 1 to %d",
                          line->audio.channels, AUDIO_CHANNELS_MAX);
    }
    return RM_OK;
}

/* What an input port's format is known to be, by plan or from the latest packet: 0 where it is not.
 */
static inline rm_format_line audio_planned_line(const rm_node *node, uint32_t input)
{
    rm_format format;
    rm_format_line line = {0};
    rm_node_input_format(node, input, &format);
    int64_t value[4] = {0};
    for (uint32_t i = 0; i < 4 && format.kind == RM_KIND_AUDIO; i++) {
        bool fixed = format.field[i].mode == RM_FIELD_SET && format.field[i].count == 1;
        value[i] = fixed ? format.field[i].value[0] : 0;
    }
    line.audio.rate_hz = (uint32_t)value[0];
    line.audio.channels = (uint16_t)value[1];
    line.audio.sample_format = (uint8_t)value[2];
    line.audio.planar = (uint8_t)value[3];
    return line;
}

/* A packet may come from anybody's code: what its header says must lie within its payload. */
static inline rm_status audio_check(const rm_packet *packet, rm_error *err)
{
    const rm_packet_header *h = &packet->header;
    rm_status status = audio_check_line(&h->format, err);
    if (status != RM_OK) {
        return status;
    }
    uint64_t plane = (uint64_t)h->instance.audio.frames * audio_sample_bytes(&h->format);
    uint64_t stride = h->instance.audio.plane_stride_bytes;
    uint64_t end = h->format.audio.planar ? stride * (h->format.audio.channels - 1u) + plane
                                          : plane * h->format.audio.channels;
    if (end > h->payload_bytes || (h->format.audio.planar && stride < plane)) {
        return rm_fail_as(err, RM_CODE_PACKET_HEADER,
                          "audio packet says %u frames, more than its payload of %llu bytes holds",
                          h->instance.audio.frames, (unsigned long long)h->payload_bytes);
    }
    return RM_OK;
}

/* The samples of a packet, for the functions of core/dsp. A packet with no frames has no planes. */
static inline rmi_audio audio_of(const rm_packet *packet)
{
    const rm_packet_header *h = &packet->header;
    rmi_audio audio = {packet->payload,
                       h->format.audio.planar ? h->instance.audio.plane_stride_bytes : 0,
                       h->format.audio.channels, h->format.audio.sample_format};
    return audio;
}

/* How many frames a packet has now; its times are for audio_run_stamp(). */
static inline void audio_set_room(rm_packet *packet, uint32_t frames)
{
    rm_packet_header *h = &packet->header;
    uint64_t bytes = (uint64_t)frames * audio_sample_bytes(&h->format);
    h->instance.audio.frames = frames;
    h->payload_bytes = h->format.audio.planar ? (uint64_t)h->instance.audio.plane_stride_bytes *
                                                        (h->format.audio.channels - 1u) +
                                                    bytes
                                              : bytes * h->format.audio.channels;
}

/* How many frames a packet has now, before it is emitted: the room stays, the numbers follow. */
static inline void audio_set_frames(rm_packet *packet, uint32_t frames)
{
    audio_set_room(packet, frames);
    packet->header.duration_ns = audio_time_ns(frames, packet->header.format.audio.rate_hz);
}

/* A packet of this format with room for `frames` frames (1 or more), without times. RM_EAGAIN as
 * rm_packet_new(). */
static inline rm_status audio_packet_room(rm_node *node, const rm_format_line *line,
                                          uint32_t frames, rm_packet **ret_packet, rm_error *err)
{
    uint64_t plane = (uint64_t)frames * audio_sample_bytes(line);
    uint64_t stride = line->audio.planar ? (plane + 63) / 64 * 64 : plane;
    rm_status status = stride > UINT32_MAX && line->audio.planar
                           ? RM_ENOMEM
                           : rm_packet_new(node, stride * line->audio.channels, ret_packet);
    if (status < 0) {
        (void)rm_fail(err, status, "no memory for an audio packet of %u frames, %u channels",
                      frames, line->audio.channels);
        return status;
    }
    if (status == RM_OK) {
        rm_packet_header *h = &(*ret_packet)->header;
        h->kind = RM_KIND_AUDIO;
        h->format = *line;
        h->instance.audio.plane_stride_bytes = line->audio.planar ? (uint32_t)stride : 0;
        audio_set_room(*ret_packet, frames);
    }
    return status;
}

/* The same, with the duration of all its frames. */
static inline rm_status audio_packet_new(rm_node *node, const rm_format_line *line, uint32_t frames,
                                         rm_packet **ret_packet, rm_error *err)
{
    rm_status status = audio_packet_room(node, line, frames, ret_packet, err);
    if (status == RM_OK) {
        (*ret_packet)->header.duration_ns = audio_time_ns(frames, line->audio.rate_hz);
    }
    return status;
}

/* Times by counting: a run begins at the time of its first packet, and the frames since then say
 * the rest, so that nothing drifts. Jitter of single packets does not count; a packet that is
 * marked, or further off than this, does not join on. */
enum { AUDIO_GAP_NS = 40000000 };

typedef struct audio_run {
    bool running;
    int64_t start_ns; /* RM_TIME_NONE: the stream has no times */
    uint64_t frames;  /* since then */
} audio_run;

static inline void audio_run_begin(audio_run *run, const rm_packet *packet)
{
    *run = (audio_run){true, packet->header.pts_ns, 0};
}

/* When frame `frames` of the run begins, at any rate. */
static inline int64_t audio_run_time_ns(const audio_run *run, uint64_t frames, uint32_t rate_hz)
{
    return run->start_ns == RM_TIME_NONE ? RM_TIME_NONE
                                         : run->start_ns + audio_time_ns(frames, rate_hz);
}

/* False: what the packet holds does not follow on what the run holds. */
static inline bool audio_run_joins(const audio_run *run, const rm_packet *packet)
{
    const rm_packet_header *h = &packet->header;
    if (!run->running || h->pts_ns == RM_TIME_NONE || run->start_ns == RM_TIME_NONE) {
        return !(h->flags & RM_FLAG_DISCONTINUITY);
    }
    int64_t off_ns = h->pts_ns - audio_run_time_ns(run, run->frames, h->format.audio.rate_hz);
    return !(h->flags & RM_FLAG_DISCONTINUITY) && off_ns <= AUDIO_GAP_NS && off_ns >= -AUDIO_GAP_NS;
}

/* Gives frames `first` on of the run their times; the durations add up without a rest. */
static inline void audio_run_stamp(const audio_run *run, uint64_t first, rm_packet *packet)
{
    rm_packet_header *h = &packet->header;
    uint32_t rate_hz = h->format.audio.rate_hz;
    h->pts_ns = audio_run_time_ns(run, first, rate_hz);
    h->duration_ns =
        audio_time_ns(first + h->instance.audio.frames, rate_hz) - audio_time_ns(first, rate_hz);
}

/* "Paced": packets leave at the times that their pts say, from the first one on. */
typedef struct audio_pace {
    bool started;
    int64_t start_ns;
} audio_pace;

/* True: it is time for what begins at pts_ns. False: return RM_EAGAIN, a timer is set. */
static inline bool audio_pace_is_due(audio_pace *pace, rm_node *node, int64_t pts_ns)
{
    int64_t now_ns = rm_node_now(node);
    if (!pace->started) {
        pace->started = true;
        pace->start_ns = now_ns - pts_ns;
    }
    if (now_ns < pace->start_ns + pts_ns) {
        rm_node_wake_at(node, pace->start_ns + pts_ns);
        return false;
    }
    return true;
}

#endif
