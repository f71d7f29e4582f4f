/* rm.input and rm.output: a bounded queue between the session's owner and its first or last edges.
 */
#include "engine/io_nodes.h"

#include <string.h>

#include "base/alloc.h"
#include "base/near.h"
#include "engine/quiet.h"

enum { QUEUE_SLOTS = 16 };

typedef struct io_params {
    const char *name;
} io_params;

typedef struct io_queue {
    bool ready; /* lock is initialised */
    pthread_mutex_t lock;

    /* Protected by lock. */
    rm_packet *slot[QUEUE_SLOTS];
    uint32_t head, tail;
    bool ended;   /* nothing more will come in */
    bool waiting; /* the other side found it full (input) or empty (output) */
} io_queue;

static const rm_param io_param_table[] = {
    {.name = "name",
     .kind = RM_PARAM_STRING,
     .offset = offsetof(io_params, name),
     .default_json = "\"\"",
     .summary = "how the session's owner asks for it"},
    {0},
};

static const rm_port any_in[] = {{.name = "in"}, {0}}, any_out[] = {{.name = "out"}, {0}};

static rm_status io_open(rm_node *node, rm_error *err)
{
    io_queue *queue = node->state;
    int failed = pthread_mutex_init(&queue->lock, NULL);
    if (failed) {
        return rm_fail_os(err, failed, "cannot create a queue's lock");
    }
    queue->ready = true;
    queue->waiting = node->type == &rmi_output_type; /* the first packet is told */
    return RM_OK;
}

/* The lock stays: a caller may still ask; it goes with the session. */
static void io_close(rm_node *node)
{
    io_queue *queue = node->state;
    pthread_mutex_lock(&queue->lock);
    queue->ended = true;
    if (node->type == &rmi_input_type) {
        while (queue->head != queue->tail) {
            rm_packet_unref(queue->slot[queue->head++ % QUEUE_SLOTS]);
        }
    }
    pthread_mutex_unlock(&queue->lock);
}

static void tell(rm_node *node, rm_event_kind kind)
{
    rmi_node *mine = rmi_node_of(node);
    rm_session *session = mine->strand->session;
    rmi_node **list = kind == RM_EVENT_ROOM ? session->inputs : session->outputs;
    uint32_t index = 0;
    while (list[index] != mine) {
        index++;
    }
    rm_event event = {.kind = kind, .index = index};
    if (session->options.on_event) {
        session->options.on_event(session->options.event_context, &event);
    }
}

static rm_status input_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    io_queue *queue = node->state;
    pthread_mutex_lock(&queue->lock);
    rm_packet *packet = NULL;
    bool ended = queue->ended;
    if (queue->head != queue->tail) {
        packet = queue->slot[queue->head++ % QUEUE_SLOTS];
    }
    bool told = packet && queue->waiting;
    queue->waiting &= !told;
    pthread_mutex_unlock(&queue->lock);
    if (told) {
        tell(node, RM_EVENT_ROOM);
    }
    if (!packet) {
        return ended ? RM_DONE : RM_EAGAIN;
    }
    return rm_emit(node, 0, packet);
}

static rm_status output_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    io_queue *queue = node->state;
    pthread_mutex_lock(&queue->lock);
    bool full = queue->tail - queue->head == QUEUE_SLOTS;
    bool told = !full && queue->waiting;
    if (!full) {
        queue->slot[queue->tail++ % QUEUE_SLOTS] = rm_packet_ref(inputs->packet[0]);
        queue->waiting = false;
    }
    pthread_mutex_unlock(&queue->lock);
    if (told) {
        tell(node, RM_EVENT_OUTPUT);
    }
    return full ? RM_EAGAIN : RM_OK;
}

static rm_status output_flush(rm_node *node, rm_error *err)
{
    (void)err;
    io_queue *queue = node->state;
    pthread_mutex_lock(&queue->lock);
    queue->ended = true;
    pthread_mutex_unlock(&queue->lock);
    tell(node, RM_EVENT_OUTPUT);
    return RM_OK;
}

/* What was not pulled when an interrupt came is downstream of it. */
static rm_status output_control(rm_node *node, const rm_control *control, rm_error *err)
{
    (void)err;
    io_queue *queue = node->state;
    if (control->op == RM_CONTROL_INTERRUPT) {
        pthread_mutex_lock(&queue->lock);
        while (queue->head != queue->tail) {
            rm_packet_unref(queue->slot[queue->head++ % QUEUE_SLOTS]);
        }
        queue->waiting = true;
        pthread_mutex_unlock(&queue->lock);
    }
    return RM_OK;
}

const rm_node_type rmi_input_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "rm.input",
    .summary = "Where the session's owner pushes packets in",
    .outputs = any_out,
    .params = io_param_table,
    .params_size = sizeof(io_params),
    .state_size = sizeof(io_queue),
    .open = io_open,
    .process = input_process,
    .close = io_close,
};

const rm_node_type rmi_output_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "rm.output",
    .summary = "Where the session's owner pulls packets out",
    .inputs = any_in,
    .params = io_param_table,
    .params_size = sizeof(io_params),
    .state_size = sizeof(io_queue),
    .open = io_open,
    .process = output_process,
    .flush = output_flush,
    .control = output_control,
    .close = io_close,
};

/* ---- the owner's side */

void rmi_io_ignore_wake(void *context)
{
    (void)context;
}

