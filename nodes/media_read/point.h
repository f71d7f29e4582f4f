/* point.h — from which packet on a stream gives the same frames as when decoded from its start.
 *
 *     packets   0 1 2 [3] 4 5 …        each packet of the stream goes by media_points_packet(),
 *     frames      0 1 2 [3] 4 …        each frame by media_points_frame(), which says that with
 *                                      frame [3] decoding may begin at packet [3]
 *
 * That is promised only of codecs of which it is known: linear PCM and FLAC, at each packet; H.264
 * at an IDR picture whose parameter sets come with it or stand in the file's head. And only as long
 * as all was well: nothing damaged, all times forward, no side data that a decoder keeps. What
 * others (MP3's bit reservoir, the noise of AAC, Opus) keep from packet to packet cannot be had
 * anew.
 *
 * Threads: one thread at a time; no allocation.
 */
#ifndef MEDIA_READ_POINT_H
#define MEDIA_READ_POINT_H

#include <stdbool.h>
#include <stdint.h>

#include <libavcodec/avcodec.h>

typedef struct media_points {
    uint64_t packets;  /* of the stream so far */
    uint64_t left_out; /* so many at its start are not decoded */
    bool is_irregular; /* something came after which no point is promised */
    bool has_sets;     /* H.264: packets had parameter sets */
    int delay;         /* pictures that the decoder holds, as it was opened */
    bool has_times;
    int64_t last_pts, last_dts;
    bool is_awaited; /* the frame of a packet that could be one */
    int64_t awaited_pts;
    uint64_t awaited_packet;
} media_points;

/* As the decoder has been opened; keeps left_out. */
void media_points_init(media_points *points, const AVCodecContext *decoder);

/* Each packet once. False: it is one of those that are left out. */
bool media_points_packet(media_points *points, const AVCodecContext *decoder,
                         const AVPacket *packet);

/* Each frame. True: decoding may begin at *ret_packet, and this frame is the first then. */
bool media_points_frame(media_points *points, const AVCodecContext *decoder, const AVFrame *frame,
                        uint64_t *ret_packet);

/* Something was damaged. */
void media_points_damage(media_points *points);

#endif
