/* expand.h — graphs that are nodes: put into the manifest around them, so that what follows is
 * flat.
 *
 *     x ─▶ tidy (node_type "graph") ─▶ y        x ─▶ tidy__strip ─▶ tidy__upper ─▶ y
 *
 * Each manifest that was read is a part: 0 is the outer one. A part remembers where in the manifest
 * around it it stands, so that what is found in it is told with its place.
 */
#ifndef RMI_GRAPH_EXPAND_H
#define RMI_GRAPH_EXPAND_H

#include "graph/graph.h"

enum { RMI_EXPAND_LEVELS_MAX = 8 };

typedef struct rmi_part {
    uint32_t parent, level;
    const char *id; /* of the node that it is, borrowed from the manifest around it */
    char *prefix;   /* of the ids of its nodes */
    char *pointer;  /* where the manifest around it says what it is */
    char *file;     /* as that names it; NULL: it stands there itself */
    char *path;     /* of the file, behind the folder of the outer one; NULL: as `file` */
    char *text;     /* of the file */
    size_t bytes;
    json_t *json;
    json_t *inlets, *outlets; /* lists of the ids of nodes that nothing feeds, that feed nothing */
} rmi_part;

/* Where a node or connection of the flat manifest stands. */
typedef struct rmi_origin {
    uint32_t part, index;
} rmi_origin;

struct rmi_expansion {
    rmi_part *parts;
    size_t part_count, part_capacity;
    rmi_origin nodes[RMI_GRAPH_NODES_MAX], edges[RMI_GRAPH_EDGES_MAX];
    size_t node_count, edge_count;
};

/* Replaces graph->manifest by a flat one, where a node of it is a graph. folder: where the files
 * are that it names; NULL: it may name none. What is wrong is told as findings. RM_ENOMEM else. */
RM_MUST_USE rm_status rmi_graph_expand(rm_graph *graph, const char *folder, rmi_findings *findings);
void rmi_expansion_free(rmi_expansion *expansion);

/* The part and the pointer within it of a pointer into the flat manifest. */
uint32_t rmi_expansion_locate(const rmi_expansion *expansion, const char *pointer,
                              char *ret_pointer, size_t size);

/* True: the entry of "nodes" is a graph. */
bool rmi_is_graph_node(const json_t *node);

#endif
