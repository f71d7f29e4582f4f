/* ring.h — the least that can carry packets between two threads: the floor for hop_threads.
 *
 *     producer ── ring of pointers ──▶ consumer        packets of 192 + 1,920 bytes, written and
 * read ◀── ring of pointers ──                 as bench.source and bench.sink do; used again
 *
 * One producer, one consumer, bounded; who has nothing to do parks on a futex at once, and is woken
 * only if it is parked, once a burst. No graph, no outbox, no formats, no end, no error, no
 * metrics.
 */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <stdint.h>

/* Sends `items` packets, in bursts; returns the ns from the first to the last. Ends the program
 * where they do not all arrive, in order. slots: a power of two. Each thread is held on a processor
 * of its own where the process may use several: left alone, the system often wakes the consumer on
 * the producer's, and then nothing goes between cores. */
double bench_ring_run(unsigned items, unsigned burst, unsigned slots);

/* The floor of all of it: ns in which one cache line that one core has written is seen by another
 * one, neither of which sleeps. */
double bench_line_run(unsigned trips);

#endif
