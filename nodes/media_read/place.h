/* place.h — where a reader of a file is, as checkpoints keep it.
 *
 * A restored reader reads the file from its start again, and gives the frames that its forerunner
 * gave to nobody. What stands before a point (point.h) is read, and not decoded.
 *
 * Threads: one thread at a time; no allocation.
 */
#ifndef MEDIA_READ_PLACE_H
#define MEDIA_READ_PLACE_H

#include "source.h"
#include "timeline.h"

/* By which a file that was changed is known. */
typedef struct file_mark {
    uint64_t size_bytes;
    int64_t changed_s, changed_ns;
} file_mark;

/* Decoding may begin at `packet` of the stream: all that came before is `frames` and `times`. */
typedef struct stream_point {
    uint64_t packet, frames;
    timeline times;
} stream_point;

typedef struct media_place {
    file_mark mark;
    uint64_t frames[MEDIA_KINDS]; /* that were dealt with: given, or not wanted */
    stream_point points[MEDIA_KINDS];
    bool is_over;
} media_place;

/* Of the file as it is now; all 0 where there is none. */
file_mark file_mark_of(const char *path);

/* E0409 where what it reads cannot be read again: a pipe, or a list of other files. */
rm_status media_place_check(const media_source *source, rm_error *err);

/* Copies a place out of a checkpoint. E0410 where the file is not as it was then; RM_EINVAL where
 * it is no place. `now` is the file's mark as it was opened. */
rm_status media_place_read(const media_source *source, const file_mark *now, const void *data,
                           size_t bytes, media_place *ret_place, rm_error *err);

#endif
