/* frames.h — decoded frames as packets.
 *
 * Threads: one thread at a time.
 */
#ifndef MEDIA_READ_FRAMES_H
#define MEDIA_READ_FRAMES_H

#include "source.h"

/* Scales nothing: brings pictures of other layouts into one that packets have. */
typedef struct picture_converter {
    struct SwsContext *context;
} picture_converter;

/* The rm_format_line of an audio frame. RM_EUNSUPPORTED for 64-bit integers. */
rm_status audio_line(const AVFrame *frame, rm_format_line *ret_line, rm_error *err);

/* Copies `count` samples of each channel, from `first` on. RM_EAGAIN as rm_packet_new(). */
rm_status audio_frame_packet(rm_node *node, const AVFrame *frame, uint32_t first, uint32_t count,
                             rm_packet **ret_packet, rm_error *err);

/* The source's frame, without a copy where its planes lie in one buffer: that moves into the packet
 * then. RM_EAGAIN as rm_packet_new(), and the frame is untouched. */
rm_status picture_frame_packet(rm_node *node, media_source *source, picture_converter *converter,
                               rm_packet **ret_packet, rm_error *err);

void picture_converter_free(picture_converter *converter);

#endif
