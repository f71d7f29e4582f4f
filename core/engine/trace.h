/* trace.h — when each call of a strand's nodes began and ended, for as long as somebody asks.
 *
 *     measured_call() ─▶ rmi_node_count_call() ─▶ rmi_trace_add() ─▶ [ |x|x|x|x] the latest spans
 *
 * A strand that is traced times each call of its nodes; one that is not pays nothing.
 *
 * Ownership: the strand's. Threads: the strand's.
 */
#ifndef RMI_ENGINE_TRACE_H
#define RMI_ENGINE_TRACE_H

#include "engine/node.h"

enum { RMI_TRACE_SPANS_MAX = 1 << 20 };

typedef enum rmi_span_kind {
    RMI_SPAN_CALL,
    RMI_SPAN_FLUSH,
    RMI_SPAN_WORK /* that was out: beside the strand */
} rmi_span_kind;

typedef struct rmi_span {
    uint64_t begin_ticks, end_ticks;
    uint32_t queued; /* packets before the node, when it ended */
    uint16_t rank;
    uint8_t kind;
} rmi_span;

typedef struct rmi_trace {
    uint64_t count; /* spans since it began; the ring has the latest of them */
    uint32_t mask;
    rmi_span ring[];
} rmi_trace;

/* spans_max: 1 to RMI_TRACE_SPANS_MAX, rounded up to a power of two. NULL: no memory. */
rmi_trace *rmi_trace_new(uint32_t spans_max);

void rmi_trace_add(const rmi_node *node, rmi_span_kind kind, uint64_t begin_ticks,
                   uint64_t end_ticks);

#endif
