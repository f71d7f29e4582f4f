#include "point.h"

#include <string.h>

enum { NAL_IDR = 5, NAL_SPS = 7, NAL_PPS = 8 };
enum { AWAITED_PACKETS_MAX = 64 }; /* a frame that has not come by then will not */

void media_points_init(media_points *points, const AVCodecContext *decoder)
{
    *points = (media_points){.delay = decoder->has_b_frames, .left_out = points->left_out};
}

void media_points_damage(media_points *points)
{
    points->is_irregular = true;
}

/* ---- H.264 */

/* The NAL units of a packet, as bits by their type. 0: it cannot be parted. */
static uint32_t parted_by_length(const uint8_t *data, size_t bytes, size_t length_bytes)
{
    uint32_t types = 0;
    while (bytes > length_bytes) {
        size_t unit = 0;
        for (size_t i = 0; i < length_bytes; i++) {
            unit = unit << 8 | data[i];
        }
        data += length_bytes;
        bytes -= length_bytes;
        if (unit == 0 || unit > bytes) {
            return 0;
        }
        types |= 1u << (data[0] & 31);
        data += unit;
        bytes -= unit;
    }
    return types;
}

static uint32_t parted_by_start_codes(const uint8_t *data, size_t bytes)
{
    uint32_t types = 0;
    for (size_t i = 0; i + 3 < bytes; i++) {
        if (data[i] == 0 && data[i + 1] == 0 && data[i + 2] == 1) {
            types |= 1u << (data[i + 3] & 31);
            i += 3;
        }
    }
    return types;
}

/* An avcC head begins with 1 and says how long the lengths are (ISO/IEC 14496-15, 5.3.3.1). */
static uint32_t nal_types(const AVCodecContext *decoder, const AVPacket *packet)
{
    const uint8_t *head = decoder->extradata;
    if (head && decoder->extradata_size > 4 && head[0] == 1) {
        return parted_by_length(packet->data, (size_t)packet->size, (head[4] & 3u) + 1u);
    }
    return parted_by_start_codes(packet->data, (size_t)packet->size);
}

static bool begins_with_idr(media_points *points, const AVCodecContext *decoder,
                            const AVPacket *packet)
{
    uint32_t types = nal_types(decoder, packet);
    bool has_both = types & 1u << NAL_SPS && types & 1u << NAL_PPS;
    bool has_any = types & (1u << NAL_SPS | 1u << NAL_PPS);
    bool has_head = decoder->extradata_size > 0 && !points->has_sets && !has_any;
    points->has_sets = points->has_sets || has_any;
    return types & 1u << NAL_IDR && (has_both || has_head);
}

/* libav* works around the errors of encoders before build 151 of x264, which stands in the first
 * packet alone. */
static bool is_of_old_encoder(const AVPacket *packet)
{
    static const char mark[] = "x264 - core ";
    size_t bytes = packet->size > 0 ? (size_t)packet->size : 0;
    for (size_t i = 0; i + sizeof mark + 2 < bytes; i++) {
        if (memcmp(packet->data + i, mark, sizeof mark - 1) == 0) {
            const uint8_t *digits = packet->data + i + sizeof mark - 1;
            return digits[2] < '0' || digits[2] > '9' || memcmp(digits, "151", 3) < 0;
        }
    }
    return false;
}

/* ---- any codec */

/* Side data that a decoder keeps beyond the packet that it came with. */
static bool has_lasting_side_data(const AVPacket *packet)
{
    for (int i = 0; i < packet->side_data_elems; i++) {
        enum AVPacketSideDataType type = packet->side_data[i].type;
        if (type == AV_PKT_DATA_NEW_EXTRADATA || type == AV_PKT_DATA_PARAM_CHANGE ||
            type == AV_PKT_DATA_SKIP_SAMPLES) {
            return true;
        }
    }
    return false;
}

static bool may_begin_with(media_points *points, const AVCodecContext *decoder,
                           const AVPacket *packet)
{
    if (decoder->codec_id == AV_CODEC_ID_H264) {
        points->is_irregular = points->is_irregular || is_of_old_encoder(packet);
        return begins_with_idr(points, decoder, packet);
    }
    bool is_pcm = decoder->codec_id >= AV_CODEC_ID_PCM_S16LE &&
                  decoder->codec_id < AV_CODEC_ID_ADPCM_IMA_QT &&
                  av_get_exact_bits_per_sample(decoder->codec_id) > 0;
    return is_pcm || decoder->codec_id == AV_CODEC_ID_FLAC;
}

bool media_points_packet(media_points *points, const AVCodecContext *decoder,
                         const AVPacket *packet)
{
    uint64_t index = points->packets++;
    points->is_irregular = points->is_irregular || has_lasting_side_data(packet);
    bool may_begin = may_begin_with(points, decoder, packet);
    if (points->is_awaited && index - points->awaited_packet > AWAITED_PACKETS_MAX) {
        points->is_awaited = false;
    }
    if (may_begin && !points->is_awaited && packet->pts != AV_NOPTS_VALUE) {
        points->is_awaited = true;
        points->awaited_pts = packet->pts;
        points->awaited_packet = index;
    }
    if (index < points->left_out) {
        points->is_awaited = false;
        return false;
    }
    return true;
}

/* libav* takes a frame's time from pts or dts, by how often each went back so far: where neither
 * ever did, a decoder that begins later gives the same times. */
static bool times_go_forward(media_points *points, const AVFrame *frame)
{
    int64_t dts = frame->pkt_dts == AV_NOPTS_VALUE ? frame->pts : frame->pkt_dts;
    bool forward =
        frame->pts != AV_NOPTS_VALUE && frame->best_effort_timestamp == frame->pts &&
        (!points->has_times || (frame->pts > points->last_pts && dts > points->last_dts));
    points->has_times = true;
    points->last_pts = frame->pts;
    points->last_dts = dts;
    return forward;
}

bool media_points_frame(media_points *points, const AVCodecContext *decoder, const AVFrame *frame,
                        uint64_t *ret_packet)
{
    bool is_regular = times_go_forward(points, frame) && decoder->has_b_frames == points->delay;
    points->is_irregular = points->is_irregular || !is_regular;
    if (!points->is_awaited || frame->pts != points->awaited_pts) {
        return false;
    }
    points->is_awaited = false;
    *ret_packet = points->awaited_packet;
    return !points->is_irregular;
}
