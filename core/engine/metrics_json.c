/* The numbers of a session as JSON. */
#include <jansson.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/process.h"
#include "engine/metrics.h"

static const char *const state_names[] = {
    [RMI_NODE_NEW] = "new",
    [RMI_NODE_IDLE] = "idle",
    [RMI_NODE_RUNNING] = "running",
    [RMI_NODE_HOLDING] = "holding",
    [RMI_NODE_PENDING] = "pending",
    [RMI_NODE_BACKOFF] = "backoff",
    [RMI_NODE_ENDED] = "ended",
    [RMI_NODE_FAILED] = "failed",
    [RMI_NODE_ABANDONED] = "abandoned",
    [RMI_NODE_CLOSED] = "closed",
};

static void set(json_t *json, const char *name, json_t *value)
{
    json_object_set_new(json, name, value); /* what fails shows as the dump is made */
}

static void set_times(json_t *json, const rmi_times *times)
{
    set(json, "p50_ns", json_real(times->p50_ns));
    set(json, "p90_ns", json_real(times->p90_ns));
    set(json, "p99_ns", json_real(times->p99_ns));
    set(json, "max_ns", json_real(times->max_ns));
}

static json_t *time_json(const rmi_node_numbers *node)
{
    json_t *json =
        json_pack("{s:I, s:f, s:f, s:f}", "timed_calls", (json_int_t)node->timed_calls, "sum_ns",
                  node->sum_ns, "pending_ns", node->pending_ns, "min_ns", node->min_ns);
    set_times(json, &node->time);
    return json;
}

static json_t *waiting_json(const rmi_node_numbers *node)
{
    json_t *json = json_pack("{s:I, s:f, s:f}", "measured", (json_int_t)node->waits_measured,
                             "packets", node->arrived, "sum_ns", node->waited_ns);
    set_times(json, &node->waiting);
    return json;
}

/* NULL: the node is no sink, or nothing has come. */
static json_t *age_json(const rmi_node_numbers *node)
{
    if (!node->ages_sampled) {
        return NULL;
    }
    json_t *json =
        json_pack("{s:I, s:f, s:f, s:I}", "sampled", (json_int_t)node->ages_sampled, "sum_ns",
                  node->age_sum_ns, "mean_ns", node->age_sum_ns / (double)node->ages_sampled,
                  "over_budget", (json_int_t)node->ages_over_budget);
    set_times(json, &node->age);
    return json;
}

static const char *const breaker_names[] = {"closed", "open", "half open"};

/* What became of items that failed, and what was looked at before it left. */
static void set_recovery_and_flow(json_t *json, const rmi_node_numbers *node)
{
    set(json, "dead_letters", json_integer((json_int_t)node->dead_letters));
    set(json, "fallbacks", json_integer((json_int_t)node->fallbacks));
    set(json, "breaker", json_string(breaker_names[node->breaker_state]));
    set(json, "refused", json_integer((json_int_t)node->refused));
    set(json, "unrouted", json_integer((json_int_t)node->unrouted));
    set(json, "pts_repaired", json_integer((json_int_t)node->pts_repaired));
    set(json, "overruns", json_integer((json_int_t)node->overruns));
}

/* Of a node in several copies: which of them it is; 0: one of its ends. */
static void set_copy(json_t *json, const rmi_node_numbers *node)
{
    if (node->part_of) {
        set(json, "part_of", json_string(node->part_of));
        set(json, "copy", json_integer(node->copy));
    }
}

/* Of a node whose code a tier hosts: where its time goes. */
static void set_tier(json_t *json, const rmi_node_numbers *node)
{
    const uint64_t *ns = node->tier_ns;
    if (ns[RM_TIER_USER] || ns[RM_TIER_MARSHAL] || ns[RM_TIER_LOCK]) {
        set(json, "tier",
            json_pack("{s:I, s:I, s:I}", "user_ns", (json_int_t)ns[RM_TIER_USER], "marshal_ns",
                      (json_int_t)ns[RM_TIER_MARSHAL], "lock_ns", (json_int_t)ns[RM_TIER_LOCK]));
    }
}

