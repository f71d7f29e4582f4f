#include "engine/recover.h"

#include <stdio.h>

#include "engine/events.h"

void rmi_recover_describe(rmi_node *node, rm_status status)
{
    rm_error *error = &node->error;
    if (error->status >= 0) {
        (void)rm_fail_as(error, RM_CODE_NODE_FAILED, "failed with %s and no message",
                         rm_status_name(status));
        error->status = status;
    }
    snprintf(error->node, sizeof error->node, "%s", node->pub.id);
    bool on_item = !node->flushing && !node->no_input;
    error->item = on_item ? (node->is_source ? node->emitted : node->items) + 1 : 0;
}

static int64_t backoff_ns(rmi_strand *strand, const rmi_node *node)
{
    /* xorshift64*: full jitter wants no better randomness. */
    strand->random ^= strand->random >> 12;
    strand->random ^= strand->random << 25;
    strand->random ^= strand->random >> 27;
    uint32_t doublings = node->attempt < 20 ? node->attempt : 20;
    uint64_t limit = (uint64_t)node->options.backoff_ns << doublings;
    return limit ? (int64_t)((strand->random * 2685821657736338717ull >> 1) % limit) : 0;
}

bool rmi_recover(rmi_strand *strand, rmi_node *node, rm_status status)
{
    rmi_node_drop_outbox(node);
    node->errors++;
    rmi_recover_describe(node, status);
    rm_error error = node->error;
    node->error.status = RM_OK;
    if (strand->cancelling || node->interrupted) {
        rmi_node_drop_inputs(node);
        return true;
    }
    if (node->on_error == RMI_ON_ERROR_RETRY && status == RM_ETRANSIENT &&
        node->attempt < node->options.attempts) {
        int64_t wait_ns = backoff_ns(strand, node);
        node->attempt++;
        node->retries++;
        node->held = !node->flushing;
        node->state = RMI_NODE_BACKOFF;
        rmi_strand_set_timer(strand, node, strand->now_ns + wait_ns);
        rmi_session_node_recovered(strand->session, node, &error);
        rmi_event_tell(strand->session, &(rmi_happening){.kind = RM_EVENT_RETRY,
                                                         .node = node,
                                                         .count = node->attempt,
                                                         .total = node->retries,
                                                         .error = &error});
        return false;
    }
    bool skips = node->on_error == RMI_ON_ERROR_SKIP || node->on_error == RMI_ON_ERROR_BYPASS;
    if (skips && !node->is_source) {
        if (node->on_error == RMI_ON_ERROR_BYPASS && node->current[0] && node->n_out > 0) {
            node->outbox[0] = (rmi_outgoing){node->current[0], &node->out[0]};
            node->outbox_count = 1;
            node->current[0] = NULL;
        }
        node->skipped++;
        rmi_session_node_recovered(strand->session, node, &error);
        const char *policy = node->on_error == RMI_ON_ERROR_SKIP ? "skip" : "bypass";
        rmi_event_tell(strand->session, &(rmi_happening){.kind = RM_EVENT_SKIPPED,
                                                         .node = node,
                                                         .reason = policy,
                                                         .count = 1,
                                                         .total = node->skipped,
                                                         .error = &error});
        return true;
    }
    rmi_node_drop_inputs(node);
    node->state = RMI_NODE_FAILED;
    strand->open_nodes--;
    rmi_session_node_failed(strand->session, node, &error);
    return false;
}
