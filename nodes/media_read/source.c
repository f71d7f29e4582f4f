#include "source.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <libavutil/avstring.h>
#include <libavutil/imgutils.h>

enum { LARGE_PAGE_BYTES = 2 << 20 };
/* What packets may hold of the decoder's buffers. */
enum { PICTURES_OUT_MIN = 32, PICTURES_OUT_MAX = 1024, PICTURES_OUT_BYTES_MAX = 512 << 20 };
enum { PICTURE_ALIGNMENT = 64, PICTURE_SLACK = 64 /* decoders read and write past the last row */ };

/* ---- what libav* says */

/* The last complaint on this thread: often the cause that an error number hides. */
static _Thread_local char complaint[160];

static void on_av_log(void *object, int level, const char *format, va_list args)
{
    if (level > AV_LOG_WARNING) {
        return;
    }
    char line[sizeof complaint];
    int prefix = 0;
    av_log_format_line2(object, level, format, args, line, sizeof line, &prefix);
    line[strcspn(line, "\n")] = 0;
    if (level <= AV_LOG_ERROR) {
        memcpy(complaint, line, sizeof complaint);
    }
    rm_log(RM_LOG_DEBUG, "media.read", "%s", line);
}

static void listen_to_libav(void)
{
    static atomic_flag done = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&done)) {
        av_log_set_callback(on_av_log);
    }
    complaint[0] = 0;
}

rm_status media_fail(rm_error *err, int av_error, rm_code code, const char *message)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(av_error, text, sizeof text);
    if (av_error == AVERROR(ENOMEM)) {
        return rm_fail(err, RM_ENOMEM, "%s: no memory", message);
    }
    if (complaint[0]) {
        return rm_fail_as(err, code, "%s: %s (%s)", message, text, complaint);
    }
    return rm_fail_as(err, code, "%s: %s", message, text);
}

static void note_damage(media_source *source, int av_error)
{
    for (int kind = 0; kind < MEDIA_KINDS; kind++) {
        media_points_damage(&source->streams[kind].points);
    }
    /* One packet may be found damaged when read, when sent and when decoded. */
    source->damaged += source->damaged_packet != source->packets || source->packets == 0;
    source->damaged_packet = source->packets;
    if (source->reason[0]) {
        return;
    }
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(av_error, text, sizeof text);
    snprintf(source->reason, sizeof source->reason, "%s", complaint[0] ? complaint : text);
}

/* ---- opening */

/* Formats that libav* knows by the file's name alone: anything at all would pass for one of them.
 */
static bool is_guess(const AVFormatContext *container)
{
    static const char *const guesses[] = {"tty", "bin", "xbin", "adf", "idf", "rawvideo"};
    for (size_t i = 0; i < sizeof guesses / sizeof guesses[0]; i++) {
        if (strcmp(container->iformat->name, guesses[i]) == 0) {
            return true;
        }
    }
    return container->probe_score < AVPROBE_SCORE_RETRY;
}

static rm_status open_failed(const media_source *source, int av_error, rm_error *err)
{
    char message[384];
    struct stat file;
    snprintf(message, sizeof message, "media file '%.300s'", source->path);
    if (av_error == AVERROR(ENOENT) || av_error == AVERROR(EACCES) || av_error == AVERROR(EISDIR) ||
        av_error == AVERROR(EIO)) {
        complaint[0] = 0;
        return media_fail(err, av_error, RM_CODE_MEDIA_OPEN, message);
    }
    if (stat(source->path, &file) == 0 && S_ISREG(file.st_mode) && file.st_size == 0) {
        return rm_fail_as(err, RM_CODE_MEDIA_DATA, "%s is empty, want an audio or video file",
                          message);
    }
    snprintf(message, sizeof message,
             "media file '%.300s' is no audio or video that libav* can read", source->path);
    rm_status status = media_fail(err, av_error, RM_CODE_MEDIA_DATA, message);
    rm_error_help(err, "ffprobe says what libav* knows about a file");
    return status;
}

