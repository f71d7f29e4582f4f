#include "frames.h"

#include <string.h>

#include <libavutil/display.h>
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

static uint32_t fourcc_of(enum AVPixelFormat format)
{
    switch (format) {
    case AV_PIX_FMT_YUV420P:
    case AV_PIX_FMT_YUVJ420P: return RM_FOURCC_I420;
    case AV_PIX_FMT_NV12: return RM_FOURCC_NV12;
    case AV_PIX_FMT_RGB24: return RM_FOURCC_RGB24;
    case AV_PIX_FMT_RGBA: return RM_FOURCC_RGBA;
    case AV_PIX_FMT_GRAY8: return RM_FOURCC_GRAY8;
    default: return 0;
    }
}

/* What a layout that packets lack is brought into, keeping what can be kept. */
static enum AVPixelFormat nearest_format(enum AVPixelFormat format)
{
    const AVPixFmtDescriptor *about = av_pix_fmt_desc_get(format);
    if (fourcc_of(format) || !about) {
        return format;
    }
    if (about->flags & AV_PIX_FMT_FLAG_ALPHA || format == AV_PIX_FMT_PAL8) {
        return AV_PIX_FMT_RGBA;
    }
    if (about->flags & AV_PIX_FMT_FLAG_RGB) {
        return AV_PIX_FMT_RGB24;
    }
    return about->nb_components < 3 ? AV_PIX_FMT_GRAY8 : AV_PIX_FMT_YUV420P;
}

/* Terms of at most 16 bits: what does not fit is rounded. */
static void put_ratio(AVRational ratio, uint16_t *ret_num, uint16_t *ret_den)
{
    if (ratio.num > 0 && ratio.den > 0) {
        int num, den;
        av_reduce(&num, &den, ratio.num, ratio.den, UINT16_MAX);
        *ret_num = (uint16_t)num;
        *ret_den = (uint16_t)den;
    }
}

/* Quarter turns clockwise that make the picture upright. */
static uint8_t rotation_of(const AVStream *stream)
{
    size_t bytes = 0;
    const int32_t *matrix = NULL;
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 31, 102)
    const AVPacketSideData *side =
        av_packet_side_data_get(stream->codecpar->coded_side_data,
                                stream->codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
    bytes = side ? side->size : 0;
    matrix = side ? (const int32_t *)side->data : NULL;
#else
    matrix =
        (const int32_t *)(void *)av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &bytes);
#endif
    if (!matrix || bytes < 9 * sizeof *matrix) {
        return 0;
    }
    double turns = -av_display_rotation_get(matrix) / 90; /* libav* counts against the clock */
    if (!(turns >= -4 && turns <= 4)) {
        return 0; /* a matrix that is not a rotation */
    }
    return (uint8_t)((int)(turns + 8.5) % 4);
}

/* What a packet of the picture is like. */
typedef struct picture_form {
    enum AVPixelFormat format;
    rm_format_line line;
} picture_form;

/* Fills in the line for the format. */
static void describe(media_source *source, picture_form *form)
{
    rm_format_line *line = &form->line;
    AVStream *stream = source->streams[MEDIA_VIDEO].stream;
    AVFrame *frame = source->frame;
    memset(line, 0, sizeof *line);
    line->video.fourcc = fourcc_of(form->format);
    line->video.width = (uint32_t)frame->width;
    line->video.height = (uint32_t)frame->height;
    put_ratio(av_guess_sample_aspect_ratio(source->container, stream, frame), &line->video.sar_num,
              &line->video.sar_den);
    AVRational rate = av_guess_frame_rate(source->container, stream, NULL);
    if (rate.num > 0 && rate.den > 0) {
        line->video.rate_num = (uint32_t)rate.num;
        line->video.rate_den = (uint32_t)rate.den;
    }
    bool is_full = frame->color_range == AVCOL_RANGE_JPEG || frame->format == AV_PIX_FMT_YUVJ420P ||
                   frame->format == AV_PIX_FMT_YUVJ422P || frame->format == AV_PIX_FMT_YUVJ444P;
    line->video.primaries = (uint8_t)frame->color_primaries;
    line->video.transfer = (uint8_t)frame->color_trc;
    line->video.matrix = (uint8_t)frame->colorspace;
    line->video.range = is_full ? 2 : frame->color_range == AVCOL_RANGE_MPEG ? 1 : 0;
    line->video.rotation = rotation_of(stream);
    line->video.planes = (uint8_t)av_pix_fmt_count_planes(form->format);
}

static void release_buffer(void *owner)
{
    AVBufferRef *buffer = owner;
    atomic_fetch_sub(media_picture_count(buffer), 1);
    av_buffer_unref(&buffer);
}

/* The planes as offsets into one payload; false where they do not lie in one buffer of ours, in
 * order. */
