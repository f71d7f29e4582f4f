/* arrivals.h — what comes to a strand from outside of its nodes: packets and room on links, posts
 * of other threads, timers, requests. strand.h has what others call.
 *
 * Threads: the strand's.
 */
#ifndef RMI_ENGINE_ARRIVALS_H
#define RMI_ENGINE_ARRIVALS_H

#include "engine/strand.h"

void rmi_arrivals_poll_links(rmi_strand *strand);
void rmi_arrivals_drain_mailbox(rmi_strand *strand);
/* Those that are due by strand->now_ns. */
void rmi_arrivals_run_timers(rmi_strand *strand);
/* What nodes asked of one another in the last call. */
void rmi_arrivals_deliver_controls(rmi_strand *strand);
/* Between two calls of the node; one that has ended gets nothing. An error counts as one of its. */
void rmi_arrivals_deliver(rmi_strand *strand, rmi_node *node, const rm_control *control);

#endif