static rm_status open_container(media_source *source, rm_error *err)
{
    bool is_pipe = media_source_is_pipe(source);
    char *url = av_asprintf("file:%s", source->path);
    AVDictionary *options = NULL;
    source->container = avformat_alloc_context();
    int status = url && source->container
                     ? av_dict_set(&options, "protocol_whitelist", is_pipe ? "none" : "file", 0)
                     : AVERROR(ENOMEM);
    if (is_pipe && source->container) {
        source->container->pb = source->pipe.io;
    }
    if (status >= 0) {
        status = avformat_open_input(&source->container, url, NULL, &options);
    }
    av_dict_free(&options);
    av_free(url);
    if (status >= 0 && is_guess(source->container)) {
        return rm_fail_as(err, RM_CODE_MEDIA_DATA,
                          "media file '%s' has no known format, want an audio or video file",
                          source->path);
    }
    if (status >= 0) {
        status = avformat_find_stream_info(source->container, NULL);
    }
    return status < 0 ? open_failed(source, status, err) : RM_OK;
}

rm_status media_source_init(media_source *source, const char *path, rm_error *err)
{
    source->path = path;
    source->pipe.fd = -1;
    return media_path_is_pipe(path) ? media_pipe_open(&source->pipe, path, err) : RM_OK;
}

bool media_source_is_pipe(const media_source *source)
{
    return source->pipe.fd >= 0;
}

bool media_source_is_ready(const media_source *source)
{
    return !media_source_is_pipe(source) || source->at_end || media_pipe_is_ready(&source->pipe);
}

rm_status media_source_open(media_source *source, rm_error *err)
{
    listen_to_libav();
    rm_status status = open_container(source, err);
    if (status == RM_OK) {
        source->packet = av_packet_alloc();
        source->frame = av_frame_alloc();
        if (!source->packet || !source->frame) {
            status = rm_fail(err, RM_ENOMEM, "media file '%s': no memory", source->path);
        }
    }
    for (unsigned i = 0; status == RM_OK && i < source->container->nb_streams; i++) {
        source->container->streams[i]->discard = AVDISCARD_ALL;
    }
    if (status != RM_OK) {
        media_source_close(source);
    }
    return status;
}

void media_source_close(media_source *source)
{
    for (int kind = 0; kind < MEDIA_KINDS; kind++) {
        avcodec_free_context(&source->streams[kind].decoder);
        source->streams[kind].stream = NULL;
    }
    av_frame_free(&source->frame);
    av_packet_free(&source->packet);
    avformat_close_input(&source->container);
    media_pipe_close(&source->pipe);
    av_buffer_pool_uninit(&source->pictures);
}

/* ---- decoders */

static bool is_plain(enum AVPixelFormat format)
{
    return format == AV_PIX_FMT_YUV420P || format == AV_PIX_FMT_YUVJ420P ||
           format == AV_PIX_FMT_NV12 || format == AV_PIX_FMT_RGB24 || format == AV_PIX_FMT_RGBA ||
           format == AV_PIX_FMT_GRAY8;
}

/* Stands before the planes in each buffer of ours: by it a buffer is told from those of decoders
 * that bring their own. */
typedef struct picture_head {
    const void *self;
    char mark[16];
    atomic_uint *out;
} picture_head;

_Static_assert(sizeof(picture_head) <= PICTURE_ALIGNMENT, "the planes begin one alignment behind");

static const char mark_of_ours[16] = "rm media.read 1";

static void free_picture(void *opaque, uint8_t *data)
{
    (void)opaque;
    free(data);
}

/* Large pictures lie in large pages: motion vectors jump all over several of them, more 4 KiB pages
 * than a processor keeps in mind (8 % of the decoder's time at 720p). */
static AVBufferRef *alloc_picture(void *opaque, size_t bytes)
{
    size_t whole = (bytes + LARGE_PAGE_BYTES - 1) / LARGE_PAGE_BYTES * LARGE_PAGE_BYTES;
    bool is_large = bytes >= LARGE_PAGE_BYTES / 2;
    void *data = NULL;
    if (posix_memalign(&data, is_large ? LARGE_PAGE_BYTES : PICTURE_ALIGNMENT,
                       is_large ? whole : bytes) != 0) {
        return NULL;
    }
#ifdef MADV_HUGEPAGE
    if (is_large) {
        (void)madvise(data, whole, MADV_HUGEPAGE);
    }
#endif
    AVBufferRef *buffer = av_buffer_create(data, bytes, free_picture, NULL, 0);
    if (!buffer) {
        free(data);
        return NULL;
    }
    picture_head *head = data;
    *head = (picture_head){.self = data, .out = opaque};
    memcpy(head->mark, mark_of_ours, sizeof head->mark);
    return buffer;
}