static bool lay_out(const AVFrame *frame, unsigned planes, rm_instance_line *instance,
                    void **ret_payload, uint64_t *ret_bytes)
{
    if (!frame->buf[0] || frame->buf[1] || !media_picture_count(frame->buf[0])) {
        return false;
    }
    const AVBufferRef *buffer = frame->buf[0];
    uintptr_t end = (uintptr_t)buffer->data + buffer->size;
    uintptr_t start = (uintptr_t)frame->data[0] / RM_PACKET_ALIGNMENT * RM_PACKET_ALIGNMENT;
    if (start < (uintptr_t)buffer->data || end - start > RM_PACKET_PAYLOAD_MAX) {
        return false;
    }
    for (unsigned p = 0; p < planes; p++) {
        if (frame->linesize[p] <= 0 || (uintptr_t)frame->data[p] < start) {
            return false;
        }
        instance->video.offset_bytes[p] = (uint32_t)((uintptr_t)frame->data[p] - start);
        instance->video.stride_bytes[p] = (uint32_t)frame->linesize[p];
    }
    *ret_payload = frame->data[0] - ((uintptr_t)frame->data[0] - start);
    *ret_bytes = end - start;
    return true;
}

static rm_status wrap(rm_node *node, media_source *source, const rm_format_line *line,
                      rm_packet **ret_packet)
{
    void *payload = NULL;
    uint64_t bytes = 0;
    rm_instance_line instance = {.bytes = {0}};
    if (!lay_out(source->frame, line->video.planes, &instance, &payload, &bytes)) {
        return RM_EUNSUPPORTED;
    }
    rm_status status = rm_packet_new_foreign(node, payload, bytes, release_buffer,
                                             source->frame->buf[0], ret_packet);
    if (status == RM_OK) {
        atomic_fetch_add(media_picture_count(source->frame->buf[0]), 1);
        source->frame->buf[0] = NULL; /* it is the packet's now */
        (*ret_packet)->header.format = *line;
        (*ret_packet)->header.instance = instance;
    }
    return status;
}

static rm_status convert(picture_converter *converter, const AVFrame *frame,
                         enum AVPixelFormat format, uint8_t *const *planes, const int *lines,
                         rm_error *err)
{
    converter->context = sws_getCachedContext(
        converter->context, frame->width, frame->height, frame->format, frame->width, frame->height,
        format, SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, NULL, NULL, NULL);
    if (!converter->context) {
        const char *name = av_get_pix_fmt_name(frame->format);
        return rm_fail_as(err, RM_CODE_UNSUPPORTED, "pictures of pixel format %s cannot be read",
                          name ? name : "unknown");
    }
    /* The range stays what it is: it is told in the header. */
    int *from, *to, from_full, to_full, brightness, contrast, saturation;
    if (sws_getColorspaceDetails(converter->context, &from, &from_full, &to, &to_full, &brightness,
                                 &contrast, &saturation) >= 0) {
        (void)sws_setColorspaceDetails(converter->context, from, from_full, to, from_full,
                                       brightness, contrast, saturation);
    }
    sws_scale(converter->context, (const uint8_t *const *)frame->data, frame->linesize, 0,
              frame->height, planes, lines);
    return RM_OK;
}

/* Into a packet of our own, as `form`; frames of another pixel format are converted. */
static rm_status copy(rm_node *node, const AVFrame *frame, picture_converter *converter,
                      const picture_form *form, rm_packet **ret_packet, rm_error *err)
{
    enum AVPixelFormat format = form->format;
    int bytes = av_image_get_buffer_size(format, frame->width, frame->height, 64);
    rm_packet *packet = NULL;
    rm_status status = bytes < 0 ? RM_EINVAL : rm_packet_new(node, (uint64_t)bytes, &packet);
    if (status != RM_OK) {
        return status < 0 ? rm_fail(err, status, "no memory for a picture of %d x %d", frame->width,
                                    frame->height)
                          : status;
    }
    uint8_t *planes[4];
    int lines[4];
    (void)av_image_fill_arrays(planes, lines, packet->payload, format, frame->width, frame->height,
                               64);
    if (format == frame->format) {
        av_image_copy(planes, lines, (const uint8_t **)(uintptr_t)frame->data, frame->linesize,
                      format, frame->width, frame->height);
    } else {
        status = convert(converter, frame, format, planes, lines, err);
    }
    if (status != RM_OK) {
        rm_packet_unref(packet);
        return status;
    }
    packet->header.format = form->line;
    for (unsigned p = 0; p < form->line.video.planes; p++) {
        packet->header.instance.video.offset_bytes[p] =
            (uint32_t)(planes[p] - (uint8_t *)packet->payload);
        packet->header.instance.video.stride_bytes[p] = (uint32_t)lines[p];
    }
    *ret_packet = packet;
    return RM_OK;
}

rm_status picture_frame_packet(rm_node *node, media_source *source, picture_converter *converter,
                               rm_packet **ret_packet, rm_error *err)
{
    picture_form form = {.format = nearest_format(source->frame->format)};
    describe(source, &form);
    rm_status status = RM_EUNSUPPORTED;
    if (form.format == source->frame->format) {
        status = wrap(node, source, &form.line, ret_packet);
    }
    if (status == RM_EUNSUPPORTED) {
        status = copy(node, source->frame, converter, &form, ret_packet, err);
    }
    if (status == RM_OK) {
        (*ret_packet)->header.kind = RM_KIND_VIDEO;
    }
    return status;
}

void picture_converter_free(picture_converter *converter)
{
    sws_freeContext(converter->context);
    converter->context = NULL;
}