void rmi_io_visit(const rmi_node *node, void (*visit)(void *context, rm_packet *packet),
                  void *context)
{
    io_queue *queue = node->pub.state;
    pthread_mutex_lock(&queue->lock);
    for (uint32_t i = queue->head; i != queue->tail; i++) {
        visit(context, queue->slot[i % QUEUE_SLOTS]);
    }
    pthread_mutex_unlock(&queue->lock);
}

static rm_status find_port(rmi_node *const *list, uint32_t count, const char *name,
                           uint32_t *ret_index, rm_error *err)
{
    rmi_near near = {.wanted = name};
    for (uint32_t i = 0; i < count; i++) {
        const io_params *params = list[i]->pub.params;
        if (strcmp(params->name, name) == 0) {
            *ret_index = i;
            return RM_OK;
        }
        rmi_near_try(&near, params->name);
    }
    rm_status status = rm_fail(err, RM_ENOENT, "the graph has no port '%.60s'", name);
    const char *best = rmi_near_result(&near);
    if (best) {
        rm_error_help(err, "did you mean '%s'?", best);
    }
    return status;
}

rm_status rm_session_input(rm_session *session, const char *name, uint32_t *ret_index,
                           rm_error *err)
{
    return find_port(session->inputs, session->input_count, name, ret_index, err);
}

rm_status rm_session_output(rm_session *session, const char *name, uint32_t *ret_index,
                            rm_error *err)
{
    return find_port(session->outputs, session->output_count, name, ret_index, err);
}

/* What was found about memory is out of date. */
static void owner_goes_on(rm_session *session)
{
    if (RMI_UNLIKELY(atomic_load_explicit(&session->owner_wants_memory, memory_order_relaxed))) {
        atomic_store(&session->owner_wants_memory, false);
    }
    if (RMI_UNLIKELY(atomic_load_explicit(&session->owner_refused, memory_order_relaxed))) {
        atomic_store(&session->owner_refused, false);
    }
}

rm_status rm_session_packet_new(rm_session *session, uint64_t payload_bytes, rm_packet **ret_packet)
{
    rmi_strand *home = session->strands[0];
    bool own = atomic_load_explicit(&home->thread, memory_order_relaxed) == rmi_thread_self();
    rm_status status = own ? rmi_pool_take(home->pool, payload_bytes, 0, ret_packet)
                           : rmi_pool_take_shared(home->pool, payload_bytes, 0, ret_packet);
    if (RMI_UNLIKELY(status == RM_EAGAIN)) {
        status = rmi_owner_asks_for_memory(session);
    } else {
        owner_goes_on(session);
    }
    return status;
}

rm_status rm_session_packet_new_foreign(rm_session *session, void *payload, uint64_t payload_bytes,
                                        void (*release)(void *owner), void *owner,
                                        rm_packet **ret_packet)
{
    if (payload_bytes > RM_PACKET_PAYLOAD_MAX || (payload_bytes && !payload) || !release) {
        return RM_EINVAL;
    }
    rm_packet *packet = NULL;
    rm_status status = rm_session_packet_new(session, 0, &packet);
    if (status == RM_OK) {
        rmi_packet_set_foreign(packet, payload, payload_bytes, release, owner);
        *ret_packet = packet;
    }
    return status;
}

rm_status rm_session_push(rm_session *session, uint32_t input, rm_packet *packet)
{
    if (input >= session->input_count || !packet) {
        return RM_EINVAL;
    }
    rm_node *node = &session->inputs[input]->pub;
    io_queue *queue = node->state;
    rm_status status = RM_OK;
    pthread_mutex_lock(&queue->lock);
    if (queue->ended) {
        status = RM_DONE;
    } else if (queue->tail - queue->head == QUEUE_SLOTS) {
        queue->waiting = true;
        status = RM_EAGAIN;
    } else {
        queue->slot[queue->tail++ % QUEUE_SLOTS] = packet;
    }
    pthread_mutex_unlock(&queue->lock);
    if (status == RM_OK) {
        owner_goes_on(session);
        rm_node_ready(node);
    }
    return status;
}

void rm_session_end(rm_session *session, uint32_t input)
{
    if (input >= session->input_count) {
        return;
    }
    rm_node *node = &session->inputs[input]->pub;
    io_queue *queue = node->state;
    pthread_mutex_lock(&queue->lock);
    queue->ended = true;
    pthread_mutex_unlock(&queue->lock);
    owner_goes_on(session);
    rm_node_ready(node);
}

rm_status rm_session_pull(rm_session *session, uint32_t output, rm_packet **ret_packet)
{
    if (output >= session->output_count) {
        return RM_EINVAL;
    }
    rm_node *node = &session->outputs[output]->pub;
    io_queue *queue = node->state;
    rm_status status = RM_OK;
    pthread_mutex_lock(&queue->lock);
    bool was_full = queue->tail - queue->head == QUEUE_SLOTS;
    if (queue->head != queue->tail) {
        *ret_packet = queue->slot[queue->head++ % QUEUE_SLOTS];
    } else {
        queue->waiting = !queue->ended;
        status = queue->ended ? RM_DONE : RM_EAGAIN;
    }
    pthread_mutex_unlock(&queue->lock);
    if (status == RM_OK) {
        owner_goes_on(session);
    }
    if (was_full) {
        rm_node_ready(node);
    }
    return status;
}
