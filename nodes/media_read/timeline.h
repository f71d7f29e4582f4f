/* timeline.h — the times of one stream: exact where the file's are rounded, forward where they jump
 * back.
 *
 * A file keeps times in ticks, which may be as coarse as a millisecond. Audio is counted in frames
 * from a point that the file gave; the count holds as long as the file's times stay near it.
 *
 * Threads: one thread at a time; no allocation.
 */
#ifndef MEDIA_READ_TIMELINE_H
#define MEDIA_READ_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct timeline {
    bool started;
    int64_t base_ns;  /* time of count 0 */
    int64_t next_ns;  /* where what came so far ends */
    uint64_t count;   /* audio: frames since base_ns */
    uint32_t rate_hz; /* of count */
} timeline;

/* The time of audio frames that the file puts at file_ns (RM_TIME_NONE: it does not say), and the
 * RM_FLAG_… that go with it. tolerance_ns: how far the file may be off the count. */
int64_t timeline_audio(timeline *t, int64_t file_ns, int64_t tolerance_ns, uint32_t *flags);

/* What was at the time that timeline_audio() gave last was this long. */
void timeline_audio_add(timeline *t, uint64_t frames, uint32_t rate_hz);

/* The time of a picture that lasts duration_ns (0: not known). */
int64_t timeline_video(timeline *t, int64_t file_ns, int64_t duration_ns, uint32_t *flags);

#endif
