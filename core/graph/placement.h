/* placement.h — where a node runs and how its code is hosted, with a reason for each choice.
 *
 *     node of the manifest ─▶ wishes ──▶ for each place, in the order that `where` gives:
 *                                          a requirement that its machine meets?   needs.h
 *                                          may it? has it the code?                place, tier
 *                                      ──▶ place + tier + node type, or why nothing can run it
 *
 * Places and tiers are rows of the registry: nothing here knows one by its name, but for the
 * table of what the tiers that a manifest may name fall back to.
 */
#ifndef RMI_GRAPH_PLACEMENT_H
#define RMI_GRAPH_PLACEMENT_H

#include "graph/graph.h"
#include "graph/registry.h"

/* A type that the registry, a tier or a place gave; release may be NULL. */
typedef struct rmi_made_type {
    const rm_node_type *type;
    void (*release)(void *context, const rm_node_type *type);
    void *context;
} rmi_made_type;

typedef struct rmi_placement {
    rmi_made_type made;
    rmi_made_type fallback; /* runs here if the place refuses it at open; type NULL: none */
    const rm_place_type *place;
    const char *tier; /* "native", or the tier's name */
    json_t *told;     /* what explain shows: {"place", "tier", "reason", "fallback", "refused"} */
    rm_error warning; /* code not 0: it runs, against what its entry says */
} rmi_placement;

/* One plan's view of the machine and of the environment. */
typedef struct rmi_placer {
    rm_registry *registry;
    const char *machine_json;         /* of this machine; NULL: it is looked at */
    json_t *machines[RMI_PLACES_MAX]; /* by place, once they were asked for */
} rmi_placer;

void rmi_placer_fini(rmi_placer *placer);

/* Chooses for the node; node_json is its whole entry. On failure *ret_placement is untouched and
 * `err` says what is missing: E0202, or what the registry or the tier says. */
RM_MUST_USE rm_status rmi_place_node(rmi_placer *placer, const rmi_graph_node *node,
                                     const char *node_json, rmi_placement *ret_placement,
                                     rm_error *err);
void rmi_placement_fini(rmi_placement *placement);
void rmi_made_type_release(rmi_made_type *made);

#endif
