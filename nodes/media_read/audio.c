#include "frames.h"

#include <string.h>

#include "../audio_packet.h"

static uint8_t sample_format_of(enum AVSampleFormat format)
{
    switch (av_get_packed_sample_fmt(format)) {
    case AV_SAMPLE_FMT_U8: return RM_SAMPLE_U8;
    case AV_SAMPLE_FMT_S16: return RM_SAMPLE_S16;
    case AV_SAMPLE_FMT_S32: return RM_SAMPLE_S32;
    case AV_SAMPLE_FMT_FLT: return RM_SAMPLE_F32;
    case AV_SAMPLE_FMT_DBL: return RM_SAMPLE_F64;
    default: return RM_SAMPLE_NONE;
    }
}

rm_status audio_line(const AVFrame *frame, rm_format_line *ret_line, rm_error *err)
{
    rm_format_line line = {.bytes = {0}};
    line.audio.rate_hz = frame->sample_rate > 0 ? (uint32_t)frame->sample_rate : 0;
    line.audio.channels = (uint16_t)frame->ch_layout.nb_channels;
    line.audio.sample_format = sample_format_of(frame->format);
    line.audio.planar = line.audio.channels > 1 && av_sample_fmt_is_planar(frame->format);
    if (frame->ch_layout.order == AV_CHANNEL_ORDER_NATIVE) {
        line.audio.channel_mask = frame->ch_layout.u.mask;
    }
    if (line.audio.sample_format == RM_SAMPLE_NONE) {
        const char *name = av_get_sample_fmt_name(frame->format);
        return rm_fail_as(err, RM_CODE_UNSUPPORTED,
                          "the decoder gives samples as %s, want u8, s16, s32, flt or dbl",
                          name ? name : "an unknown format");
    }
    *ret_line = line;
    return audio_check_line(ret_line, err);
}

rm_status audio_frame_packet(rm_node *node, const AVFrame *frame, uint32_t first, uint32_t count,
                             rm_packet **ret_packet, rm_error *err)
{
    rm_format_line line;
    rm_packet *packet = NULL;
    rm_status status = audio_line(frame, &line, err);
    if (status == RM_OK) {
        status = audio_packet_new(node, &line, count, &packet, err);
    }
    if (status != RM_OK) {
        return status;
    }
    size_t sample = audio_sample_bytes(&line);
    unsigned planes = line.audio.planar ? line.audio.channels : 1;
    size_t step = line.audio.planar ? sample : sample * line.audio.channels;
    for (unsigned p = 0; p < planes; p++) {
        memcpy((uint8_t *)packet->payload +
                   (size_t)p * packet->header.instance.audio.plane_stride_bytes,
               frame->extended_data[p] + first * step, count * step);
    }
    *ret_packet = packet;
    return RM_OK;
}
