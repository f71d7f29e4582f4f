#include "graph/edges.h"

rm_status rmi_edge_index_init(rmi_edge_index *ret_index, size_t node_count, size_t edge_count,
                              uint32_t (*node_of)(const void *context, size_t edge),
                              const void *context)
{
    uint32_t *start = rmi_calloc(node_count + 2 + edge_count, sizeof *start);
    if (!start) {
        return RM_ENOMEM;
    }
    uint32_t *edge = start + node_count + 2;
    /* Counted two places further on, start[n + 1] is where node n's next one goes; in the end it is
     * where they end. */
    for (size_t e = 0; e < edge_count; e++) {
        start[node_of(context, e) + 2]++;
    }
    for (size_t n = 2; n < node_count + 2; n++) {
        start[n] += start[n - 1];
    }
    for (size_t e = 0; e < edge_count; e++) {
        edge[start[node_of(context, e) + 1]++] = (uint32_t)e;
    }
    *ret_index = (rmi_edge_index){start, edge};
    return RM_OK;
}
