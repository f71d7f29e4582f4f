/* module.h — how a loadable module meets its host.
 *
 * A module links to nothing of ours. It exports one function, rm_module_entry(), and gets the
 * host's functions as a table; with RM_MODULE_BUILD defined, the names rm_emit, rm_fail, … below
 * stand for the members of that table.
 *
 *     #define RM_MODULE_BUILD            (the build system's -DRM_MODULE_BUILD does it)
 *     #include <remotemedia/module.h>
 *     static const rm_node_type gain_type = { … };
 *     RM_MODULE("audio.gain", "0.1.0", &gain_type)
 *
 * A module of several source files puts RM_MODULE in one of them.
 */
#ifndef REMOTEMEDIA_MODULE_H
#define REMOTEMEDIA_MODULE_H

#include "log.h"
#include "node.h"
#include "registry.h"
#include "value.h"

#ifdef __cplusplus
extern "C" {
#endif

/* major << 16 | minor. A host loads modules of its major whose minor is not newer. */
enum { RM_ABI = 0x00010000 };

/* Grows at the end only. A module reads no member past struct_size. */
typedef struct rm_host {
    size_t struct_size;
    uint32_t abi;
    uint32_t reserved;
    rm_status (*fail)(rm_error *, rm_status, const char *, ...) RM_PRINTF(3, 4);
    rm_status (*fail_as)(rm_error *, rm_code, const char *, ...) RM_PRINTF(3, 4);
    rm_status (*fail_os)(rm_error *, int, const char *, ...) RM_PRINTF(3, 4);
    void (*error_wrap)(rm_error *, const char *, ...) RM_PRINTF(2, 3);
    void (*error_help)(rm_error *, const char *, ...) RM_PRINTF(2, 3);
    void (*log)(rm_log_level, const char *, const char *, ...) RM_PRINTF(3, 4);
    void *(*alloc)(size_t);
    void (*free)(void *);
    rm_packet *(*packet_ref)(rm_packet *);
    void (*packet_unref)(rm_packet *);
    void *(*packet_owner)(const rm_packet *);
    int (*packet_is_sole)(const rm_packet *);
    rm_status (*packet_new)(rm_node *, uint64_t, rm_packet **);
    rm_status (*packet_new_foreign)(rm_node *, void *, uint64_t, void (*)(void *), void *,
                                    rm_packet **);
    rm_status (*packet_set_metadata)(rm_packet *, const void *, size_t);
    rm_status (*emit)(rm_node *, uint32_t, rm_packet *);
    rm_status (*forward)(rm_node *, uint32_t);
    rm_status (*request)(rm_node *, uint32_t, const rm_control *);
    void (*node_ready)(rm_node *);
    void (*node_complete)(rm_node *, rm_status, const rm_error *);
    void (*node_wake_at)(rm_node *, int64_t);
    int64_t (*node_now)(const rm_node *);
    void (*node_input_format)(const rm_node *, uint32_t, rm_format *);
    rm_status (*blob_append)(rm_blob *, const void *, size_t);
    uint32_t (*sample_format_bytes)(uint8_t);
    const char *(*sample_format_name)(uint8_t);
    uint32_t (*dtype_bytes)(uint8_t);
    const char *(*dtype_name)(uint8_t);
    const char *(*kind_name)(uint8_t);
    rm_status (*value_to_json)(const void *, size_t, char **, rm_error *);
    rm_status (*value_from_json)(const char *, size_t, void **, size_t *, rm_error *);
    int (*port_is_connected)(const rm_node *, uint32_t);
    int (*node_has_input)(const rm_node *);
    void (*node_add_work)(rm_node *, int64_t, uint32_t);
    void (*node_add_tier_time)(rm_node *, rm_tier_time, int64_t);
    int (*node_is_kept)(const rm_node *);
} rm_host;

typedef struct rm_module {
    size_t struct_size;
    uint32_t abi; /* RM_ABI that it was built with */
    uint32_t reserved;
    const char *name, *version;
    const rm_node_type *const *types; /* ends with NULL */
    const rm_tier_type *const *tiers; /* ends with NULL; NULL: none */
} rm_module;

/* The one exported symbol. The table lives as long as the process. NULL: refuses this host. */
typedef const rm_module *(*rm_module_entry_fn)(const rm_host *host);

#ifdef RM_MODULE_BUILD

extern __attribute__((visibility("hidden"))) const rm_host *rm_module_host;

#define rm_fail rm_module_host->fail
#define rm_fail_as rm_module_host->fail_as
#define rm_fail_os rm_module_host->fail_os
#define rm_error_wrap rm_module_host->error_wrap
#define rm_error_help rm_module_host->error_help
#define rm_log rm_module_host->log
#define rm_alloc rm_module_host->alloc
#define rm_free rm_module_host->free
#define rm_packet_ref rm_module_host->packet_ref
#define rm_packet_unref rm_module_host->packet_unref
#define rm_packet_owner rm_module_host->packet_owner
#define rm_packet_is_sole rm_module_host->packet_is_sole
#define rm_packet_new rm_module_host->packet_new
#define rm_packet_new_foreign rm_module_host->packet_new_foreign
#define rm_packet_set_metadata rm_module_host->packet_set_metadata
#define rm_emit rm_module_host->emit
#define rm_forward rm_module_host->forward
#define rm_request rm_module_host->request
#define rm_node_ready rm_module_host->node_ready
#define rm_node_complete rm_module_host->node_complete
#define rm_node_wake_at rm_module_host->node_wake_at
#define rm_node_now rm_module_host->node_now
#define rm_node_input_format rm_module_host->node_input_format
#define rm_blob_append rm_module_host->blob_append
#define rm_sample_format_bytes rm_module_host->sample_format_bytes
#define rm_sample_format_name rm_module_host->sample_format_name
#define rm_dtype_bytes rm_module_host->dtype_bytes
#define rm_dtype_name rm_module_host->dtype_name
#define rm_kind_name rm_module_host->kind_name
#define rm_value_to_json rm_module_host->value_to_json
#define rm_value_from_json rm_module_host->value_from_json
#define rm_port_is_connected rm_module_host->port_is_connected
#define rm_node_has_input rm_module_host->node_has_input
#define rm_node_add_work rm_module_host->node_add_work
#define rm_node_add_tier_time rm_module_host->node_add_tier_time
#define rm_node_is_kept rm_module_host->node_is_kept

/* RM_MODULE(name, version, &type, …) defines the module's entry. */
#define RM_MODULE(module_name, module_version, ...)                                   \
    const rm_host *rm_module_host;                                                    \
    RM_EXPORT const rm_module *rm_module_entry(const rm_host *host);                  \
    RM_EXPORT const rm_module *rm_module_entry(const rm_host *host)                   \
    {                                                                                 \
        static const rm_node_type *const types[] = {__VA_ARGS__, NULL};               \
        static const rm_module module = {sizeof(rm_module), RM_ABI, 0,   module_name, \
                                         module_version,    types,  NULL};            \
        if (host->abi >> 16 != RM_ABI >> 16 || host->struct_size < sizeof(rm_host)) { \
            return NULL;                                                              \
        }                                                                             \
        rm_module_host = host;                                                        \
        return &module;                                                               \
    }

#endif

#ifdef __cplusplus
}
#endif
#endif
