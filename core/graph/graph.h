/* graph.h — a checked graph: the manifest's JSON, its text, and its nodes and edges by number. */
#ifndef RMI_GRAPH_GRAPH_H
#define RMI_GRAPH_GRAPH_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <remotemedia/graph.h>

#include "base/cleanup.h"
#include "graph/locate.h"

enum { RMI_GRAPH_NODES_MAX = 1000, RMI_GRAPH_EDGES_MAX = 10000 };

typedef struct rmi_graph_node {
    json_t *json; /* borrowed from the manifest */
    const char *id, *node_type;
    char *params_json;
    uint32_t line, column; /* in the text; 0: there is none */
} rmi_graph_node;

typedef struct rmi_expansion rmi_expansion;

struct rm_graph {
    _Atomic uint32_t refs;
    json_t *manifest;
    char *text; /* as it was read; NULL: made inline or changed */
    size_t bytes;
    rmi_graph_node *nodes;
    rm_graph_edge *edges;
    uint32_t *by_id; /* numbers of the nodes, sorted by id; of equal ids the first one first */
    size_t node_count, edge_count;
    rmi_expansion *expansion; /* the graphs in it that are nodes; NULL: there are none */
};

rm_graph *rmi_graph_ref(const rm_graph *graph);

/* What a manifest was read from. */
typedef struct rmi_source {
    const char *text; /* NULL: none */
    size_t bytes;
    const char
        *folder; /* where the files are that it names, "": this one; NULL: it may name none */
} rmi_source;

/* Checks the manifest and makes the graph of it. Takes a reference of `manifest`. source may be
 * NULL. */
RM_MUST_USE rm_status rmi_graph_from_json(json_t *manifest, const rmi_source *source,
                                          rm_graph **ret_graph, rm_report *report, rm_error *err);

/* The nodes alone of a manifest that the parser refused; its findings are not repeated. RM_EINVAL:
 * not even they can be read. */
RM_MUST_USE rm_status rmi_graph_of_nodes(const char *json, size_t bytes, rm_graph **ret_graph,
                                         rm_error *err);

/* Index of a node by its id; SIZE_MAX: none. */
size_t rmi_graph_find(const rm_graph *graph, const char *id);

typedef struct rmi_findings {
    rmi_locator locator;
    rm_report *report;
    rm_error *err;
    unsigned errors, told;
    const rmi_expansion *expansion; /* NULL: there is one part */
    bool flat;                      /* pointers are into the flat manifest */
} rmi_findings;

/* Findings about this graph's text. report may be NULL. */
rmi_findings rmi_findings_of(const rm_graph *graph, rm_report *report, rm_error *err);

/* True: further ones are counted and not told, so that a near name need not be looked for. */
bool rmi_findings_are_full(const rmi_findings *findings);

/* Tells a finding about the value at `pointer`: to the report, and as the error if it is the first.
 */
void rmi_findings_add(rmi_findings *findings, rm_severity severity, const char *pointer,
                      const rm_error *error);
/* The same of a manifest that is a node: `pointer` is into that part. */
void rmi_findings_add_in(rmi_findings *findings, uint32_t part, rm_severity severity,
                         const char *pointer, const rm_error *error);

RMI_DEFINE_AUTO(rm_graph)

#endif
