/* registry.h — the table of node types and tiers; the module layer teaches it to load files. */
#ifndef RMI_GRAPH_REGISTRY_H
#define RMI_GRAPH_REGISTRY_H

#include <remotemedia/registry.h>

#include "base/cleanup.h"

/* Types of the engine that a registry knows from the start; defined by the layers above. */
extern const rm_node_type rmi_input_type, rmi_output_type;
/* The ends of a node in several copies: known to plans alone. */
extern const rm_node_type rmi_split_type, rmi_gather_type;

/* How a type that is not in the table is looked for on disk. Set once by the module layer: the
 * loader adds what it finds with rmi_registry_add_from(). */
typedef struct rmi_registry_loader {
    /* RM_OK: it was found and added. RM_ENOENT: no such file. Else: it is there and broken. */
    rm_status (*load_type)(rm_registry *registry, const char *name, rm_error *err);
    /* Shows the names of the types that could be loaded, for "did you mean". */
    void (*each_name)(rm_registry *registry, void (*show)(void *context, const char *name),
                      void *context);
} rmi_registry_loader;

extern const rmi_registry_loader rmi_registry_loader_modules;

/* As rm_registry_add(), with where it came from (copied). */
RM_MUST_USE rm_status rmi_registry_add_from(rm_registry *registry, const rm_node_type *type,
                                            const char *origin, rm_error *err);

enum { RMI_PLACES_MAX = 16 };

/* This machine: the place without make_type(), whose types the registry and the tiers give. */
extern const rm_place_type rmi_local_place;

size_t rmi_registry_tier_count(const rm_registry *registry);
const rm_tier_type *rmi_registry_tier_at(const rm_registry *registry, size_t index);
size_t rmi_registry_place_count(const rm_registry *registry);
const rm_place_type *rmi_registry_place_at(const rm_registry *registry, size_t index);

RMI_DEFINE_AUTO(rm_registry)

#endif
