/* history.h — the input that a resampler's filters still know of, for checkpoints: libsoxr cannot
 * be asked for its state, but does the same again with the same input.
 *
 *     a run of `fed` frames       0 0 0 … 0 [ the latest ones, as soxr got them ] ─▶ a new soxr
 *                                 silence                                          ─▶ let go
 *
 * What soxr holds depends on how many frames it got, and on the latest of these: as many as its
 * first output needed are within one block of each of its stages. Four times as many, and some
 * more, are kept.
 *
 * Ownership: the history owns its memory. Threads: the node's.
 */
#ifndef NODES_AUDIO_RESAMPLE_HISTORY_H
#define NODES_AUDIO_RESAMPLE_HISTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <remotemedia/remotemedia.h>

enum { HISTORY_PLANES_MAX = 64, HISTORY_TIMES = 4, HISTORY_MORE = 4096 };
#define HISTORY_BYTES_MAX ((size_t)64 << 20)

typedef struct history {
    uint8_t *data; /* planes of `room` frames each */
    size_t room, frames;
    uint32_t planes, frame_bytes; /* of one plane */
    uint64_t fed;                 /* frames of the run */
    uint64_t first;               /* of them that the first output needed; 0: none came yet */
    bool lost;                    /* it would have been too long */
} history;

static inline uint8_t *history_plane(const history *h, uint32_t plane)
{
    return h->data + (size_t)plane * h->room * h->frame_bytes;
}

static inline void history_clear(history *h)
{
    h->frames = 0;
    h->fed = 0;
    h->lost = false;
}

static inline void history_free(history *h)
{
    rm_free(h->data);
    *h = (history){0};
}

/* For soxr's next frames, in so many planes. */
static inline void history_begin(history *h, uint32_t planes, uint32_t frame_bytes)
{
    history_free(h);
    h->planes = planes;
    h->frame_bytes = frame_bytes;
}

/* How many frames have to be there. */
static inline size_t history_wanted(const history *h)
{
    uint64_t wanted = h->first ? HISTORY_TIMES * h->first + HISTORY_MORE : UINT64_MAX;
    return h->frames < wanted ? h->frames : (size_t)wanted;
}

/* Room for so many more frames, with all that is wanted kept at the front. False: no memory. */
static inline bool history_reserve(history *h, size_t frames)
{
    if (h->lost || h->frames + frames <= h->room) {
        return true;
    }
    size_t kept = history_wanted(h), room = 2 * (kept + frames);
    size_t skipped = h->frames - kept, step = (size_t)h->planes * h->frame_bytes;
    bool grows = room > h->room;
    h->lost = grows && room > HISTORY_BYTES_MAX / step;
    uint8_t *data = grows && !h->lost ? rm_alloc(room * step) : h->data;
    for (uint32_t p = 0; data && p < h->planes && kept && !h->lost; p++) {
        uint8_t *to = data + (size_t)p * (grows ? room : h->room) * h->frame_bytes;
        memmove(to, history_plane(h, p) + skipped * h->frame_bytes, kept * h->frame_bytes);
    }
    if (!data || h->lost) {
        return h->lost;
    }
    if (grows) {
        rm_free(h->data);
        h->data = data;
        h->room = room;
    }
    h->frames = kept;
    return true;
}

/* soxr has got these; there is room for them. */
static inline void history_add(history *h, const void *const *planes, size_t frames)
{
    h->fed += frames;
    for (uint32_t p = 0; p < h->planes && !h->lost; p++) {
        memcpy(history_plane(h, p) + h->frames * h->frame_bytes, planes[p],
               frames * h->frame_bytes);
    }
    h->frames += h->lost ? 0 : frames;
}

/* soxr has given something. */
static inline void history_note_output(history *h)
{
    h->first = h->first ? h->first : h->fed;
}

#endif
