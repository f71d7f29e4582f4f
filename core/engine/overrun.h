/* overrun.h — a source that cannot wait (RM_NODE_LIVE) is told where nothing that it gives has
 * room.
 *
 * Looked at as a strand has nothing ready: what is full then stays full until somebody else takes
 * from it. Told once each time, by RM_CONTROL_OVERRUN; that the source is called again is the news
 * that there is room. No cost to a call.
 */
#ifndef RMI_ENGINE_OVERRUN_H
#define RMI_ENGINE_OVERRUN_H

#include "engine/strand.h"

/* Counts the strand's sources that are to be looked at: when its nodes are known, or change. */
void rmi_overrun_count_sources(rmi_strand *strand);
/* Tells those that wait for room. Thread: the strand's, between two calls. */
void rmi_overrun_look(rmi_strand *strand);

#endif
