#include "graph/registry.h"

#include <ctype.h>
#include <string.h>

#include "base/alloc.h"
#include "base/near.h"

enum { TYPES_MAX = 4096, TIERS_MAX = 16 };

typedef struct registry_row {
    const rm_node_type *type;
    char *origin;
} registry_row;

struct rm_registry {
    registry_row *rows; /* by name */
    size_t count, capacity;
    const rm_tier_type *tiers[TIERS_MAX];
    size_t tier_count;
    const rm_place_type *places[RMI_PLACES_MAX];
    size_t place_count;
};

const rm_place_type rmi_local_place = {
    .struct_size = sizeof(rm_place_type), .name = "local", .summary = "this machine"};

/* ---- checks of a table */

static bool good_name(const char *name)
{
    if (!name || !islower((unsigned char)name[0])) {
        return false;
    }
    for (const char *c = name; *c; c++) {
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '.' && *c != '_') {
            return false;
        }
    }
    return strlen(name) < 64;
}

static rm_status check_ports(const rm_node_type *type, const rm_port *ports, rm_error *err)
{
    size_t count = 0;
    for (const rm_port *p = ports; p && p->name; p++) {
        rm_formats formats;
        if (++count > RM_PORTS_MAX) {
            return rm_fail(err, RM_EINVAL, "node type '%s' has more than %d ports on a side",
                           type->name, RM_PORTS_MAX);
        }
        rm_status status = rm_formats_parse(p->formats, &formats, err);
        if (status != RM_OK) {
            rm_error_wrap(err, "node type '%s', port '%s'", type->name, p->name);
            return status;
        }
    }
    return RM_OK;
}

static rm_status check_type(const rm_node_type *type, rm_error *err)
{
    if (!type || type->struct_size < offsetof(rm_node_type, user)) {
        return rm_fail_as(err, RM_CODE_MODULE_ABI, "a node type's struct_size is %zu, want %zu",
                          type ? type->struct_size : 0, sizeof *type);
    }
    if (!good_name(type->name)) {
        return rm_fail(err, RM_EINVAL,
                       "node type name '%.64s' is not lower case letters, digits, '.' and '_'",
                       type->name ? type->name : "");
    }
    if (!type->process) {
        return rm_fail(err, RM_EINVAL, "node type '%s' lacks the required member 'process'",
                       type->name);
    }
    if (type->params && type->params_size == 0) {
        return rm_fail(err, RM_EINVAL, "node type '%s' has parameters but no params_size",
                       type->name);
    }
    rm_status status = check_ports(type, type->inputs, err);
    return status == RM_OK ? check_ports(type, type->outputs, err) : status;
}

/* ---- the table */

