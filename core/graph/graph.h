/* graph.h — a checked graph: the manifest's JSON, its text, and its nodes and edges by number. */
#ifndef RMI_GRAPH_GRAPH_H
#define RMI_GRAPH_GRAPH_H

#include <jansson.h>
#include <stdatomic.h>

#include <remotemedia/graph.h>

#include "base/cleanup.h"

enum { RMI_GRAPH_NODES_MAX = 1000, RMI_GRAPH_EDGES_MAX = 10000 };

typedef struct rmi_graph_node {
    json_t *json; /* borrowed from the manifest */
    const char *id, *node_type;
    char *params_json;
} rmi_graph_node;

struct rm_graph {
    _Atomic uint32_t refs;
    json_t *manifest;
    char *text; /* as it was read; NULL: made inline or changed */
    size_t bytes;
    rmi_graph_node *nodes;
    rm_graph_edge *edges;
    size_t node_count, edge_count;
};

rm_graph *rmi_graph_ref(const rm_graph *graph);

/* Checks the manifest and makes the graph of it. Takes a reference of `manifest`. text may be NULL.
 */
RM_MUST_USE rm_status rmi_graph_from_json(json_t *manifest, const char *text, size_t bytes,
                                          rm_graph **ret_graph, rm_report *report, rm_error *err);

/* The nodes alone of a manifest that the parser refused; its findings are not repeated. RM_EINVAL:
 * not even they can be read. */
RM_MUST_USE rm_status rmi_graph_of_nodes(const char *json, size_t bytes, rm_graph **ret_graph,
                                         rm_error *err);

/* Tells a finding about the value at `pointer`: to the report, and as the error if it is the first.
 */
typedef struct rmi_findings {
    const char *text;
    size_t bytes;
    rm_report *report;
    rm_error *err;
    unsigned errors;
} rmi_findings;

void rmi_findings_add(rmi_findings *findings, rm_severity severity, const char *pointer,
                      const rm_error *error);

RMI_DEFINE_AUTO(rm_graph)

#endif
