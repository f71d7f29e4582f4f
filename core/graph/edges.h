/* edges.h — the edges of each node, found without looking at all edges.
 *
 * Those of node n are edge[start[n]] … edge[start[n + 1] - 1], in their order.
 */
#ifndef RMI_GRAPH_EDGES_H
#define RMI_GRAPH_EDGES_H

#include <stddef.h>
#include <stdint.h>

#include <remotemedia/status.h>

#include "base/alloc.h"
#include "base/cleanup.h"

typedef struct rmi_edge_index {
    uint32_t *start, *edge; /* one piece of memory, at start */
} rmi_edge_index;

/* node_of tells which node an edge is to be found under. RM_ENOMEM: *ret_index is untouched. */
RM_MUST_USE rm_status rmi_edge_index_init(rmi_edge_index *ret_index, size_t node_count,
                                          size_t edge_count,
                                          uint32_t (*node_of)(const void *context, size_t edge),
                                          const void *context);

/* For __attribute__((cleanup)): a cleared one is fine. */
static inline void rmi_edge_index_fini(rmi_edge_index *index)
{
    rmi_free(index->start);
}

#define RMI_AUTO_EDGE_INDEX __attribute__((cleanup(rmi_edge_index_fini))) rmi_edge_index

#endif
