#include "nodes.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

enum { EMIT_MAX = 8, HOLD_MAX = 64, PENDING_MAX = 64 };

arrivals nodes_arrivals;

/* ---- numbers */

/* A permutation of the numbers of 48 bits, near enough. */
static uint64_t mix(uint64_t number)
{
    number = (number ^ number >> 23) * 0x2127599BF4325C37ull;
    return (number ^ number >> 47) & 0xFFFFFFFFFFFFull;
}

static uint64_t number_of(const rm_packet *packet)
{
    uint64_t number;
    memcpy(&number, packet->payload, sizeof number);
    return number;
}

/* What conditions may ask of a number: its stream id, whether it is final, and {"m": 0 to 4}. */
static rm_status mark(rm_packet *packet, uint64_t number)
{
    uint8_t metadata[] = {0x81, 0xA1, 'm', (uint8_t)(number % 5)};
    packet->header.stream_id = 1 + (uint32_t)(number % 7);
    packet->header.flags = number / 8 % 2 ? RM_FLAG_FINAL : 0;
    return rm_packet_set_metadata(packet, metadata, sizeof metadata);
}

static rm_status emit_number(rm_node *node, uint32_t port, uint64_t number)
{
    rm_packet *packet = NULL;
    rm_status status = rm_packet_new(node, sizeof number, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_BYTES;
    packet->header.duration_ns = 1000000;
    memcpy(packet->payload, &number, sizeof number);
    status = mark(packet, number);
    if (status != RM_OK) {
        rm_packet_unref(packet);
        return status;
    }
    return rm_emit(node, port, packet);
}

typedef struct numbers_params {
    int64_t count, size, salt, every;
    bool one_by_one;
} numbers_params;

#define NUMBER_PARAM(field, initial)                                                     \
    {                                                                                    \
        .name = #field, .kind = RM_PARAM_INT, .offset = offsetof(numbers_params, field), \
        .default_json = initial, .summary = "See reference.py"                           \
    }

static const rm_param numbers_table[] = {NUMBER_PARAM(count, "1"),
                                         NUMBER_PARAM(size, "1"),
                                         NUMBER_PARAM(salt, "0"),
                                         NUMBER_PARAM(every, "2"),
                                         {.name = "one_by_one",
                                          .kind = RM_PARAM_BOOL,
                                          .offset = offsetof(numbers_params, one_by_one),
                                          .default_json = "false",
                                          .summary = "A packet a call, by RM_MORE"},
                                         {0}};

typedef struct numbers_state {
    int64_t sent;                  /* of this item, or in all */
    uint64_t held[HOLD_MAX], last; /* the numbers that wait; the one that failed last */
    uint32_t held_count;
    uint64_t sum;
} numbers_state;

/* ---- sources and sinks */

static rm_status source_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const numbers_params *params = node->params;
    numbers_state *state = node->state;
    int64_t left = params->count - state->sent;
    int64_t burst = left < params->size ? left : params->size;
    (void)inputs;
    (void)err;
    for (int64_t i = 0; i < burst; i++) {
        uint64_t number = mix((uint64_t)(params->salt * 65536 + state->sent + i));
        rm_status status = emit_number(node, 0, number);
        if (status != RM_OK) {
            return status;
        }
    }
    state->sent += burst;
    return state->sent == params->count ? RM_DONE : RM_OK;
}

static rm_status sink_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const numbers_params *params = node->params;
    uint32_t *count = &nodes_arrivals.sink[params->count].count;
    if (*count == NODES_NUMBERS_MAX) {
        return rm_fail(err, RM_ELIMIT, "more than %d numbers arrived", NODES_NUMBERS_MAX);
    }
    nodes_arrivals.sink[params->count].number[(*count)++] = number_of(inputs->packet[0]);
    return RM_OK;
}

/* ---- what keeps nothing from item to item */

static rm_status map_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const numbers_params *params = node->params;
    (void)err;
    return emit_number(node, 0, mix(number_of(inputs->packet[0]) + (uint64_t)params->salt));
}

static rm_status pass_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    return rm_forward(node, 0);
}

static rm_status any_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    for (uint32_t i = 0; i < inputs->count; i++) {
        if (inputs->packet[i]) {
            return emit_number(node, 0, number_of(inputs->packet[i]));
        }
    }
    return rm_fail(err, RM_EFAIL, "called without an input");
}

static rm_status filter_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const numbers_params *params = node->params;
    (void)err;
    bool goes = number_of(inputs->packet[0]) % (uint64_t)params->every == 0;
    return goes ? RM_OK : rm_forward(node, 0);
}

static rm_status split_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    return rm_forward(node, number_of(inputs->packet[0]) & 1);
}

