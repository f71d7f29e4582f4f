#include "timeline.h"

#include <remotemedia/packet.h>

static int64_t frames_ns(uint64_t frames, uint32_t rate_hz)
{
    return (int64_t)(frames / rate_hz * 1000000000u + frames % rate_hz * 1000000000u / rate_hz);
}

static void restart(timeline *t, int64_t base_ns)
{
    t->started = true;
    t->base_ns = t->next_ns = base_ns;
    t->count = 0;
}

int64_t timeline_audio(timeline *t, int64_t file_ns, int64_t tolerance_ns, uint32_t *flags)
{
    if (file_ns == RM_TIME_NONE) {
        *flags |= t->started ? 0 : RM_FLAG_PTS_REPAIRED;
    } else if (!t->started) {
        restart(t, file_ns);
    } else if (file_ns > t->next_ns + tolerance_ns) {
        *flags |= RM_FLAG_DISCONTINUITY;
        restart(t, file_ns);
    } else if (file_ns < t->next_ns - tolerance_ns) {
        *flags |= RM_FLAG_PTS_REPAIRED;
    }
    t->started = true;
    return t->next_ns;
}

void timeline_audio_add(timeline *t, uint64_t frames, uint32_t rate_hz)
{
    if (t->rate_hz != rate_hz) {
        restart(t, t->next_ns);
        t->rate_hz = rate_hz;
    }
    t->count += frames;
    t->next_ns = t->base_ns + frames_ns(t->count, rate_hz);
}

int64_t timeline_video(timeline *t, int64_t file_ns, int64_t duration_ns, uint32_t *flags)
{
    int64_t pts_ns = file_ns;
    if (file_ns == RM_TIME_NONE || (t->started && file_ns <= t->base_ns)) {
        pts_ns = t->next_ns;
        *flags |= RM_FLAG_PTS_REPAIRED;
    }
    restart(t, pts_ns);
    t->next_ns += duration_ns > 0 ? duration_ns : 1;
    return pts_ns;
}