static AVBufferRef *picture_buffer(media_source *source, size_t bytes)
{
    if (bytes != source->picture_bytes) {
        av_buffer_pool_uninit(&source->pictures); /* the old one goes with its last picture */
        source->picture_bytes = 0;
        source->pictures_out = av_mallocz(sizeof *source->pictures_out);
        if (!source->pictures_out) {
            return NULL;
        }
        source->pictures =
            av_buffer_pool_init2(bytes, source->pictures_out, alloc_picture, av_free);
        if (!source->pictures) {
            av_freep(&source->pictures_out);
            return NULL;
        }
        source->picture_bytes = bytes;
    }
    return av_buffer_pool_get(source->pictures);
}

atomic_uint *media_picture_count(const AVBufferRef *picture)
{
    const picture_head *head = (const void *)picture->data;
    bool is_ours = (uintptr_t)head % PICTURE_ALIGNMENT == 0 && picture->size >= sizeof *head &&
                   head->self == head && memcmp(head->mark, mark_of_ours, sizeof head->mark) == 0;
    return is_ours ? head->out : NULL;
}

bool media_source_has_room(const media_source *source)
{
    if (source->picture_bytes == 0) {
        return true;
    }
    uint64_t out = atomic_load(source->pictures_out);
    return out < PICTURES_OUT_MIN ||
           (out < PICTURES_OUT_MAX && out * source->picture_bytes < PICTURES_OUT_BYTES_MAX);
}

/* Strides and sizes of the planes, both aligned. Chroma strides stay the luma's half: decoders may
 * count on it. */
static int picture_layout(enum AVPixelFormat format, int width, int height, int *lines,
                          size_t *sizes)
{
    bool aligned = false;
    while (!aligned) {
        int status = av_image_fill_linesizes(lines, format, width);
        if (status < 0) {
            return status;
        }
        aligned = true;
        for (int i = 0; i < 4; i++) {
            aligned = aligned && lines[i] % PICTURE_ALIGNMENT == 0;
        }
        width += width & ~(width - 1); /* its lowest bit moves up */
    }
    ptrdiff_t strides[4] = {lines[0], lines[1], lines[2], lines[3]};
    int status = av_image_fill_plane_sizes(sizes, format, height, strides);
    for (int i = 0; i < 4 && status >= 0; i++) {
        size_t with_slack = sizes[i] + PICTURE_SLACK + PICTURE_ALIGNMENT - 1;
        sizes[i] = sizes[i] ? with_slack - with_slack % PICTURE_ALIGNMENT : 0;
    }
    return status;
}

/* One buffer a picture, so that a packet can be laid around it: libav*'s own way is a buffer a
 * plane. Otherwise as avcodec_default_get_buffer2() does it. */
static int get_picture(AVCodecContext *decoder, AVFrame *frame, int flags)
{
    int lines[4], align[AV_NUM_DATA_POINTERS];
    int width = frame->width, height = frame->height;
    if (!(decoder->codec->capabilities & AV_CODEC_CAP_DR1) || !is_plain(frame->format)) {
        return avcodec_default_get_buffer2(decoder, frame, flags);
    }
    avcodec_align_dimensions2(decoder, &width, &height, align);
    size_t sizes[4], bytes = PICTURE_ALIGNMENT;
    int status = picture_layout(frame->format, width, height, lines, sizes);
    if (status < 0) {
        return status;
    }
    for (int i = 0; i < 4; i++) {
        bytes += sizes[i];
    }
    frame->buf[0] = picture_buffer(decoder->opaque, bytes);
    if (!frame->buf[0]) {
        return AVERROR(ENOMEM);
    }
    uint8_t *plane = frame->buf[0]->data + PICTURE_ALIGNMENT; /* behind the head */
    for (int i = 0; i < 4; i++) {
        frame->data[i] = sizes[i] ? plane : NULL;
        frame->linesize[i] = sizes[i] ? lines[i] : 0;
        plane += sizes[i];
    }
    frame->extended_data = frame->data;
    return 0;
}

