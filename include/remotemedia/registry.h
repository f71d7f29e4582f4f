/* registry.h — which node types exist, and who can host code that is none of ours.
 *
 *     rm_graph_plan() ──find──▶ registry ──▶ built-in types
 *                                        ──▶ modules, loaded when first asked for
 *                                        ──▶ tiers, which make a type from code
 *                                        ──▶ places, where nodes run: this machine, and others
 *
 * A module for node type `audio.gain` is the file `audio.gain.so` in a folder of the module path:
 * the folders of REMOTEMEDIA_MODULE_PATH (':'-separated), then `remotemedia/modules` beside
 * libremotemedia. A module may hold further types; load it by rm_registry_load() then.
 *
 * Ownership: types and modules live as long as the registry; free it after all sessions.
 * Threads: one thread at a time.
 */
#ifndef REMOTEMEDIA_REGISTRY_H
#define REMOTEMEDIA_REGISTRY_H

#include "node.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rm_registry rm_registry;

/* What a tier is asked to host. All borrowed for the call. */
typedef struct rm_node_spec {
    size_t struct_size;
    const char *id;          /* of the node */
    const char *node_type;   /* "vad.silero", "mymodule:MyNode" */
    const char *code;        /* "module:Class", or NULL */
    const char *params_json; /* a JSON object */
    const char *node_json;   /* the whole node of the manifest */
    uint64_t instance;       /* {"$python": n}: an object of this process; 0: none */
} rm_node_spec;

/* RM_TIER_LIMITS: it holds code to a node's `limits`; a node that has some runs nowhere else. */
enum { RM_TIER_LIMITS = 1u << 0 };

/* How a node's code is hosted. Grows at the end only. */
typedef struct rm_tier_type {
    size_t struct_size;
    const char *name; /* "cpython" */
    const char *summary;
    /* Makes the node type for one node: RM_OK; RM_ENOENT: not mine, ask the next tier; else an
     * error. The type lives until release_type(). */
    rm_status (*make_type)(void *context, const rm_node_spec *spec, const rm_node_type **ret_type,
                           rm_error *err);
    void (*release_type)(void *context, const rm_node_type *type);
    void *context;
    /* May this tier host the node, as far as its needs tell? RM_OK, or an error that says why not,
     * and as its help what would have to be different. NULL: it may. */
    rm_status (*can)(void *context, const rm_node_spec *spec, rm_error *why);
    uint32_t flags;
    uint32_t reserved;
} rm_tier_type;

/* A place where nodes can run. A place of its own makes a node type that stands here for the node
 * that runs there: the engine sees a node like any other. Grows at the end only. */
typedef struct rm_place_type {
    size_t struct_size;
    const char *name; /* "local", "test.remote" */
    const char *summary;
    /* Its machine's capabilities (schemas/capabilities.v1.json); the caller frees *ret_json by
     * rm_free(). NULL: it meets no requirement, and takes nodes without any. */
    rm_status (*describe)(void *context, char **ret_json, rm_error *err);
    /* May this node run there? RM_OK, or an error that says why not. NULL: it may. */
    rm_status (*can)(void *context, const rm_node_spec *spec, rm_error *why);
    /* As a tier's; a session's open() of the type that fails with E0203 has not begun anything, and
     * lets the node run elsewhere. */
    rm_status (*make_type)(void *context, const rm_node_spec *spec, const rm_node_type **ret_type,
                           rm_error *err);
    void (*release_type)(void *context, const rm_node_type *type);
    void *context;
} rm_place_type;

/* A registry with the built-in types. free: after all plans and sessions of it; NULL is fine. Fails
 * with RM_ENOMEM. */
RM_API RM_MUST_USE rm_status rm_registry_new(rm_registry **ret_registry, rm_error *err);
RM_API void rm_registry_free(rm_registry *registry);

/* Checks the table and adds the type; it must outlive the registry. RM_EINVAL names the member that
 * is wrong, also for a name that is taken. */
RM_API RM_MUST_USE rm_status rm_registry_add(rm_registry *registry, const rm_node_type *type,
                                             rm_error *err);
RM_API RM_MUST_USE rm_status rm_registry_add_tier(rm_registry *registry, const rm_tier_type *tier,
                                                  rm_error *err);
/* Adds a place behind those there are; the first is "local", this machine. It must outlive the
 * registry. RM_EINVAL: it lacks its name, make_type or release_type. */
RM_API RM_MUST_USE rm_status rm_registry_add_place(rm_registry *registry,
                                                   const rm_place_type *place, rm_error *err);

/* Loads one module file and adds its types. E0306, E0307. */
RM_API RM_MUST_USE rm_status rm_registry_load(rm_registry *registry, const char *path,
                                              rm_error *err);

/* Loads every module of the module path, for listings. Modules that fail are left out, and told to
 * `failed` (may be NULL). Returns how many loaded. */
RM_API size_t rm_registry_load_all(rm_registry *registry,
                                   void (*failed)(void *context, const char *path,
                                                  const rm_error *why),
                                   void *context);

/* Shows the folders of the module path, in the order in which they are looked at; some may not
 * exist. Thread: any. */
RM_API void rm_module_path_each(void (*show)(void *context, const char *folder), void *context);

/* The type of that name, loading its module if needed. RM_ENOENT (E0301) with a near name as help.
 * *ret_type is borrowed. */
RM_API RM_MUST_USE rm_status rm_registry_find(rm_registry *registry, const char *name,
                                              const rm_node_type **ret_type, rm_error *err);

/* The types known so far, by name. */
RM_API size_t rm_registry_count(const rm_registry *registry);
RM_API const rm_node_type *rm_registry_at(const rm_registry *registry, size_t index);
/* Where a type came from: a path, or "built in". Borrowed. */
RM_API const char *rm_registry_origin(const rm_registry *registry, const rm_node_type *type);

/* A JSON Schema (2020-12) of a type's parameters, made from its table. The caller frees *ret_json
 * by rm_free(). */
RM_API RM_MUST_USE rm_status rm_node_type_schema(const rm_node_type *type, char **ret_json,
                                                 rm_error *err);

#ifdef __cplusplus
}
#endif
#endif
