/* testnodes.h — small nodes for the engine's tests: what each did is counted in a probe. */
#ifndef RMI_ENGINE_TESTNODES_H
#define RMI_ENGINE_TESTNODES_H

#include <pthread.h>
#include <stdlib.h>

#include "base/test.h"
#include "engine/clock.h"
#include "engine/session.h"

/* What one node of a test does and has seen. Numbers travel as stream ids. */
typedef struct probe {
    uint32_t left;      /* source: packets still to send */
    uint32_t burst;     /* packets a call; 0 stands for 1 */
    uint32_t fail_item; /* fails at this number … */
    uint32_t failures;  /* … so many times … */
    rm_status fail_with;
    uint32_t swallow; /* takes so many packets before it lets one through */
    uint32_t seen, sum, last, opened, closed, flushed, interrupted, formats;
    bool out_of_order;
    rm_node *node;
    pthread_t thread;
    bool thread_started;
    atomic_bool released, cancelled;
    atomic_uint tries;
} probe;

static inline probe *probe_of(const rm_node *node)
{
    return node->type->user;
}

enum { NUMBER_BYTES = 64, NUMBER_NS = 10000000 }; /* a packet's payload and duration */

static inline rm_status send_number(rm_node *node, uint32_t port, uint32_t number)
{
    rm_packet *packet = NULL;
    rm_status status = rm_packet_new(node, NUMBER_BYTES, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_BYTES;
    packet->header.stream_id = number;
    packet->header.duration_ns = NUMBER_NS;
    return rm_emit(node, port, packet);
}

static inline rm_status probe_open(rm_node *node, rm_error *err)
{
    (void)err;
    probe_of(node)->opened++;
    probe_of(node)->node = node;
    return RM_OK;
}

static inline void probe_close(rm_node *node)
{
    probe *p = probe_of(node);
    p->closed++;
    if (p->thread_started) {
        pthread_join(p->thread, NULL);
        p->thread_started = false;
    }
}

static inline rm_status probe_flush(rm_node *node, rm_error *err)
{
    (void)err;
    probe_of(node)->flushed++;
    return RM_OK;
}

static inline rm_status probe_control(rm_node *node, const rm_control *control, rm_error *err)
{
    (void)err;
    probe_of(node)->interrupted += control->op == RM_CONTROL_INTERRUPT;
    probe_of(node)->formats += control->op == RM_CONTROL_FORMAT;
    return RM_OK;
}

/* Numbers 1, 2, 3 … on each output port. */
static inline rm_status source_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    (void)inputs;
    (void)err;
    for (uint32_t i = 0; i < (p->burst ? p->burst : 1); i++) {
        if (p->left == 0) {
            return RM_DONE;
        }
        uint32_t number = ++p->seen;
        p->left--;
        for (uint32_t port = 0; node->type->outputs[port].name; port++) {
            rm_status status = send_number(node, port, number);
            if (status != RM_OK) {
                return status;
            }
        }
    }
    return RM_OK;
}

static inline void note(probe *p, uint32_t number)
{
    p->seen++;
    p->sum += number;
    p->out_of_order |= number <= p->last;
    p->last = number;
}

static inline rm_status sink_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    for (uint32_t i = 0; i < inputs->count; i++) {
        if (inputs->packet[i]) {
            note(probe_of(node), inputs->packet[i]->header.stream_id);
        }
    }
    return RM_OK;
}

static inline rm_status pass_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    note(probe_of(node), inputs->packet[0]->header.stream_id);
    return rm_forward(node, 0);
}

static inline rm_status triple_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    probe_of(node)->seen++;
    for (uint32_t i = 0; i < 3; i++) {
        rm_status status = send_number(node, 0, 3 * inputs->packet[0]->header.stream_id + i);
        if (status != RM_OK) {
            return status;
        }
    }
    return RM_OK;
}

/* Emits first, then fails: nothing of that may be seen downstream. */
static inline rm_status faulty_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    uint32_t number = inputs->packet[0]->header.stream_id;
    p->seen++;
    bool fails = number == p->fail_item && p->failures > 0;
    rm_status status = send_number(node, 0, fails ? 100000 : number);
    if (fails && status == RM_OK) {
        p->failures--;
        return rm_fail(err, p->fail_with, "item %u is bad", number);
    }
    return status;
}

/* Silent for `swallow` packets, as a look-ahead buffer is. */
static inline rm_status swallow_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    (void)err;
    (void)inputs;
    return ++p->seen <= p->swallow ? RM_OK : rm_forward(node, 0);
}

/* A generator: `burst` packets an item, one a call. */
static inline rm_status many_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    (void)err;
    rm_status status = send_number(node, 0, ++p->sum);
    p->last = inputs->packet[0]->header.stream_id;
    return status != RM_OK ? status : ++p->seen % p->burst ? RM_MORE : RM_OK;
}

/* At its flush: `burst` packets, two a call. */
static inline rm_status tail_flush(rm_node *node, rm_error *err)
{
    probe *p = probe_of(node);
    (void)err;
    p->flushed++;
    for (uint32_t i = 0; i < 2 && p->burst > 0; i++, p->burst--) {
        rm_status status = send_number(node, 0, ++p->sum);
        if (status != RM_OK) {
            return status;
        }
    }
    return p->burst ? RM_MORE : RM_OK;
}

