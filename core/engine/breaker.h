/* breaker.h — a circuit breaker: a node that fails again and again is left alone for a while.
 *
 *     closed ──`failures` calls in a row fail──▶ open ──after open_ns──▶ half open ─▶ one call
 *       ▲                                         ▲                          │
 *       └──────────────── it went well ───────────┼──────────────────────────┤
 *                                                 └────────── it failed ─────┘
 *
 * That a call went well is told by nobody: it is seen from the number of the next one, so that good
 * calls cost nothing. Calls are numbered from 1. Pure: no clock, no memory.
 */
#ifndef RMI_ENGINE_BREAKER_H
#define RMI_ENGINE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct rmi_breaker_options {
    uint32_t failures; /* in a row that open it; 0: there is no breaker */
    int64_t open_ns;
} rmi_breaker_options;

typedef enum rmi_breaker_state {
    RMI_BREAKER_CLOSED = 0,
    RMI_BREAKER_OPEN,
    RMI_BREAKER_HALF_OPEN
} rmi_breaker_state;

typedef struct rmi_breaker {
    rmi_breaker_state state;
    uint32_t failures;    /* in a row */
    uint64_t failed_call; /* number of the last one that failed */
    int64_t until_ns;     /* open: to this time */
    uint64_t opened, refused;
} rmi_breaker;

/* Call number `call` failed. */
static inline void rmi_breaker_failed(rmi_breaker *b, const rmi_breaker_options *options,
                                      uint64_t call, int64_t now_ns)
{
    b->failures = call == b->failed_call + 1 ? b->failures + 1 : 1;
    b->failed_call = call;
    bool opens = b->state == RMI_BREAKER_HALF_OPEN || b->failures >= options->failures;
    if (options->failures && b->state != RMI_BREAKER_OPEN && opens) {
        b->state = RMI_BREAKER_OPEN;
        b->until_ns = now_ns + options->open_ns;
        b->opened++;
    }
}

/* May the node be called, `calls` having been made? Counts what it refuses. */
static inline bool rmi_breaker_allows(rmi_breaker *b, uint64_t calls, int64_t now_ns)
{
    if (b->state == RMI_BREAKER_HALF_OPEN && calls > b->failed_call) {
        b->state = RMI_BREAKER_CLOSED;
    } else if (b->state == RMI_BREAKER_OPEN && now_ns >= b->until_ns) {
        b->state = RMI_BREAKER_HALF_OPEN;
    }
    b->refused += b->state == RMI_BREAKER_OPEN;
    return b->state != RMI_BREAKER_OPEN;
}

#endif
