/* Nodes whose calls are not what tells how they work: one of Python gives what it made of an item
 * in one call or in several, at once or later, as its threads and tasks come to it. Of these each
 * item is compared: what it gave, in which order, and how it ended. */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/clock.h"
#include "engine/replay.h"

/* So long one may be silent that gives by itself what it gave when it was recorded: in rounds, in
 * each of which its loop turns, for the process itself may have been held up. */
#define SILENCE_NS ((int64_t)500000000)
enum { SILENCES_MAX = 4 };

static bool is_over(rm_status status)
{
    return status != RM_MORE && status != RM_EAGAIN && status != RM_PENDING;
}

static rm_status keep_outbox(rmi_replay_node *of, rm_error *err)
{
    rmi_node *node = of->node;
    uint32_t fresh = node->outbox_count - node->outbox_sent, length = of->given_count;
    rmi_outgoing *grown = rmi_realloc(of->given, (length + fresh + 1) * sizeof *grown);
    if (!grown) {
        return rm_fail(err, RM_ENOMEM, "no memory for what node '%s' gives", node->pub.id);
    }
    of->given = grown;
    for (uint32_t i = node->outbox_sent; i < node->outbox_count; i++) {
        node->outbox[i].port->emitted = 0;
        grown[of->given_count++] = node->outbox[i];
    }
    node->outbox_count = node->outbox_sent = 0;
    return RM_OK;
}

/* What a call that is over gave is kept until it is asked for. */
static rm_status note_result(rmi_replay_node *of, rm_error *err)
{
    of->has_result = false;
    of->over = is_over(of->result);
    if (of->result < 0 || of->result == RM_EAGAIN) {
        rmi_node_drop_outbox(of->node);
        return RM_OK;
    }
    return keep_outbox(of, err);
}

/* One call more, where one is due. RM_OK: it was made, or it had been under way and is over. */
static rm_status advance(rm_replay *replay, rmi_replay_node *of, rm_error *err)
{
    if (of->has_result) {
        return note_result(of, err);
    }
    if (of->out) {
        return RM_PENDING;
    }
    bool waits = of->begun && (of->result == RM_EAGAIN || of->over);
    if (waits && !of->ready) {
        return RM_PENDING;
    }
    if (of->over) {
        rmi_node_drop_inputs(of->node); /* it is called for what it gives by itself */
    }
    of->begun = true;
    rmi_replay_invoke(replay, of);
    return of->has_result ? note_result(of, err) : RM_OK;
}

/* It gives nothing more, as far as one can tell. */
static rm_status gave_less(const rmi_replay_node *of, const char *what, rm_error *err)
{
    (void)rm_fail_as(err, RM_CODE_REPLAY_DIFFERS, "item %" PRIu64 " %s", of->items, what);
    return rmi_replay_differs(of, err);
}

/* Something that it may do by itself is waited for, for a while. */
static rm_status wait_in_silence(rm_replay *replay, rmi_replay_node *of, const char *what,
                                 rm_error *err)
{
    int64_t now_ns = rmi_clock_ns();
    if (!of->over || of->out) {
        return RM_PENDING;
    }
    if (of->silences == 0 || now_ns >= of->silent_until_ns) {
        of->silent_until_ns = now_ns + SILENCE_NS;
        of->silences++;
    }
    replay->wait_until_ns = of->silent_until_ns;
    return of->silences <= SILENCES_MAX ? RM_PENDING : gave_less(of, what, err);
}

rm_status rmi_replay_loose_next(rm_replay *replay, rmi_replay_node *of, rm_error *err)
{
    rm_status status = RM_OK;
    while (status == RM_OK && of->given_sent == of->given_count) {
        of->given_sent = of->given_count = 0;
        if (of->over && of->result < 0) {
            return gave_less(of, "failed, and had given more when it was recorded", err);
        }
        status = advance(replay, of, err);
    }
    if (status == RM_PENDING) {
        return wait_in_silence(replay, of, "gave fewer packets than when it was recorded", err);
    }
    of->silences = 0;
    return status;
}