/* Hands each item to a thread, which answers once it is released or cancelled. */
static inline void *work(void *argument)
{
    rm_node *node = argument;
    probe *p = probe_of(node);
    while (!atomic_load(&p->released) && !atomic_load(&p->cancelled)) {
        sched_yield();
    }
    bool cancelled = atomic_load(&p->cancelled);
    rm_status status = send_number(node, 0, p->seen);
    rm_node_complete(node, cancelled ? RM_ECANCELED : status, NULL);
    return NULL;
}

static inline rm_status async_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    probe *p = probe_of(node);
    (void)inputs;
    if (p->thread_started) {
        pthread_join(p->thread, NULL);
    }
    p->seen++;
    atomic_store(&p->cancelled, false);
    p->thread_started = pthread_create(&p->thread, NULL, work, node) == 0;
    return p->thread_started ? RM_PENDING : rm_fail(err, RM_EFAIL, "no thread");
}

static inline void async_cancel(rm_node *node)
{
    atomic_store(&probe_of(node)->cancelled, true);
}

static const rm_port one_in[] = {{.name = "in"}, {0}};
static const rm_port two_in[] __attribute__((unused)) = {{.name = "a"}, {.name = "b"}, {0}};
static const rm_port many_out[] = {{.name = "out", .emit_max = 8}, {0}};

static inline rm_node_type type_of(const char *name, probe *p)
{
    return (rm_node_type){.struct_size = sizeof(rm_node_type),
                          .name = name,
                          .inputs = one_in,
                          .outputs = many_out,
                          .process = pass_process,
                          .open = probe_open,
                          .close = probe_close,
                          .flush = probe_flush,
                          .control = probe_control,
                          .user = p};
}

static inline rm_node_type source_type(probe *p)
{
    rm_node_type type = type_of("t.source", p);
    type.inputs = NULL;
    type.process = source_process;
    return type;
}

static inline rm_node_type sink_type(probe *p)
{
    rm_node_type type = type_of("t.sink", p);
    type.outputs = NULL;
    type.process = sink_process;
    return type;
}

static inline rm_node_type node_type(probe *p,
                                     rm_status (*process)(rm_node *, const rm_inputs *, rm_error *))
{
    rm_node_type type = type_of("t.node", p);
    type.process = process;
    return type;
}

/* ---- building and driving */

static inline rm_session *session_of(uint32_t strands, rm_driver driver)
{
    rm_session_options options = {.struct_size = sizeof options, .driver = driver};
    rm_session *session = NULL;
    CHECK_INT(rmi_session_new(&options, strands, &session, NULL), RM_OK);
    return session;
}

static inline uint32_t add(rm_session *session, const rm_node_type *type, const char *id,
                           uint32_t strand)
{
    rmi_node_spec spec = {.type = type, .id = id, .strand = strand};
    uint32_t node = UINT32_MAX;
    CHECK_INT(rmi_session_add(session, &spec, &node, NULL), RM_OK);
    return node;
}

static inline uint32_t add_with(rm_session *session, const rm_node_type *type, const char *id,
                                const char *options)
{
    rmi_node_spec spec = {.type = type, .id = id, .node_json = options};
    uint32_t node = UINT32_MAX;
    CHECK_INT(rmi_session_add(session, &spec, &node, NULL), RM_OK);
    return node;
}

static inline rmi_edge *join_ports(rm_session *session, uint32_t from, uint32_t from_port,
                                   uint32_t to, uint32_t to_port, uint32_t capacity)
{
    rmi_edge_spec spec = {.from = from,
                          .from_port = from_port,
                          .to = to,
                          .to_port = to_port,
                          .capacity = capacity,
                          .capacity_max = capacity};
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rmi_session_connect(session, &spec, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    return session->edges[session->edge_count - 1];
}

static inline rmi_edge *join(rm_session *session, uint32_t from, uint32_t to, uint32_t capacity)
{
    return join_ports(session, from, 0, to, 0, capacity);
}

static inline void start(rm_session *session)
{
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rmi_session_start(session, &err), RM_OK);
    CHECK_TEXT(err.message, "");
}

/* Steps until the session has ended, or 20 s have passed (RM_EAGAIN). */
static inline rm_status drive(rm_session *session, uint32_t budget)
{
    int64_t next_ns, now_ns = 0, deadline_ns = rmi_clock_ns() + (int64_t)20000000000;
    for (;;) {
        rm_status status = rm_session_step(session, now_ns, budget, &next_ns);
        if (status != RM_MORE && status != RM_PENDING) {
            return status;
        }
        if (status == RM_PENDING) {
            now_ns = next_ns == INT64_MAX ? now_ns + 1000 : next_ns;
            sched_yield();
        }
        if (rmi_clock_ns() > deadline_ns) {
            return RM_EAGAIN;
        }
    }
}

static inline uint32_t sum_to(uint32_t n)
{
    return n * (n + 1) / 2;
}

#endif