/* Index of the first row whose name is not before `name`. */
static size_t lower_bound(const rm_registry *registry, const char *name)
{
    size_t low = 0, high = registry->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(registry->rows[middle].type->name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const registry_row *find_row(const rm_registry *registry, const char *name)
{
    size_t at = lower_bound(registry, name);
    bool found = at < registry->count && strcmp(registry->rows[at].type->name, name) == 0;
    return found ? &registry->rows[at] : NULL;
}

rm_status rmi_registry_add_from(rm_registry *registry, const rm_node_type *type, const char *origin,
                                rm_error *err)
{
    rm_status status = check_type(type, err);
    if (status != RM_OK) {
        return status;
    }
    const registry_row *taken = find_row(registry, type->name);
    if (taken) {
        return rm_fail(err, RM_EINVAL, "node type '%s' is there already, from %s", type->name,
                       taken->origin);
    }
    if (registry->count == TYPES_MAX) {
        return rm_fail(err, RM_ELIMIT, "more than %d node types", TYPES_MAX);
    }
    if (registry->count == registry->capacity) {
        size_t capacity = registry->capacity ? 2 * registry->capacity : 16;
        registry_row *rows = rmi_realloc(registry->rows, capacity * sizeof *rows);
        if (!rows) {
            return rm_fail(err, RM_ENOMEM, "no memory for node type '%s'", type->name);
        }
        registry->rows = rows;
        registry->capacity = capacity;
    }
    char *copy = rmi_strdup(origin);
    if (!copy) {
        return rm_fail(err, RM_ENOMEM, "no memory for node type '%s'", type->name);
    }
    size_t at = lower_bound(registry, type->name);
    memmove(&registry->rows[at + 1], &registry->rows[at],
            (registry->count - at) * sizeof *registry->rows);
    registry->rows[at] = (registry_row){type, copy};
    registry->count++;
    return RM_OK;
}

rm_status rm_registry_add(rm_registry *registry, const rm_node_type *type, rm_error *err)
{
    return rmi_registry_add_from(registry, type, "built in", err);
}

rm_status rm_registry_new(rm_registry **ret_registry, rm_error *err)
{
    rm_registry *registry = RMI_NEW(rm_registry);
    if (!registry) {
        return rm_fail(err, RM_ENOMEM, "no memory for a registry");
    }
    registry->places[registry->place_count++] = &rmi_local_place;
    rm_status status = rm_registry_add(registry, &rmi_input_type, err);
    if (status == RM_OK) {
        status = rm_registry_add(registry, &rmi_output_type, err);
    }
    if (status != RM_OK) {
        rm_registry_free(registry);
        return status;
    }
    *ret_registry = registry;
    return RM_OK;
}

void rm_registry_free(rm_registry *registry)
{
    if (!registry) {
        return;
    }
    for (size_t i = 0; i < registry->count; i++) {
        rmi_free(registry->rows[i].origin);
    }
    rmi_free(registry->rows);
    rmi_free(registry);
}

rm_status rm_registry_add_tier(rm_registry *registry, const rm_tier_type *tier, rm_error *err)
{
    if (!tier || tier->struct_size < offsetof(rm_tier_type, can) || !tier->name ||
        !tier->make_type || !tier->release_type) {
        return rm_fail(err, RM_EINVAL, "a tier lacks its name, make_type or release_type");
    }
    if (registry->tier_count == TIERS_MAX) {
        return rm_fail(err, RM_ELIMIT, "more than %d tiers", TIERS_MAX);
    }
    registry->tiers[registry->tier_count++] = tier;
    return RM_OK;
}

size_t rmi_registry_tier_count(const rm_registry *registry)
{
    return registry->tier_count;
}

const rm_tier_type *rmi_registry_tier_at(const rm_registry *registry, size_t index)
{
    return index < registry->tier_count ? registry->tiers[index] : NULL;
}

rm_status rm_registry_add_place(rm_registry *registry, const rm_place_type *place, rm_error *err)
{
    if (!place || place->struct_size < sizeof *place || !place->name || !place->make_type ||
        !place->release_type) {
        return rm_fail(err, RM_EINVAL, "a place lacks its name, make_type or release_type");
    }
    if (registry->place_count == RMI_PLACES_MAX) {
        return rm_fail(err, RM_ELIMIT, "more than %d places", RMI_PLACES_MAX);
    }
    registry->places[registry->place_count++] = place;
    return RM_OK;
}

size_t rmi_registry_place_count(const rm_registry *registry)
{
    return registry->place_count;
}

const rm_place_type *rmi_registry_place_at(const rm_registry *registry, size_t index)
{
    return index < registry->place_count ? registry->places[index] : NULL;
}

/* ---- finding */

static void show_near(void *context, const char *name)
{
    /* The names shown live only for the call: a better one is copied. */
    rmi_near *near = context;
    static _Thread_local char best[64];
    const char *before = near->best;
    rmi_near_try(near, name);
    if (near->best != before && strlen(near->best) < sizeof best) {
        memmove(best, near->best, strlen(near->best) + 1);
        near->best = best;
    }
}

rm_status rm_registry_find(rm_registry *registry, const char *name, const rm_node_type **ret_type,
                           rm_error *err)
{
    const registry_row *row = find_row(registry, name);
    if (!row && good_name(name)) {
        rm_status status = rmi_registry_loader_modules.load_type(registry, name, err);
        if (status != RM_OK && status != RM_ENOENT) {
            return status;
        }
        row = find_row(registry, name);
        if (status == RM_OK && !row) {
            (void)rm_fail_as(err, RM_CODE_MODULE_LOAD,
                             "the module of node type '%.64s' holds others, and not this one",
                             name);
            return RM_EFAIL;
        }
    }
    if (row) {
        *ret_type = row->type;
        return RM_OK;
    }
    rmi_near near = {.wanted = name};
    for (size_t i = 0; i < registry->count; i++) {
        show_near(&near, registry->rows[i].type->name);
    }
    rmi_registry_loader_modules.each_name(registry, show_near, &near);
    rm_status status =
        rm_fail_as(err, RM_CODE_NODE_TYPE_UNKNOWN, "no module provides node type '%.64s'", name);
    const char *best = rmi_near_result(&near);
    if (best) {
        rm_error_help(err, "did you mean '%s'?", best);
    } else {
        rm_error_help(err, "`remotemedia nodes` lists the node types that are installed");
    }
    return status;
}

size_t rm_registry_count(const rm_registry *registry)
{
    return registry->count;
}

const rm_node_type *rm_registry_at(const rm_registry *registry, size_t index)
{
    return index < registry->count ? registry->rows[index].type : NULL;
}

const char *rm_registry_origin(const rm_registry *registry, const rm_node_type *type)
{
    const registry_row *row = find_row(registry, type->name);
    return row && row->type == type ? row->origin : "made by a tier";
}