static json_t *node_json(const rmi_node_numbers *node)
{
    if (node->is_busy) {
        return json_pack("{s:s, s:s, s:s, s:i}", "id", node->id, "type", node->type, "state",
                         "busy", "strand", (int)node->strand);
    }
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s*, s:o, s:o, s:o*}",
        "id", node->id, "type", node->type, "state", state_names[node->state], "strand",
        (int)node->strand, "calls", (json_int_t)node->calls, "items", (json_int_t)node->items,
        "emitted", (json_int_t)node->emitted, "errors", (json_int_t)node->errors, "skipped",
        (json_int_t)node->skipped, "retries", (json_int_t)node->retries, "late",
        (json_int_t)node->late, "late_drops", (json_int_t)node->late_drops, "place", node->place,
        "fell_back", node->fell_back, "time", time_json(node), "waiting", waiting_json(node), "age",
        age_json(node));
    set_recovery_and_flow(json, node);
    set_copy(json, node);
    set_tier(json, node);
    return json;
}

static json_t *edge_json(const rmi_edge_numbers *edge)
{
    uint64_t full = edge->drops[RMI_DROP_FULL], interrupted = edge->drops[RMI_DROP_INTERRUPT];
    uint64_t drops = full + interrupted;
    json_t *queued_bytes = edge->counts_bytes ? json_integer((json_int_t)edge->queued_bytes) : NULL;
    return json_pack(
        "{s:s, s:s, s:I, s:I, s:s, s:s, s:I, s:{s:I, s:I}, s:I, s:o*, s:I, s:I, s:b, s:I}", "from",
        edge->from, "to", edge->to, "packets", (json_int_t)edge->packets, "bytes",
        (json_int_t)edge->bytes, "from_port", edge->from_port, "to_port", edge->to_port, "drops",
        (json_int_t)drops, "dropped", "full", (json_int_t)full, "interrupt",
        (json_int_t)interrupted, "queued", (json_int_t)edge->queued, "queued_bytes", queued_bytes,
        "peak", (json_int_t)edge->peak, "capacity", (json_int_t)edge->capacity, "link",
        edge->is_link, "over_budget", (json_int_t)edge->over_budget);
}

static json_t *nodes_json(const rm_metrics *metrics)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < metrics->node_count; i++) {
        if (metrics->nodes[i].id) {
            json_array_append_new(list, node_json(&metrics->nodes[i]));
        }
    }
    return list;
}

static json_t *edges_json(const rm_metrics *metrics)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < metrics->edge_count; i++) {
        if (metrics->edges[i].from) {
            json_array_append_new(list, edge_json(&metrics->edges[i]));
        }
    }
    return list;
}

rm_status rm_metrics_to_json(const rm_metrics *metrics, char **ret_json, rm_error *err)
{
    uint64_t rss, rss_peak;
    rmi_process_memory(&rss, &rss_peak);
    json_t *root =
        json_pack("{s:I, s:o, s:o, s:{s:I, s:I, s:I}, s:{s:I, s:I}}", "elapsed_ns",
                  (json_int_t)metrics->elapsed_ns, "nodes", nodes_json(metrics), "edges",
                  edges_json(metrics), "memory", "bytes", (json_int_t)metrics->bytes, "bytes_peak",
                  (json_int_t)metrics->bytes_peak, "bytes_max", (json_int_t)metrics->bytes_max,
                  "process", "rss_bytes", (json_int_t)rss, "rss_bytes_peak", (json_int_t)rss_peak);
    char *dump = root ? json_dumps(root, JSON_COMPACT) : NULL;
    char *copy = dump ? rmi_strdup(dump) : NULL;
    free(dump);
    json_decref(root);
    if (!copy) {
        return rm_fail(err, RM_ENOMEM, "no memory for metrics");
    }
    *ret_json = copy;
    return RM_OK;
}
