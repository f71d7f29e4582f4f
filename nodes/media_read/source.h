/* source.h — a media file, opened and decoded by libav*: one frame at a time.
 *
 *     media_source_init() ─▶ media_source_open() ─▶ media_source_select() ─▶
 *     media_source_next() … ─▶ media_source_close()
 *
 * Only files are read: no other protocol of libav* is let in, whatever a file refers to.
 *
 * Damage does not end the decoding: what cannot be decoded is counted, and the next frame of that
 * stream says that something is missing before it.
 *
 * Ownership: the source owns its frame; a taker moves the references out of it.
 * Threads: one thread at a time.
 */
#ifndef MEDIA_READ_SOURCE_H
#define MEDIA_READ_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

#include <remotemedia/module.h>

#include "pipe.h"
#include "point.h"

/* Also the numbers of the output ports. */
typedef enum media_kind { MEDIA_AUDIO = 0, MEDIA_VIDEO = 1, MEDIA_KINDS = 2 } media_kind;

typedef struct media_stream {
    AVStream *stream;        /* NULL: not wanted, or the file has none */
    AVCodecContext *decoder; /* NULL while stream is */
    bool draining, ended;
    bool gap; /* something is missing before the next frame */
    media_points points;
    bool is_point;     /* decoding may begin with the frame that came last, at … */
    uint64_t point_at; /* … this packet of the stream */
} media_stream;

typedef struct media_source {
    const char *path;
    AVFormatContext *container; /* NULL: not opened yet */
    media_pipe pipe;            /* what it is read from, unless it is a file */
    AVPacket *packet;
    AVFrame *frame; /* what media_source_next() has found */
    AVBufferPool *pictures;
    size_t picture_bytes;      /* of each buffer in `pictures`; 0: there is none */
    atomic_uint *pictures_out; /* buffers that packets hold; lives as long as the pool */
    media_stream streams[MEDIA_KINDS];
    bool packet_waits;                /* packet is not sent yet: its decoder was full */
    bool at_end;                      /* no more packets */
    uint64_t packets;                 /* read so far */
    uint64_t damaged, damaged_packet; /* how many of them, and the latest's number */
    char reason[160];                 /* what was first found damaged */
} media_source;

/* path is borrowed for the source's life; "-" is standard input. A pipe is opened, and not yet
 * read. E0501. */
rm_status media_source_init(media_source *source, const char *path, rm_error *err);
bool media_source_is_pipe(const media_source *source);
/* False: a pipe has nothing to read now, so that the calls below would wait. */
bool media_source_is_ready(const media_source *source);
/* Opens the container. E0501 where the system has no such file, E0502 where it is no media; closed
 * then. */
rm_status media_source_open(media_source *source, rm_error *err);

/* Takes the index-th stream (from 0) of this kind, or the best one (-1), and opens its decoder.
 * RM_OK with streams[kind].stream NULL where index is -1 and the file has none. */
rm_status media_source_select(media_source *source, media_kind kind, int index, int threads,
                              rm_error *err);

/* RM_OK: source->frame is a frame of *ret_kind. RM_MORE: one packet was dealt with, call again.
 * RM_EAGAIN: a pipe has nothing to read now. RM_DONE: no more frames. */
rm_status media_source_next(media_source *source, media_kind *ret_kind, rm_error *err);

/* Goes to the last point before `seconds` from the file's start from which all can be decoded. */
rm_status media_source_seek(media_source *source, double seconds, rm_error *err);

/* No more frames of this kind. */
void media_source_drop(media_source *source, media_kind kind);

/* A frame's time from the file's start in ns, rounded down; RM_TIME_NONE where it has none. */
int64_t media_frame_time_ns(const media_source *source, media_kind kind);

/* Where the packets around a buffer of `pictures` are counted, valid while the buffer is held.
 * NULL: it is a decoder's own. */
atomic_uint *media_picture_count(const AVBufferRef *picture);
/* False: packets hold so many pictures that no further one may be decoded now. */
bool media_source_has_room(const media_source *source);

/* The decoder hid errors in this frame. */
bool media_frame_is_damaged(const AVFrame *frame);

/* Closes what is open, after media_source_init(). */
void media_source_close(media_source *source);

/* An error of libav*: "<message>: <libav's text>", and what libav* said last. */
rm_status media_fail(rm_error *err, int av_error, rm_code code, const char *message);

#endif