static int open_decoder(media_source *source, media_stream *stream, media_kind kind, int threads)
{
    const AVCodec *codec = avcodec_find_decoder(stream->stream->codecpar->codec_id);
    if (!codec) {
        return AVERROR_DECODER_NOT_FOUND;
    }
    AVCodecContext *decoder = stream->decoder = avcodec_alloc_context3(codec);
    if (!decoder) {
        return AVERROR(ENOMEM);
    }
    int status = avcodec_parameters_to_context(decoder, stream->stream->codecpar);
    if (status < 0) {
        return status;
    }
    decoder->pkt_timebase = stream->stream->time_base;
    decoder->thread_count = threads;
    if (kind == MEDIA_VIDEO) {
        decoder->opaque = source;
        decoder->get_buffer2 = get_picture;
    }
    return avcodec_open2(decoder, codec, NULL);
}

/* The number in the container of the index-th stream of a kind; below 0: there is none. */
static int find_stream(AVFormatContext *container, enum AVMediaType type, int index)
{
    int nth = 0;
    for (unsigned i = 0; i < container->nb_streams && index >= 0; i++) {
        if (container->streams[i]->codecpar->codec_type == type && nth++ == index) {
            return (int)i;
        }
    }
    if (index >= 0) {
        return AVERROR_STREAM_NOT_FOUND;
    }
    int best = av_find_best_stream(container, type, -1, -1, NULL, 0);
    /* The cover of a song is no film. */
    bool is_cover =
        best >= 0 && container->streams[best]->disposition & AV_DISPOSITION_ATTACHED_PIC;
    return is_cover ? AVERROR_STREAM_NOT_FOUND : best;
}

rm_status media_source_select(media_source *source, media_kind kind, int index, int threads,
                              rm_error *err)
{
    static const char *const names[] = {"audio", "video"};
    enum AVMediaType type = kind == MEDIA_AUDIO ? AVMEDIA_TYPE_AUDIO : AVMEDIA_TYPE_VIDEO;
    media_stream *stream = &source->streams[kind];
    int found = find_stream(source->container, type, index);
    if (found < 0 && index < 0) {
        return RM_OK;
    }
    if (found < 0) {
        return rm_fail_as(err, RM_CODE_PARAM_RANGE, "media file '%s' has no %s stream %d",
                          source->path, names[kind], index);
    }
    listen_to_libav();
    stream->stream = source->container->streams[found];
    int status = open_decoder(source, stream, kind, threads);
    if (status >= 0) {
        stream->stream->discard = AVDISCARD_DEFAULT;
        media_points_init(&stream->points, stream->decoder);
        return RM_OK;
    }
    char message[384];
    snprintf(message, sizeof message, "%s stream of media file '%.300s', codec %s", names[kind],
             source->path, avcodec_get_name(stream->stream->codecpar->codec_id));
    stream->stream = NULL;
    return media_fail(
        err, status, status == AVERROR_DECODER_NOT_FOUND ? RM_CODE_UNSUPPORTED : RM_CODE_MEDIA_DATA,
        message);
}

void media_source_drop(media_source *source, media_kind kind)
{
    media_stream *stream = &source->streams[kind];
    if (stream->stream) {
        stream->stream->discard = AVDISCARD_ALL;
        stream->ended = true;
    }
}

/* ---- frames */

int64_t media_frame_time_ns(const media_source *source, media_kind kind)
{
    int64_t ticks = source->frame->best_effort_timestamp;
    if (ticks == AV_NOPTS_VALUE) {
        return RM_TIME_NONE;
    }
    const AVStream *stream = source->streams[kind].stream;
    AVRational time_base = stream->time_base, ns = {1, 1000000000};
    int64_t start = source->container->start_time; /* in AV_TIME_BASE, microseconds */
    if (start != AV_NOPTS_VALUE) {
        /* The stream's own ticks where it is this stream that comes first: they are finer. */
        bool is_first = stream->start_time != AV_NOPTS_VALUE &&
                        av_rescale_q(stream->start_time, time_base, AV_TIME_BASE_Q) == start;
        ticks -= is_first ? stream->start_time : av_rescale_q(start, AV_TIME_BASE_Q, time_base);
    }
    return av_rescale_q_rnd(ticks, time_base, ns, AV_ROUND_DOWN | AV_ROUND_PASS_MINMAX);
}

