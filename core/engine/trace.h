/* trace.h — when each call of a strand's nodes began and ended, for as long as somebody asks.
 *
 *     measured_call() ─▶ rmi_node_count_call() ─▶ rmi_trace_add() ─▶ [ |x|x|x|x] the latest spans
 *
 * A strand that is traced times each call of its nodes; one that is not pays nothing. A span says
 * whose it was by a number in the trace's own table, which a change of the graph leaves as it is:
 * what a node did is told also after it has gone.
 *
 * Ownership: the strand's. Threads: the strand's.
 */
#ifndef RMI_ENGINE_TRACE_H
#define RMI_ENGINE_TRACE_H

#include "engine/node.h"

enum { RMI_TRACE_SPANS_MAX = 1 << 20, RMI_TRACE_NODES_MAX = 16384 };

typedef enum rmi_span_kind {
    RMI_SPAN_CALL,
    RMI_SPAN_FLUSH,
    RMI_SPAN_WORK /* that was out: beside the strand */
} rmi_span_kind;

typedef struct rmi_span {
    uint64_t begin_ticks, end_ticks;
    uint32_t queued; /* packets before the node, when it ended */
    uint16_t who;    /* in `nodes` */
    uint8_t kind;
} rmi_span;

typedef struct rmi_traced {
    const rmi_node *node; /* compared, never followed: it may have gone */
    char id[RM_ERROR_NODE_MAX];
    bool has_input, worked; /* worked: a span of its work that was out */
} rmi_traced;

typedef struct rmi_trace {
    uint64_t count; /* spans since it began; the ring has the latest of them */
    uint32_t mask;
    rmi_traced *nodes; /* as they came; the first stands for those beyond RMI_TRACE_NODES_MAX */
    uint32_t node_count, node_capacity;
    rmi_span ring[];
} rmi_trace;

/* spans_max: 1 to RMI_TRACE_SPANS_MAX, rounded up to a power of two. NULL: no memory. */
rmi_trace *rmi_trace_new(uint32_t spans_max);
/* NULL is fine. */
void rmi_trace_free(rmi_trace *trace);

void rmi_trace_add(rmi_node *node, rmi_span_kind kind, uint64_t begin_ticks, uint64_t end_ticks);

#endif
