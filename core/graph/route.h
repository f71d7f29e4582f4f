/* route.h — the condition of a connection: which packets go over it.
 *
 *     "when": {"field": "metadata.lang", "in": ["fr", "de"]}
 *
 * A packet goes if all comparisons hold. Of what is not there none holds but "exists": false.
 *
 * Ownership: a route is its own. Threads: any may ask one that nobody frees.
 */
#ifndef RMI_GRAPH_ROUTE_H
#define RMI_GRAPH_ROUTE_H

#include <jansson.h>
#include <stdbool.h>

#include <remotemedia/packet.h>
#include <remotemedia/value.h>

#include "base/cleanup.h"

enum { RMI_ROUTE_PARTS_MAX = 16 }; /* names in a field's path */

typedef struct rmi_route rmi_route;

/* `when` has passed the schema; takes a reference of it. RM_EINVAL (E0106): what it says can never
 * hold, or says nothing. */
RM_MUST_USE rm_status rmi_route_new(json_t *when, rmi_route **ret_route, rm_error *err);
/* The same from the text of it. */
RM_MUST_USE rm_status rmi_route_parse(const char *when_json, rmi_route **ret_route, rm_error *err);
void rmi_route_free(rmi_route *route);

/* True: the packet goes. read_object NULL: nothing is found in live objects. No memory, no loop
 * beyond the packet's bytes. */
bool rmi_route_takes(const rmi_route *route, const rm_packet *packet, rm_read_object read_object);

RMI_DEFINE_AUTO(rmi_route)

#endif