void rmi_replay_loose_drop(rmi_replay_node *of)
{
    while (of->given_sent < of->given_count) {
        rm_packet_unref(of->given[of->given_sent++].packet);
    }
    of->given_sent = of->given_count = 0;
}

rm_status rmi_replay_loose_catch_up(rm_replay *replay, rmi_replay_node *of, rm_error *err)
{
    rm_node *node = &of->node->pub;
    rm_control control = {.op = RM_CONTROL_CATCH_UP, .argument = replay->entry.status};
    rm_status status = RM_OK;
    while (status == RM_OK && of->in_item && !of->over && control.argument > 0 &&
           node->type->control(node, &control, of->node->error) == RM_MORE) {
        status = advance(replay, of, err);
    }
    return status;
}

rm_status rmi_replay_loose_end(const rmi_replay_node *of, rm_error *err)
{
    if (of->given_sent == of->given_count) {
        return RM_OK;
    }
    (void)rm_fail_as(err, RM_CODE_REPLAY_DIFFERS,
                     "it gave %u packets more than when it was recorded",
                     of->given_count - of->given_sent);
    return rmi_replay_differs(of, err);
}

/* A call that belongs to the item before is not one to look at. */
static bool begins_item(const rmi_replay_node *of, const rmi_record_entry *entry)
{
    if (entry->flags & RMI_CALL_FLUSH) {
        return !of->flush;
    }
    return entry->flags & RMI_CALL_SAME ? !of->in_item : entry->input_count > 0;
}

rm_status rmi_replay_loose_call(rm_replay *replay, rmi_replay_node *of, rm_error *err)
{
    const rmi_record_entry *entry = &replay->entry;
    of->now_ns = entry->now_ns;
    if (!begins_item(of, entry)) {
        return RM_OK;
    }
    rm_status status = of->has_result ? note_result(of, err) : RM_OK;
    if (status != RM_OK || of->out) {
        return status != RM_OK ? status : RM_PENDING; /* what it does by itself just now */
    }
    of->in_item = true;
    of->begun = of->over = of->ready = false;
    of->flush = entry->flags & RMI_CALL_FLUSH;
    return rmi_replay_take_inputs(replay, of, err);
}

/* The item is over in the record: here it is gone on with until it is over, too. */
static rm_status end_item(rm_replay *replay, rmi_replay_node *of, rm_error *err)
{
    rm_status status = RM_OK;
    const rmi_record_entry *entry = &replay->entry;
    while (status == RM_OK && !of->over) {
        status = advance(replay, of, err);
    }
    if (status != RM_OK) {
        return status;
    }
    of->in_item = false;
    if (of->result == (rm_status)entry->status) {
        return RM_OK;
    }
    (void)rm_fail_as(err, RM_CODE_REPLAY_DIFFERS, "item %" PRIu64 " came to %s%s%s, recorded: %s",
                     of->items, rm_status_name(of->result), of->result < 0 ? ": " : "",
                     of->result < 0 ? of->node->error->message : "",
                     rm_status_name((rm_status)entry->status));
    return rmi_replay_differs(of, err);
}

rm_status rmi_replay_loose_result(rm_replay *replay, rmi_replay_node *of, rm_error *err)
{
    const rmi_record_entry *entry = &replay->entry;
    if (entry->flags & RMI_RESULT_GONE) {
        if (of->out) {
            return RM_PENDING;
        }
        rmi_node_drop_outbox(of->node);
        rmi_node_drop_inputs(of->node);
        rmi_replay_loose_drop(of);
        of->in_item = of->has_result = false;
        of->over = true;
        return RM_OK;
    }
    if (!is_over((rm_status)entry->status) || (!of->in_item && entry->status >= 0)) {
        return RM_OK;
    }
    if (!of->in_item && of->over && of->result >= 0) { /* it failed by itself */
        of->over = false;
        of->result = RM_EAGAIN;
    }
    return end_item(replay, of, err);
}
