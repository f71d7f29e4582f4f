/* bench.h — what the measuring programs share: a clock, rows for bench/run, a chain of nodes.
 *
 *     bench.source ─▶ test.pass ─▶ … ─▶ test.pass ─▶ bench.sink       planned from a manifest
 *
 * The source gives 20 ms packets of 48 kHz mono s16 (1,920 bytes) from the session's pool,
 * numbered; the sink looks at the number, the format and the first and last sample of each. A
 * program that finds something wrong ends with a message and status 1, so that a run which did no
 * work shows no figure.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include <remotemedia/remotemedia.h>

enum { BENCH_RATE_HZ = 48000, BENCH_FRAMES = 960, BENCH_PAYLOAD_BYTES = 1920 };

/* CLOCK_MONOTONIC; after bench_use_cpu_time() the processor time of this process, which other work
 * on the machine does not stretch: for cases that run on one thread. */
double bench_now_ns(void);
void bench_use_cpu_time(void);

/* One round of a case: `ours` and `peer` in the case's unit. Prints a JSON line. */
void bench_row(const char *row, double ours, double peer);
/* A fact that belongs to the figures, as a JSON line. */
void bench_note(const char *format, ...) RM_PRINTF(1, 2);

_Noreturn void bench_fail(const char *format, ...) RM_PRINTF(1, 2);
/* Ends the program where the status is an error. */
void bench_check(rm_status status, const rm_error *error);

/* argv[index] as a number of at least 1, or the default. */
unsigned bench_argument(int argc, char **argv, int index, unsigned otherwise);

typedef struct bench_chain {
    const rm_node_type *type; /* of the nodes between source and sink; NULL: test.pass */
    unsigned passes;          /* how many of them, 0 to 100 */
    unsigned items;           /* packets, a multiple of burst */
    unsigned burst;           /* packets that one call of the source emits, 1 to 64 */
    unsigned capacity;        /* packets of each edge; 0: the default */
    bool two_threads;         /* the sink on a strand of its own */
    bool metrics_off;
} bench_chain;

/* Runs the chain once; returns the ns from the first call of the source to the last packet at the
 * sink. */
double bench_chain_run(const bench_chain *chain);

/* Steps a session of the caller to its end. */
rm_status bench_session_run(rm_session *session);

/* Adds bench.source and bench.sink, for one run; further node types of a program go to the same
 * registry. */
void bench_registry_add(rm_registry *registry);

/* Runs a manifest, or a pipeline as text ("a ! b"), whose nodes may be of the program's own types
 * (NULL ends the list): on one strand by RM_DRIVER_CALLER, on two by RM_DRIVER_THREAD. Returns the
 * ns from its opening to its end; ends the program where that is no good one. */
double bench_manifest_run(const char *manifest, const rm_node_type *const *types,
                          const rm_session_options *options);
double bench_inline_run(const char *pipeline, const rm_node_type *const *types,
                        const rm_session_options *options);

#endif
