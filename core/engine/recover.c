#include "engine/recover.h"

#include <stdio.h>
#include <string.h>

#include "engine/dead_letter.h"
#include "engine/events.h"
#include "engine/parallel.h"

enum { EXCERPT_BYTES = 8 };

static bool shows_bytes(const rm_packet *packet)
{
    uint8_t kind = packet->header.kind;
    return packet->header.memory == RM_MEMORY_HOST && packet->payload && kind != RM_KIND_TEXT &&
           kind != RM_KIND_VALUE;
}

/* In short what the node was given: format, size, first bytes. Of texts and values the size alone:
 * something may stand in them that is not for everybody. Live objects are their tier's to tell. */
static void describe_input(const rmi_node *node, char *text, size_t size)
{
    const rm_packet *packet = NULL;
    for (uint16_t i = 0; i < node->n_current && !packet; i++) {
        packet = node->current[i];
    }
    text[0] = '\0';
    if (!packet || packet->header.kind == RM_KIND_OBJECT) {
        return;
    }
    rm_format format;
    rm_format_from_line(packet->header.kind, &packet->header.format, &format);
    (void)rm_format_print(&format, text, size);
    size_t used = strlen(text);
    uint64_t bytes = packet->header.payload_bytes;
    (void)snprintf(text + used, size - used, ", %llu bytes", (unsigned long long)bytes);
    const uint8_t *payload = packet->payload;
    for (uint64_t i = 0; i < bytes && i < EXCERPT_BYTES && shows_bytes(packet); i++) {
        used = strlen(text);
        (void)snprintf(text + used, size - used, "%s%02x", i ? " " : ": ", payload[i]);
    }
}

static uint64_t number_of_item(const rmi_node *node)
{
    if (node->marks_items) {
        return rmi_parallel_item(node);
    }
    return (node->is_source ? node->emitted : node->items) + 1;
}

void rmi_recover_describe(rmi_node *node, rm_status status)
{
    rm_error *error = node->error;
    if (error->status >= 0) {
        (void)rm_fail_as(error, RM_CODE_NODE_FAILED, "failed with %s and no message",
                         rm_status_name(status));
        error->status = status;
    }
    snprintf(error->node, sizeof error->node, "%s", node->part_of ? node->part_of : node->pub.id);
    bool on_item = !node->flushing && !node->no_input;
    error->item = on_item ? number_of_item(node) : 0;
    describe_input(node, error->input, sizeof error->input);
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

/* True: the item is tried again later. */
static bool retry(rmi_strand *strand, rmi_node *node, rm_status status)
{
    bool wanted = node->on_error == RMI_ON_ERROR_RETRY && status == RM_ETRANSIENT &&
                  node->attempt < node->options.attempts;
    if (!wanted || node->breaker.state == RMI_BREAKER_OPEN) {
        return false;
    }
    int64_t wait_ns = backoff_ns(strand, node), most_ns = node->options.retry_ns_max;
    if (node->attempt == 0) {
        node->retry_until_ns =
            most_ns < INT64_MAX - strand->now_ns ? strand->now_ns + most_ns : INT64_MAX;
    }
    if (strand->now_ns + wait_ns > node->retry_until_ns) {
        return false;
    }
    node->attempt++;
    node->retries++;
    node->held = !node->flushing;
    node->state = RMI_NODE_BACKOFF;
    rmi_strand_set_timer(strand, node, strand->now_ns + wait_ns);
    return true;
}

static void send_input(rmi_node *node, uint16_t port)
{
    node->outbox[0] = (rmi_outgoing){node->current[0], &node->out[port]};
    node->outbox_count = 1;
    node->current[0] = NULL;
}

static const char *const policy_names[] = {[RMI_ON_ERROR_SKIP] = "skip",
                                           [RMI_ON_ERROR_BYPASS] = "bypass",
                                           [RMI_ON_ERROR_DEAD_LETTER] = "dead_letter",
                                           [RMI_ON_ERROR_FALLBACK] = "fallback"};

/* What follows where an item is not tried again. */
static rmi_on_error last_policy(const rmi_node *node)
{
    return node->on_error == RMI_ON_ERROR_RETRY ? node->options.then : node->on_error;
}

/* The item is given up: skip, bypass, dead letter, fallback. False: the policy is to fail. */
static bool give_up_item(rmi_node *node, const rm_error *error)
{
    rmi_on_error policy = last_policy(node);
    if (policy == RMI_ON_ERROR_FAIL || node->is_source) {
        return false;
    }
    if (policy == RMI_ON_ERROR_BYPASS && node->current[0] && node->n_out > 0) {
        send_input(node, 0);
    } else if (policy == RMI_ON_ERROR_DEAD_LETTER && node->current[0]) {
        (void)rmi_dead_letter_mark(node->current[0], error, node->attempt + 1);
        send_input(node, node->n_out - 1);
        node->dead_letters++;
    } else if (policy == RMI_ON_ERROR_FALLBACK && node->current[0]) {
        send_input(node, node->n_out - 1);
        rmi_parallel_mark(node);
        node->fallbacks++;
    }
    node->skipped++;
    return true;
}

bool rmi_recover(rmi_strand *strand, rmi_node *node, rm_status status)
{
    if (status == RM_ECANCELED && node->interrupted) { /* it did as it was asked to */
        rmi_node_drop_outbox(node);
        node->error->status = RM_OK;
        node->error->code = 0;
        rmi_node_drop_inputs(node);
        return true;
    }
    rmi_node_drop_outbox(node);
    bool called = node->error->code != RM_CODE_CIRCUIT_OPEN;
    rmi_recover_describe(node, status);
    rm_error error = *node->error;
    node->error->status = RM_OK;
    node->error->code = 0;
    if (called) {
        node->errors++;
        rmi_breaker_state before = node->breaker.state;
        rmi_breaker_failed(&node->breaker, &node->options.breaker, node->calls, strand->now_ns);
        rmi_event_breaker(node, before);
    }
    if (strand->cancelling || node->interrupted) {
        rmi_node_drop_inputs(node);
        return true;
    }
    if (called && retry(strand, node, status)) {
        rmi_session_node_recovered(strand->session, node, &error);
        rmi_event_tell(strand->session, &(rmi_happening){.kind = RM_EVENT_RETRY,
                                                         .node = node,
                                                         .count = node->attempt,
                                                         .total = node->retries,
                                                         .error = &error});
        return false;
    }
    if (give_up_item(node, &error)) {
        rmi_session_node_recovered(strand->session, node, &error);
        rmi_event_tell(strand->session, &(rmi_happening){.kind = RM_EVENT_SKIPPED,
                                                         .node = node,
                                                         .reason = policy_names[last_policy(node)],
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

rm_status rmi_recover_refuse(const rmi_strand *strand, rmi_node *node)
{
    double left_s = (double)(node->breaker.until_ns - strand->now_ns) / 1e9;
    return rm_fail_as(node->error, RM_CODE_CIRCUIT_OPEN,
                      "not called: it failed %u times in a row, the next try is in %.3g s",
                      node->breaker.failures, left_s);
}
