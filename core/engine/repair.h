/* repair.h — the times of what a node emits: its field `pts` in the manifest. */
#ifndef RMI_ENGINE_REPAIR_H
#define RMI_ENGINE_REPAIR_H

#include "engine/node.h"

/* Of the latest packet of an output that has a time. */
struct rmi_port_time {
    int64_t pts_ns; /* RM_TIME_NONE: there was none yet */
    int64_t end_ns;
    bool is_kept; /* what leaves there keeps its times: dead letters */
};

/* The tables that it needs, where the node's options ask for it. */
RM_MUST_USE rm_status rmi_repair_prepare(rmi_node *node, rm_error *err);

/* Before the packet leaves for the first time. One that others hold is replaced by one that shares
 * its payload; where there is no memory for that, or it carries a live object, it goes as it is. */
void rmi_repair_time(rmi_node *node, rmi_outgoing *outgoing);

#endif
