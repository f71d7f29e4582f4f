/* link_conformance_test.c — the link between two threads passes the suite that each link passes, by
 * the simulated driver. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/link_conformance.h"
#include "engine/drivers/sim.h"

/* ---- between threads: a node on each side that does what the suite asks */

enum { STEPS_A_CALL = 60 };

typedef struct thread_link {
    rm_node_type types[2];
    rm_registry *registry;
    rm_plan *plan;
    rmi_sim *sim;
    rm_node *sender, *receiver;
    uint32_t number, got;
    bool has, wants, ends, closes, sender_fails, receiver_fails, flushed;
} thread_link;

static rm_status sender_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    thread_link *l = node->type->user;
    rm_packet *packet = NULL;
    (void)inputs;
    if (l->sender_fails) {
        return rm_fail(err, RM_EFAIL, "the sender dies");
    }
    if (!l->has) {
        return l->ends ? RM_DONE : RM_EAGAIN;
    }
    rm_status status = rm_packet_new(node, 0, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_BYTES;
    packet->header.stream_id = l->number;
    l->has = false;
    return rm_emit(node, 0, packet);
}

static rm_status receiver_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    thread_link *l = node->type->user;
    if (l->receiver_fails) {
        return rm_fail(err, RM_EFAIL, "the receiver dies");
    }
    if (l->closes) {
        return RM_DONE;
    }
    if (!inputs->packet[0]) {
        return RM_OK;
    }
    if (!l->wants) {
        return RM_EAGAIN;
    }
    l->got = inputs->packet[0]->header.stream_id;
    l->wants = false;
    return RM_OK;
}

static rm_status receiver_flush(rm_node *node, rm_error *err)
{
    thread_link *l = node->type->user;
    (void)err;
    l->flushed = true;
    return RM_OK;
}

static rm_status remember_sender(rm_node *node, rm_error *err)
{
    (void)err;
    ((thread_link *)node->type->user)->sender = node;
    return RM_OK;
}

static rm_status remember_receiver(rm_node *node, rm_error *err)
{
    (void)err;
    ((thread_link *)node->type->user)->receiver = node;
    return RM_OK;
}

static void *thread_make(uint32_t capacity, uint64_t seed)
{
    static const rm_port in[] = {{.name = "in"}, {0}}, out[] = {{.name = "out"}, {0}};
    char json[512];
    rm_graph *graph = NULL;
    rm_error err = RM_ERROR_INIT;
    thread_link *l = calloc(1, sizeof *l);
    l->types[0] = (rm_node_type){.struct_size = sizeof(rm_node_type),
                                 .name = "t.send",
                                 .summary = "sends",
                                 .outputs = out,
                                 .open = remember_sender,
                                 .process = sender_process,
                                 .user = l};
    l->types[1] = (rm_node_type){.struct_size = sizeof(rm_node_type),
                                 .name = "t.take",
                                 .summary = "takes",
                                 .flags = RM_NODE_BLOCKS | RM_NODE_UNPROMPTED,
                                 .inputs = in,
                                 .open = remember_receiver,
                                 .process = receiver_process,
                                 .flush = receiver_flush,
                                 .user = l};
    snprintf(json, sizeof json,
             "{\"version\":\"v1\",\"nodes\":[{\"id\":\"send\",\"node_type\":\"t.send\"},{\"id\":"
             "\"take\",\"node_type\":\"t.take\"}],\"connections\":[{\"from\":\"send\",\"to\":"
             "\"take\",\"capacity\":{\"packets\":%u,\"grow_max\":%u}}]}",
             capacity, capacity);
    CHECK_INT(rm_registry_new(&l->registry, &err), RM_OK);
    CHECK_INT(rm_registry_add(l->registry, &l->types[0], &err), RM_OK);
    CHECK_INT(rm_registry_add(l->registry, &l->types[1], &err), RM_OK);
    CHECK_INT(rm_graph_parse(json, strlen(json), &graph, NULL, &err), RM_OK);
    CHECK_INT(rm_graph_plan(graph, l->registry, NULL, &l->plan, NULL, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    CHECK_INT(rm_plan_strand_count(l->plan), 2);
    CHECK_INT(rmi_sim_new(l->plan, 0, NULL, seed, &l->sim, &err), RM_OK);
    rm_graph_free(graph);
    return l;
}

static void thread_free(void *link)
{
    thread_link *l = link;
    rmi_sim_free(l->sim);
    rm_plan_free(l->plan);
    rm_registry_free(l->registry);
    free(l);
}

/* What ends the run; RM_OK: it goes on. */
static rm_status thread_failure(thread_link *l)
{
    rm_error err = RM_ERROR_INIT;
    return rm_session_error(l->sim->session, &err);
}

/* Lets the driver step until what was asked is done, or nothing moves. */
static void thread_ask(thread_link *l, rm_node *node, const bool *waits)
{
    rm_node_ready(node);
    for (int i = 0; i < STEPS_A_CALL && *waits; i++) {
        if (l->sim->status != RM_PENDING || rmi_sim_step(l->sim) != RM_MORE) {
            return;
        }
    }
}

static void thread_move(void *link)
{
    thread_link *l = link;
    if (l->sim->status == RM_PENDING) {
        (void)rmi_sim_step(l->sim);
    }
}

static rm_status thread_send(void *link, uint32_t number)
{
    thread_link *l = link;
    l->number = number;
    l->has = true;
    thread_ask(l, l->sender, &l->has);
    if (!l->has) {
        return RM_OK;
    }
    l->has = false;
    if (thread_failure(l) < 0) {
        return RM_EFAIL;
    }
    return rmi_node_of(l->sender)->state == RMI_NODE_ENDED || l->sim->status != RM_PENDING
               ? RM_DONE
               : RM_EAGAIN;
}

static rm_status thread_receive(void *link, uint32_t *ret_number)
{
    thread_link *l = link;
    l->wants = true;
    thread_ask(l, l->receiver, &l->wants);
    if (!l->wants) {
        *ret_number = l->got;
        return RM_OK;
    }
    l->wants = false;
    if (thread_failure(l) < 0) {
        return RM_EFAIL;
    }
    return l->flushed ? RM_DONE : RM_EAGAIN;
}

static void thread_end(void *link)
{
    thread_link *l = link;
    l->ends = true;
    rm_node_ready(l->sender);
}

static void thread_interrupt(void *link)
{
    thread_link *l = link;
    CHECK_INT(rm_session_interrupt(l->sim->session, "send"), RM_OK);
}

static void thread_close(void *link)
{
    thread_link *l = link;
    l->closes = true;
    rm_node_ready(l->receiver);
}

static void thread_kill_sender(void *link)
{
    thread_link *l = link;
    l->sender_fails = true;
    rm_node_ready(l->sender);
}

static void thread_kill_receiver(void *link)
{
    thread_link *l = link;
    l->receiver_fails = true;
    rm_node_ready(l->receiver);
}

static const link_kind between_threads = {
    .name = "between threads",
    .slack = 1, /* the set at hand of the node behind it */
    .make = thread_make,
    .free = thread_free,
    .send = thread_send,
    .end = thread_end,
    .interrupt = thread_interrupt,
    .receive = thread_receive,
    .close = thread_close,
    .move = thread_move,
    .kill_sender = thread_kill_sender,
    .kill_receiver = thread_kill_receiver,
};

TEST(the_link_between_threads_conforms)
{
    link_conforms(&between_threads);
}

TEST_MAIN(T(the_link_between_threads_conforms))
