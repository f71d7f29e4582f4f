#include "engine/parallel.h"

#include <string.h>

#include "base/alloc.h"
#include "engine/link.h"

/* ---- the ends */

typedef struct split {
    uint32_t turn, turns;
} split;

/* One that a change brings is opened before it has its edges; they stay as long as it does. */
static uint32_t count_turns(rm_node *node)
{
    split *s = node->state;
    while (s->turns < RM_PORTS_MAX && rmi_node_of(node)->out[s->turns].edge_count) {
        s->turns++;
    }
    return s->turns;
}

static rm_status split_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    split *s = node->state;
    (void)inputs;
    (void)err;
    uint32_t turn = s->turn;
    s->turn = turn + 1 < (s->turns ? s->turns : count_turns(node)) ? turn + 1 : 0;
    return rm_forward(node, turn);
}

static rm_status split_save(rm_node *node, rm_blob *blob, rm_error *err)
{
    const split *s = node->state;
    (void)err;
    return rm_blob_append(blob, &s->turn, sizeof s->turn);
}

static rm_status split_load(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    split *s = node->state;
    uint32_t turn = UINT32_MAX;
    memcpy(&turn, data, bytes == sizeof turn ? bytes : 0);
    if (turn >= count_turns(node)) {
        return rm_fail(err, RM_EINVAL, "a saved turn is %u, want less than %u", turn, s->turns);
    }
    s->turn = turn;
    return RM_OK;
}

/* What is asked of the copies is asked of the node before them. */
static rm_status pass_request(rm_node *node, const rm_control *control)
{
    bool upstream = control->op == RM_CONTROL_KEY_FRAME || control->op == RM_CONTROL_BIT_RATE;
    return upstream ? rm_request(node, 0, control) : RM_OK;
}

static rm_status split_control(rm_node *node, const rm_control *control, rm_error *err)
{
    split *s = node->state;
    (void)err;
    if (control->op == RM_CONTROL_INTERRUPT) {
        s->turn = 0;
    }
    return pass_request(node, control);
}

static rm_status gather_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    return rm_forward(node, 0);
}

static rm_status gather_control(rm_node *node, const rm_control *control, rm_error *err)
{
    (void)err;
    return pass_request(node, control);
}

static const rm_port in[] = {{.name = "in"}, {0}};
static const rm_port in_order[] = {{.name = "out", .same_as = "in"}, {0}};
static const rm_port turns[RM_PORTS_MAX + 1] = {
    {.name = "out1"},  {.name = "out2"},  {.name = "out3"},  {.name = "out4"},
    {.name = "out5"},  {.name = "out6"},  {.name = "out7"},  {.name = "out8"},
    {.name = "out9"},  {.name = "out10"}, {.name = "out11"}, {.name = "out12"},
    {.name = "out13"}, {.name = "out14"}, {.name = "out15"}, {.name = "out16"}};

const rm_node_type rmi_split_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "rm.split",
    .summary = "Gives items by turns to the copies of a node",
    .inputs = in,
    .outputs = turns,
    .state_size = sizeof(split),
    .process = split_process,
    .control = split_control,
    .checkpoint = split_save,
    .restore = split_load,
};

const rm_node_type rmi_gather_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "rm.gather",
    .summary = "Puts what the copies of a node give into the order of its items",
    .inputs = in,
    .outputs = in_order,
    .process = gather_process,
    .control = gather_control,
};

/* ---- marks */

rm_status rmi_parallel_make_mark(rmi_node *node, rm_error *err)
{
    node->mark = rmi_aligned_calloc(64, sizeof *node->mark);
    if (!node->mark) {
        return rm_fail(err, RM_ENOMEM, "no memory for a mark");
    }
    node->mark->host.refs = 1; /* the node's own, which is never given away */
    node->mark->header.version = RM_PACKET_VERSION;
    node->mark->header.kind = RM_KIND_CONTROL;
    return RM_OK;
}

rm_status rmi_parallel_prepare(rmi_node *node, uint32_t copy, uint32_t copies, rm_error *err)
{
    node->copy = copy;
    node->copies = copies;
    node->marks_items = true;
    return rmi_parallel_make_mark(node, err);
}

void rmi_parallel_mark(rmi_node *node)
{
    for (uint16_t p = 0; p < node->n_out; p++) {
        bool gathered = node->copies > 1 || !node->out[p].is_aside;
        if (node->out[p].edge_count && gathered) {
            __atomic_fetch_add(&node->mark->host.refs, 1, __ATOMIC_RELAXED);
            node->outbox[node->outbox_count++] = (rmi_outgoing){node->mark, &node->out[p]};
            node->emitted--; /* it counts no mark */
        }
    }
}

bool rmi_parallel_is_mark(const rmi_edge *edge, const rm_packet *packet)
{
    const rmi_edge *sending = edge->link ? edge->link->sending : edge;
    return packet == sending->from->mark;
}

rmi_node *rmi_parallel_lead(rmi_node *node)
{
    while (node->copy || node->merge == RMI_MERGE_TURNS) { /* neither changes */
        const rmi_edge *edge = node->in[0];
        node = (edge->link ? edge->link->sending : edge)->from;
    }
    return node;
}

uint64_t rmi_parallel_item(const rmi_node *copy)
{
    return copy->items_before + (copy->items + copy->late_drops) * copy->copies + copy->copy;
}

/* ---- generations */

bool rmi_parallel_renew(rmi_node *gather)
{
    uint32_t newest = gather->generation;
    for (uint16_t i = 0; i < gather->n_in; i++) {
        uint32_t epoch = gather->in[i]->epoch;
        newest = (int32_t)(epoch - newest) > 0 ? epoch : newest;
    }
    if (newest == gather->generation) {
        return false;
    }
    gather->generation = newest;
    gather->next_in = 0;
    return true;
}

bool rmi_parallel_is_outdated(const rmi_node *gather, const rmi_edge *edge)
{
    const rmi_link *link = edge->link;
    uint32_t epoch = link ? link->epoch[edge->head & edge->mask] : edge->epoch;
    return (int32_t)(epoch - gather->generation) < 0;
}