static rm_status repeat_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const numbers_params *params = node->params;
    numbers_state *state = node->state;
    uint64_t number = number_of(inputs->packet[0]);
    int64_t end = params->one_by_one ? state->sent + 1 : params->size;
    (void)err;
    for (int64_t i = state->sent; i < end; i++) {
        rm_status status = emit_number(node, 0, mix(number + (uint64_t)i));
        if (status != RM_OK) {
            return status;
        }
    }
    state->sent = end == params->size ? 0 : end;
    return end == params->size ? RM_OK : RM_MORE;
}

static rm_status zip_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    uint64_t sum = 0;
    (void)err;
    for (uint32_t i = 0; i < inputs->count; i++) {
        sum = mix(sum + number_of(inputs->packet[i]));
    }
    return emit_number(node, 0, sum);
}

/* Emits before it fails: nothing of that may arrive. */
static rm_status fail_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const numbers_params *params = node->params;
    uint64_t number = number_of(inputs->packet[0]);
    rm_status status = emit_number(node, 0, mix(number + 1));
    if (status == RM_OK && number % (uint64_t)params->every == 0) {
        return rm_fail(err, RM_EINVAL, "%llu is bad", (unsigned long long)number);
    }
    return status;
}

static rm_status flaky_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const numbers_params *params = node->params;
    numbers_state *state = node->state;
    uint64_t number = number_of(inputs->packet[0]);
    rm_status status = emit_number(node, 0, number);
    if (status == RM_OK && number % (uint64_t)params->every == 0 && state->last != number + 1) {
        state->last = number + 1; /* fails the first time only */
        return rm_fail(err, RM_ETRANSIENT, "%llu is not to be had now", (unsigned long long)number);
    }
    return status;
}

/* ---- what keeps something */

static rm_status take_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const numbers_params *params = node->params;
    numbers_state *state = node->state;
    (void)inputs;
    (void)err;
    return ++state->sent == params->count ? (rm_forward(node, 0), RM_DONE) : rm_forward(node, 0);
}

static rm_status window_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const numbers_params *params = node->params;
    numbers_state *state = node->state;
    uint64_t sum = mix(state->sum + number_of(inputs->packet[0]));
    (void)err;
    if (state->sent + 1 == params->size) {
        rm_status status = emit_number(node, 0, sum);
        if (status != RM_OK) {
            return status;
        }
        state->sum = 0;
        state->sent = 0;
        return RM_OK;
    }
    state->sum = sum;
    state->sent++;
    return RM_OK;
}

static rm_status window_flush(rm_node *node, rm_error *err)
{
    numbers_state *state = node->state;
    (void)err;
    return state->sent ? emit_number(node, 0, state->sum) : RM_OK;
}

/* Looks `size` numbers ahead before the first one leaves. */
static rm_status late_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const numbers_params *params = node->params;
    numbers_state *state = node->state;
    (void)err;
    if (state->held_count >= params->size) { /* more: it took over from one that looks further */
        rm_status status = emit_number(node, 0, state->held[0]);
        if (status != RM_OK) {
            return status;
        }
        memmove(state->held, state->held + 1, --state->held_count * sizeof state->held[0]);
    }
    state->held[state->held_count++] = number_of(inputs->packet[0]);
    return RM_OK;
}

static rm_status late_flush(rm_node *node, rm_error *err)
{
    const numbers_params *params = node->params;
    numbers_state *state = node->state;
    uint32_t burst = params->one_by_one ? 1 : EMIT_MAX;
    uint32_t left = state->held_count - (uint32_t)state->sent;
    (void)err;
    for (uint32_t i = 0; i < burst && i < left; i++) {
        rm_status status = emit_number(node, 0, state->held[state->sent + i]);
        if (status != RM_OK) {
            return status;
        }
    }
    state->sent += burst < left ? burst : left;
    if (state->sent < state->held_count) {
        return RM_MORE;
    }
    state->sent = state->held_count = 0; /* a change that was not made after all lets it go on */
    return RM_OK;
}

/* ---- work that is out: whoever drives the run ends it */

typedef struct work {
    rm_node *node;
    uint64_t number;
} work;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Protected by lock. */
static work pending[PENDING_MAX];
static uint32_t pending_count;

static rm_status async_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    pthread_mutex_lock(&lock);
    bool fits = pending_count < PENDING_MAX;
    if (fits) {
        pending[pending_count++] = (work){node, number_of(inputs->packet[0])};
    }
    pthread_mutex_unlock(&lock);
    return fits ? RM_PENDING : rm_fail(err, RM_ELIMIT, "more than %d at work", PENDING_MAX);
}

/* Gives up at once, unless the work is being ended at this moment. */
static void async_cancel(rm_node *node)
{
    bool found = false;
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < pending_count && !found; i++) {
        if (pending[i].node == node) {
            found = true;
            pending[i] = pending[--pending_count];
        }
    }
    pthread_mutex_unlock(&lock);
    if (found) {
        rm_node_complete(node, RM_ECANCELED, NULL);
    }
}

uint32_t nodes_pending(void)
{
    pthread_mutex_lock(&lock);
    uint32_t count = pending_count;
    pthread_mutex_unlock(&lock);
    return count;
}

