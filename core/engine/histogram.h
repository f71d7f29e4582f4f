/* histogram.h — times in buckets whose width grows with the value: eight an octave, so that a
 * percentile is at most 12.5 % off. 256 buckets reach 2^34 ticks; longer ones go to the last. */
#ifndef RMI_ENGINE_HISTOGRAM_H
#define RMI_ENGINE_HISTOGRAM_H

#include <stdint.h>

typedef struct rmi_histogram {
    uint64_t count, sum, max;
    uint32_t bucket[256];
} rmi_histogram;

/* One value that stands for `weight` of them. */
static inline void rmi_histogram_add_many(rmi_histogram *histogram, uint64_t ticks, uint32_t weight)
{
    unsigned octave = 63 - (unsigned)__builtin_clzll(ticks | 8);
    unsigned index = (octave - 3) << 3 | (unsigned)((ticks >> (octave - 3)) & 7);
    histogram->bucket[index < 255 ? index : 255] += weight;
    histogram->count += weight;
    histogram->sum += ticks * weight;
    histogram->max = ticks > histogram->max ? ticks : histogram->max;
}

static inline void rmi_histogram_add(rmi_histogram *histogram, uint64_t ticks)
{
    rmi_histogram_add_many(histogram, ticks, 1);
}

/* The lower end, in ticks, of the lowest bucket that has one; 0 for none. */
static inline uint64_t rmi_histogram_least(const rmi_histogram *histogram)
{
    for (unsigned i = 0; i < 256; i++) {
        if (histogram->bucket[i]) {
            return (uint64_t)(8 + (i & 7)) << (i >> 3);
        }
    }
    return 0;
}

/* The upper end, in ticks, of the bucket that holds this share (0 to 1) of all values; 0 for none.
 */
static inline uint64_t rmi_histogram_quantile(const rmi_histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->count), seen = 0;
    for (unsigned i = 0; i < 256; i++) {
        seen += histogram->bucket[i];
        if (histogram->bucket[i] && seen > wanted) {
            uint64_t end = (uint64_t)(9 + (i & 7)) << (i >> 3);
            return end < histogram->max ? end : histogram->max;
        }
    }
    return histogram->max;
}

#endif
