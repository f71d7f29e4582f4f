/* spans.h — items followed through the nodes, as spans of a distributed trace.
 *
 *     input with a trace context ─▶ call ─▶ a span, child of that context
 *                                    └────▶ outputs with the span's own context
 *
 * What comes without a context belongs to the run's: a span that lasts as long as the session. One
 * ring for all strands has the latest spans, until they are taken.
 *
 * Ownership: the session's. Threads: of the strand whose node it is; taking from any.
 */
#ifndef RMI_ENGINE_SPANS_H
#define RMI_ENGINE_SPANS_H

#include "engine/node.h"
#include "media/traceparent.h"

enum { RMI_SPANS_MAX = 1 << 20, RMI_SPAN_MESSAGE_BYTES = 96 };

typedef struct rmi_spans rmi_spans;

/* spans_max: 1 to RMI_SPANS_MAX. traceparent: the context that the run is a part of; NULL: it is a
 * trace of its own. RM_EINVAL: that is no context; RM_ENOMEM. */
RM_MUST_USE rm_status rmi_spans_new(uint32_t spans_max, const char *traceparent,
                                    rmi_spans **ret_spans, rm_error *err);
/* NULL is fine. */
void rmi_spans_free(rmi_spans *spans);

/* A call of the node, or the work that it led to, is over; its outbox is not yet committed. Calls
 * that gave nothing and want to go on are one with the one that follows. */
void rmi_spans_add(rmi_node *node, uint64_t begin_ticks, uint64_t end_ticks, rm_status status);

#endif