rm_status media_source_seek(media_source *source, double seconds, rm_error *err)
{
    int64_t start = source->container->start_time;
    int64_t target = (int64_t)(seconds * AV_TIME_BASE) + (start == AV_NOPTS_VALUE ? 0 : start);
    listen_to_libav();
    int status = avformat_seek_file(source->container, -1, INT64_MIN, target, target, 0);
    if (status < 0) {
        char message[384];
        snprintf(message, sizeof message, "media file '%.300s': cannot go to %g s", source->path,
                 seconds);
        return media_fail(err, status, RM_CODE_MEDIA_DATA, message);
    }
    for (int kind = 0; kind < MEDIA_KINDS; kind++) {
        if (source->streams[kind].decoder) {
            avcodec_flush_buffers(source->streams[kind].decoder);
        }
    }
    return RM_OK;
}

bool media_frame_is_damaged(const AVFrame *frame)
{
    return frame->flags & AV_FRAME_FLAG_CORRUPT || frame->decode_error_flags != 0;
}

/* RM_OK: a frame. RM_MORE: none without another packet, or never again. */
static rm_status receive(media_source *source, media_stream *stream, rm_error *err)
{
    int status = avcodec_receive_frame(stream->decoder, source->frame);
    if (status == AVERROR(ENOMEM)) {
        return media_fail(err, status, RM_CODE_NO_MEMORY, "decoding");
    }
    if (status == AVERROR_EOF) {
        stream->ended = true;
    } else if (status < 0 && status != AVERROR(EAGAIN)) {
        stream->gap = true;
        note_damage(source, status);
    } else if (status >= 0 && media_frame_is_damaged(source->frame)) {
        note_damage(source, AVERROR_INVALIDDATA);
    }
    stream->is_point = status >= 0 && media_points_frame(&stream->points, stream->decoder,
                                                         source->frame, &stream->point_at);
    return status >= 0 ? RM_OK : RM_MORE;
}

static rm_status send(media_source *source, media_stream *stream, const AVPacket *packet,
                      rm_error *err)
{
    int status = avcodec_send_packet(stream->decoder, packet);
    if (status == AVERROR(EAGAIN)) {
        source->packet_waits = true;
        return RM_MORE;
    }
    source->packet_waits = false;
    if (status == AVERROR(ENOMEM)) {
        return media_fail(err, status, RM_CODE_NO_MEMORY, "decoding");
    }
    if (status < 0 && status != AVERROR_EOF) {
        stream->gap = true;
        note_damage(source, status);
    }
    return RM_MORE;
}

static media_stream *stream_of(media_source *source, const AVPacket *packet)
{
    for (int kind = 0; kind < MEDIA_KINDS; kind++) {
        media_stream *stream = &source->streams[kind];
        if (stream->stream && stream->stream->index == packet->stream_index && !stream->ended) {
            return stream;
        }
    }
    return NULL;
}

static rm_status feed(media_source *source, rm_error *err)
{
    bool is_new = !source->packet_waits;
    if (is_new) {
        av_packet_unref(source->packet);
        int status = av_read_frame(source->container, source->packet);
        if (status == AVERROR(ENOMEM)) {
            return media_fail(err, status, RM_CODE_NO_MEMORY, "reading");
        }
        if (status < 0) {
            source->at_end = true;
            if (status != AVERROR_EOF) {
                note_damage(source, status);
            }
            return RM_MORE;
        }
        source->packets++;
    }
    media_stream *stream = stream_of(source, source->packet);
    if (!stream) {
        source->packet_waits = false;
        return RM_MORE;
    }
    if (source->packet->flags & AV_PKT_FLAG_CORRUPT) {
        note_damage(source, AVERROR_INVALIDDATA);
    }
    if (is_new && !media_points_packet(&stream->points, stream->decoder, source->packet)) {
        return RM_MORE;
    }
    return send(source, stream, source->packet, err);
}

rm_status media_source_next(media_source *source, media_kind *ret_kind, rm_error *err)
{
    bool all_ended = true;
    for (int kind = 0; kind < MEDIA_KINDS; kind++) {
        media_stream *stream = &source->streams[kind];
        if (!stream->stream || stream->ended) {
            continue;
        }
        all_ended = false;
        rm_status status = receive(source, stream, err);
        if (status != RM_MORE) {
            *ret_kind = (media_kind)kind;
            return status;
        }
        if (source->at_end && !stream->draining) {
            stream->draining = true;
            (void)send(source, stream, NULL, NULL);
        }
    }
    if (all_ended) {
        return RM_DONE;
    }
    if (source->at_end) {
        return RM_MORE;
    }
    return source->packet_waits || media_source_is_ready(source) ? feed(source, err) : RM_EAGAIN;
}
