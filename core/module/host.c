#include "module/host.h"

#include <remotemedia/harness.h>
#include <remotemedia/value.h>

#include "engine/harness.h"
#include "graph/registry.h"

static const rm_host host = {
    .struct_size = sizeof(rm_host),
    .abi = RM_ABI,
    .fail = rm_fail,
    .fail_as = rm_fail_as,
    .fail_os = rm_fail_os,
    .error_wrap = rm_error_wrap,
    .error_help = rm_error_help,
    .log = rm_log,
    .alloc = rm_alloc,
    .free = rm_free,
    .packet_ref = rm_packet_ref,
    .packet_unref = rm_packet_unref,
    .packet_owner = rm_packet_owner,
    .packet_is_sole = rm_packet_is_sole,
    .packet_new = rm_packet_new,
    .packet_new_foreign = rm_packet_new_foreign,
    .packet_set_metadata = rm_packet_set_metadata,
    .emit = rm_emit,
    .forward = rm_forward,
    .request = rm_request,
    .node_ready = rm_node_ready,
    .node_complete = rm_node_complete,
    .node_wake_at = rm_node_wake_at,
    .node_now = rm_node_now,
    .node_input_format = rm_node_input_format,
    .blob_append = rm_blob_append,
    .sample_format_bytes = rm_sample_format_bytes,
    .sample_format_name = rm_sample_format_name,
    .dtype_bytes = rm_dtype_bytes,
    .dtype_name = rm_dtype_name,
    .kind_name = rm_kind_name,
    .value_to_json = rm_value_to_json,
    .value_from_json = rm_value_from_json,
    .port_is_connected = rm_port_is_connected,
    .node_has_input = rm_node_has_input,
    .node_add_work = rm_node_add_work,
    .node_add_tier_time = rm_node_add_tier_time,
    .node_is_kept = rm_node_is_kept,
};

const rm_host *rmi_host(void)
{
    return &host;
}

rm_status rm_harness_load(const char *node_type, const char *params_json, rm_harness **ret_harness,
                          rm_error *err)
{
    RMI_AUTO(rm_registry) registry = NULL;
    const rm_node_type *type;
    rm_status status = rm_registry_new(&registry, err);
    if (status == RM_OK) {
        status = rm_registry_find(registry, node_type, &type, err);
    }
    if (status == RM_OK) {
        status = rm_harness_new(type, params_json, ret_harness, err);
    }
    if (status == RM_OK) {
        rmi_harness_adopt(*ret_harness, RMI_TAKE(registry));
    }
    return status;
}