void nodes_complete(uint32_t which)
{
    work done = {0};
    pthread_mutex_lock(&lock);
    if (which < pending_count) { /* else it was cancelled meanwhile */
        done = pending[which];
        pending[which] = pending[--pending_count];
    }
    pthread_mutex_unlock(&lock);
    if (done.node) {
        rm_node_complete(done.node, emit_number(done.node, 0, done.number), NULL);
    }
}

void nodes_reset(void)
{
    pending_count = 0;
    for (int i = 0; i < NODES_SINKS_MAX; i++) {
        nodes_arrivals.sink[i].count = 0;
    }
}

/* ---- checkpoints, and handing over */

static rm_status save(rm_node *node, rm_blob *blob, rm_error *err)
{
    (void)err;
    return rm_blob_append(blob, node->state, sizeof(numbers_state));
}

static rm_status load(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    if (bytes != sizeof(numbers_state)) {
        return rm_fail(err, RM_EINVAL, "a state has %zu bytes", bytes);
    }
    memcpy(node->state, data, bytes);
    return RM_OK;
}

/* ---- the types */

static const rm_port one_in[] = {{.name = "in"}, {0}};
static const rm_port two_in[] = {{.name = "in1"}, {.name = "in2"}, {0}};
static const rm_port three_in[] = {{.name = "in1"}, {.name = "in2"}, {.name = "in3"}, {0}};
static const rm_port one_out[] = {{.name = "out", .emit_max = EMIT_MAX}, {0}};
static const rm_port two_out[] = {{.name = "even"}, {.name = "odd"}, {0}};

#define NUMBERS_TYPE(type_name, more, in, out, ...)                                                \
    {.struct_size = sizeof(rm_node_type),                                                          \
     .name = type_name,                                                                            \
     .inputs = in,                                                                                 \
     .flags = more,                                                                                \
     .outputs = out,                                                                               \
     .params = numbers_table,                                                                      \
     .params_size = sizeof(numbers_params),                                                        \
     .state_size = sizeof(numbers_state),                                                          \
     .save = save,                                                                                 \
     .load = load,                                                                                 \
     .checkpoint = save,                                                                           \
     .restore = load,                                                                              \
     .summary = "See reference.py",                                                                \
     __VA_ARGS__},                                                                                 \
    {                                                                                              \
        .struct_size = sizeof(rm_node_type), .name = type_name ".own", .inputs = in,               \
        .outputs = out, .params = numbers_table, .params_size = sizeof(numbers_params),            \
        .flags = RM_NODE_BLOCKS | (more), .state_size = sizeof(numbers_state), .checkpoint = save, \
        .restore = load, .save = save, .load = load, .summary = "See reference.py", __VA_ARGS__    \
    }

static const rm_node_type types[] = {
    NUMBERS_TYPE("rg.source", 0, NULL, one_out, .process = source_process),
    NUMBERS_TYPE("rg.sink", 0, one_in, NULL, .process = sink_process),
    NUMBERS_TYPE("rg.map", RM_NODE_PURE, one_in, one_out, .process = map_process),
    NUMBERS_TYPE("rg.pass", RM_NODE_PURE, one_in, one_out, .process = pass_process),
    NUMBERS_TYPE("rg.any2", 0, two_in, one_out, .process = any_process),
    NUMBERS_TYPE("rg.any3", 0, three_in, one_out, .process = any_process),
    NUMBERS_TYPE("rg.filter", RM_NODE_PURE, one_in, one_out, .process = filter_process),
    NUMBERS_TYPE("rg.split", RM_NODE_PURE, one_in, two_out, .process = split_process),
    NUMBERS_TYPE("rg.repeat", RM_NODE_PURE, one_in, one_out, .process = repeat_process),
    NUMBERS_TYPE("rg.zip2", 0, two_in, one_out, .process = zip_process),
    NUMBERS_TYPE("rg.zip3", 0, three_in, one_out, .process = zip_process),
    NUMBERS_TYPE("rg.fail", RM_NODE_PURE, one_in, one_out, .process = fail_process),
    NUMBERS_TYPE("rg.flaky", RM_NODE_PURE, one_in, one_out, .process = flaky_process),
    NUMBERS_TYPE("rg.take", 0, one_in, one_out, .process = take_process),
    NUMBERS_TYPE("rg.window", 0, one_in, one_out, .process = window_process, .flush = window_flush),
    NUMBERS_TYPE("rg.late", 0, one_in, one_out, .process = late_process, .flush = late_flush),
    NUMBERS_TYPE("rg.async", 0, one_in, one_out, .process = async_process, .cancel = async_cancel)};

rm_status nodes_register(rm_registry *registry, rm_error *err)
{
    rm_status status = RM_OK;
    for (size_t i = 0; i < sizeof types / sizeof types[0] && status == RM_OK; i++) {
        status = rm_registry_add(registry, &types[i], err);
    }
    return status;
}
