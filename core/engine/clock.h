/* clock.h — the cheapest clock there is, for histograms only; a session converts its ticks to ns.
 */
#ifndef RMI_ENGINE_CLOCK_H
#define RMI_ENGINE_CLOCK_H

#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/* About 10 µs: a node slower than this is timed at each call. */
#define RMI_SLOW_TICKS 26000u

/* CLOCK_MONOTONIC, ns. */
static inline int64_t rmi_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Counts up at a fixed but unknown rate. */
static inline uint64_t rmi_clock_ticks(void)
{
#if defined(__x86_64__)
    return __rdtsc();
#else
    return (uint64_t)rmi_clock_ns();
#endif
}

#endif
