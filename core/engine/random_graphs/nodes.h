/* nodes.h — the node types of the random graphs: numbers of 48 bits in, numbers out.
 *
 * What each does is said in reference.py, which is the other half of the comparison. Each type has
 * a twin `….own`, which the plan gives a strand of its own.
 */
#ifndef RANDOM_GRAPHS_NODES_H
#define RANDOM_GRAPHS_NODES_H

#include <remotemedia/remotemedia.h>

enum { NODES_SINKS_MAX = 16, NODES_NUMBERS_MAX = 1 << 16 };

/* What has arrived at the sinks of a run. */
typedef struct arrivals {
    struct {
        uint64_t *number; /* NODES_NUMBERS_MAX of them */
        uint32_t count;
    } sink[NODES_SINKS_MAX];
} arrivals;

extern arrivals nodes_arrivals;

rm_status nodes_register(rm_registry *registry, rm_error *err);

/* Nodes whose work is out, waiting for nodes_complete(). */
uint32_t nodes_pending(void);
/* Ends the work of one of them, by its number below nodes_pending(). */
void nodes_complete(uint32_t which);
/* Before each run. */
void nodes_reset(void);

#endif
