/* limits.h — what a session can hold; a plan that asks for more is refused. */
#ifndef RMI_GRAPH_LIMITS_H
#define RMI_GRAPH_LIMITS_H

enum {
    RMI_PLAN_PORTS_MAX = 64, /* inputs of the graph, and outputs */
    RMI_PLAN_STRANDS_MAX = 64,
    RMI_PLAN_NODES_MAX = 4096,   /* with the converters that were put in */
    RMI_PLAN_NODE_EDGES_MAX = 64 /* of one output port; of all inputs of a node */
};

#endif
