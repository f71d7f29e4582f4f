/* From a plan to a running session. */
#include <string.h>

#include "engine/checkpoint.h"
#include "engine/replay.h"
#include "engine/session.h"

static rmi_policy policy_of(const char *name)
{
    static const struct {
        const char *name;
        rmi_policy policy;
    } rows[] = {{"drop_oldest", RMI_POLICY_DROP_OLDEST},
                {"drop_newest", RMI_POLICY_DROP_NEWEST},
                {"latest", RMI_POLICY_LATEST}};
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return rows[i].policy;
        }
    }
    return RMI_POLICY_BLOCK;
}

rmi_node_spec rmi_node_spec_of(const rm_plan *plan, size_t index)
{
    rm_plan_node node;
    rm_plan_node_at(plan, index, &node);
    return (rmi_node_spec){.type = node.type,
                           .id = node.id,
                           .params_json = node.params_json,
                           .node_json = node.node_json,
                           .strand = node.strand,
                           .place = node.place,
                           .fallback = node.fallback,
                           .part_of = node.part_of,
                           .copy = node.copy,
                           .copies = node.copies};
}

rmi_edge_spec rmi_edge_spec_of(const rm_plan *plan, size_t index)
{
    rm_plan_edge edge;
    rm_plan_edge_at(plan, index, &edge);
    return (rmi_edge_spec){.from = edge.from_node,
                           .from_port = edge.from_port,
                           .to = edge.to_node,
                           .to_port = edge.to_port,
                           .capacity = edge.capacity_packets,
                           .capacity_max = edge.capacity_packets_max,
                           .bytes_max = edge.capacity_bytes,
                           .span_ns_max = (uint64_t)edge.capacity_ns,
                           .policy = policy_of(edge.policy),
                           .format = edge.format,
                           .when_json = edge.when_json,
                           .latency_ns_max = edge.latency_ns_max};
}

static rm_status add_nodes(rm_session *session, const rm_plan *plan, rm_error *err)
{
    rm_status status = RM_OK;
    for (size_t i = 0; i < rm_plan_node_count(plan) && status == RM_OK; i++) {
        uint32_t index;
        rmi_node_spec spec = rmi_node_spec_of(plan, i);
        status = rmi_session_add(session, &spec, &index, err);
    }
    return status;
}

static rm_status add_edges(rm_session *session, const rm_plan *plan, rm_error *err)
{
    rm_status status = RM_OK;
    for (size_t i = 0; i < rm_plan_edge_count(plan) && status == RM_OK; i++) {
        rmi_edge_spec spec = rmi_edge_spec_of(plan, i);
        status = rmi_session_connect(session, &spec, err);
    }
    return status;
}

rm_status rmi_session_build(const rm_plan *plan, const rm_session_options *options,
                            rm_session **ret_session, rm_error *err)
{
    RMI_AUTO(rm_session) session = NULL;
    rm_status status =
        rmi_session_new(options, (uint32_t)rm_plan_strand_count(plan), &session, err);
    if (status == RM_OK) {
        status = add_nodes(session, plan, err);
    }
    if (status == RM_OK) {
        status = add_edges(session, plan, err);
    }
    if (status == RM_OK) {
        session->plan = plan;
        session->latency_ns_max = rm_plan_latency_ns_max(plan);
        *ret_session = RMI_TAKE(session);
    }
    return status;
}

rm_status rm_session_open(const rm_plan *plan, const rm_session_options *options,
                          rm_session **ret_session, rm_error *err)
{
    RMI_AUTO(rm_session) session = NULL;
    if (options && options->struct_size >= sizeof *options && options->replay_path) {
        return rmi_replay_session(plan, options, ret_session, err);
    }
    rm_status status = rmi_session_build(plan, options, &session, err);
    if (status == RM_OK) {
        status = rmi_checkpoints_new(session, err);
    }
    if (status == RM_OK) {
        status = rmi_session_start(session, err);
    }
    if (status == RM_OK) {
        *ret_session = RMI_TAKE(session);
    }
    return status;
}

const rm_plan *rm_session_plan(const rm_session *session)
{
    return session->plan;
}
