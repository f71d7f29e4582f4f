/* fetch.h — has the memory of a strand come into the cache before it is stepped.
 *
 * Where many sessions take turns each finds that the others have taken its place in the cache. What
 * a step touches is behind pointers that come from memory, too: so it is asked for in stages, of
 * which each finds there what the one before has asked for.
 */
#ifndef RMI_ENGINE_FETCH_H
#define RMI_ENGINE_FETCH_H

#include "engine/strand.h"

/* The nodes of a strand, all at once. Thread: the strand's. */
void rmi_fetch_nodes(const rmi_strand *strand);
/* What the nodes point at. */
void rmi_fetch_behind_nodes(const rmi_strand *strand);

#endif
