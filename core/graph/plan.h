/* plan.h — a plan: nodes in rank order with their types, edges with their formats, strands.
 *
 *     graph ─▶ place, find types ─▶ check parameters ─▶ resolve ports ─▶ sort ─▶ negotiate formats
 *           (converters come in) ─▶ nodes in several copies (parallel.h) ─▶ place on strands ─▶
 * plan
 */
#ifndef RMI_GRAPH_PLAN_H
#define RMI_GRAPH_PLAN_H

#include "graph/edges.h"
#include "graph/graph.h"
#include "graph/limits.h"
#include "graph/placement.h"
#include "graph/registry.h"

enum { RMI_REASON_BYTES = 256 };

typedef struct rmi_plan_node {
    rm_plan_node pub; /* id, tier and reason point at the members below, or at constants */
    char *id, *params_json;
    char *node_json; /* its entry in the manifest */
    char reason[RMI_REASON_BYTES];
    void *params;                 /* filled struct, for type->plan(); NULL: none */
    char *part_of;                /* see pub */
    rmi_made_type made, fallback; /* released with the node */
    rm_node_type *own_type; /* a copy of the type with one more output; NULL: none is needed */
    rm_port *own_outputs;
    json_t *placement;     /* how it was placed, for explain; NULL: no more to say */
    size_t manifest_index; /* SIZE_MAX: not in the manifest */
    rm_formats *want;      /* of each input: what it takes, after the backward pass */
} rmi_plan_node;

typedef struct rmi_plan_edge {
    rm_plan_edge pub;
    rm_format format;
    char reason[RMI_REASON_BYTES];
} rmi_plan_edge;

struct rm_plan {
    rm_graph *graph;
    rm_registry *registry;
    rmi_plan_node **nodes; /* in rank order once sorted */
    rmi_plan_edge *edges;
    size_t node_count, node_capacity, edge_count, edge_capacity;
    size_t strand_count;
    rm_plan *next; /* in a list of its owner */
};

/* A node of this type at the end of the list. */
RM_MUST_USE rm_status rmi_plan_add_node(rm_plan *plan, const rm_node_type *type, const char *id,
                                        const char *params_json, rmi_plan_node **ret_node,
                                        rm_error *err);
/* Makes room for one more edge, cleared. */
RM_MUST_USE rm_status rmi_plan_add_edge(rm_plan *plan, rmi_plan_edge **ret_edge, rm_error *err);

/* The edges that leave, or that reach, each node. */
RM_MUST_USE rm_status rmi_plan_outgoing(const rm_plan *plan, rmi_edge_index *ret_index,
                                        rm_error *err);
RM_MUST_USE rm_status rmi_plan_incoming(const rm_plan *plan, rmi_edge_index *ret_index,
                                        rm_error *err);

/* negotiate.c: fixes the format of each edge, inserting converters. Nodes are in rank order;
 * inserted ones go to the end of the list. A finding for each edge that cannot be. */
RM_MUST_USE rm_status rmi_plan_negotiate(rm_plan *plan, rmi_findings *findings);

/* Puts the nodes in topological order, stable otherwise. */
RM_MUST_USE rm_status rmi_plan_sort(rm_plan *plan, rm_error *err);

/* strands.c: a strand for each node, with its reason, and which edges are links. */
void rmi_plan_place_on_strands(rm_plan *plan, const rm_plan_options *options);

RMI_DEFINE_AUTO(rm_plan)

#endif
