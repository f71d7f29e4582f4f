/* Items followed through the nodes: what each call had as context, and gives on. */
#include "engine/spans.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/alloc.h"
#include "engine/clock.h"
#include "engine/io_nodes.h"
#include "engine/record.h"
#include "engine/session.h"

enum { HEX_BYTES = 2 * 16 + 1 };

typedef struct span {
    uint64_t begin_ticks, end_ticks;
    uint8_t trace_id[16], id[8], parent_id[8];
    bool failed;
    char node[RM_ERROR_NODE_MAX], type[RM_ERROR_NODE_MAX];
    char message[RMI_SPAN_MESSAGE_BYTES]; /* where it failed */
} span;

struct rmi_spans {
    rmi_context run; /* its span is the run's own */
    uint8_t outer_id[8];
    int64_t begin_unix_ns;
    uint64_t begin_ticks;
    uint32_t max;
    pthread_mutex_t lock;

    /* Protected by lock. */
    uint64_t random;
    uint32_t head, count;
    uint64_t lost; /* overwritten before they were taken */
    span ring[];
};

static int64_t unix_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* SplitMix64 (Steele, Lea, Flood 2014). Never 0, which no id may be. */
static uint64_t next_random(rmi_spans *spans)
{
    uint64_t z;
    do {
        z = spans->random += 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        z ^= z >> 31;
    } while (z == 0);
    return z;
}

static void put_random(rmi_spans *spans, uint8_t id[8])
{
    uint64_t value = next_random(spans);
    memcpy(id, &value, sizeof value);
}

rm_status rmi_spans_new(uint32_t spans_max, const char *traceparent, rmi_spans **ret_spans,
                        rm_error *err)
{
    rmi_context outer = {0};
    if (spans_max < 1 || spans_max > RMI_SPANS_MAX) {
        return rm_fail(err, RM_EINVAL, "%u spans, want 1 to %d", spans_max, RMI_SPANS_MAX);
    }
    if (traceparent && !rmi_context_parse(traceparent, strlen(traceparent), &outer)) {
        return rm_fail(err, RM_EINVAL, "'%.60s' is no traceparent, want 00-TRACE_ID-SPAN_ID-FLAGS",
                       traceparent);
    }
    rmi_spans *spans = rmi_calloc(1, sizeof *spans + spans_max * sizeof(span));
    if (!spans) {
        return rm_fail(err, RM_ENOMEM, "no memory for %u spans", spans_max);
    }
    spans->max = spans_max;
    spans->begin_unix_ns = unix_ns();
    spans->begin_ticks = rmi_clock_ticks();
    if (getrandom(&spans->random, sizeof spans->random, GRND_NONBLOCK) < 0) {
        spans->random = (uint64_t)spans->begin_unix_ns; /* early in a machine's life */
    }
    pthread_mutex_init(&spans->lock, NULL);
    memcpy(spans->outer_id, outer.span_id, sizeof spans->outer_id);
    spans->run = outer;
    if (!traceparent) {
        put_random(spans, spans->run.trace_id);
        put_random(spans, spans->run.trace_id + 8);
        spans->run.flags = RMI_TRACE_SAMPLED;
    }
    put_random(spans, spans->run.span_id);
    *ret_spans = spans;
    return RM_OK;
}

void rmi_spans_free(rmi_spans *spans)
{
    if (spans) {
        pthread_mutex_destroy(&spans->lock);
        rmi_free(spans);
    }
}

typedef struct start_call {
    rmi_strand *strand;
} start_call;

static void start(void *context)
{
    rmi_strand *strand = ((start_call *)context)->strand;
    strand->spans = strand->session->spans;
    strand->fast_mask = 0;
    for (uint16_t i = 0; i < strand->node_count; i++) {
        strand->nodes[i]->untimed_mask = 0;
    }
}

rm_status rm_session_spans_begin(rm_session *session, uint32_t spans_max, const char *traceparent,
                                 rm_error *err)
{
    if (session->options.metrics_off || session->spans) {
        return rm_fail(err, RM_EINVAL,
                       session->options.metrics_off
                           ? "a session without metrics has no times for spans"
                           : "the session's items are followed already");
    }
    rm_status status = rmi_record_refuse(session, "following of items", err);
    if (status != RM_OK) {
        return status;
    }
    status = rmi_spans_new(spans_max, traceparent, &session->spans, err);
    for (uint32_t i = 0; status == RM_OK && i < session->strand_count; i++) {
        start_call asked = {session->strands[i]};
        rmi_session_call(session, asked.strand, start, &asked);
    }
    return status;
}

/* ---- one call */

/* That of its inputs, or of what it has forwarded or brought in; else the run's. */
static rmi_context context_of(const rmi_node *node)
{
    rmi_context context;
    for (uint16_t i = 0; i < node->n_current; i++) {
        if (node->current[i] && rmi_context_of(node->current[i], &context)) {
            return context;
        }
    }
    for (uint32_t i = node->outbox_sent; i < node->outbox_count; i++) {
        if (rmi_context_of(node->outbox[i].packet, &context)) {
            return context;
        }
    }
    return node->strand->spans->run;
}

/* A packet that somebody else holds too stays as it is. */
static void give_on(const rmi_node *node, const rmi_context *context)
{
    for (uint32_t i = node->outbox_sent; i < node->outbox_count; i++) {
        rm_packet *packet = node->outbox[i].packet;
        rmi_context own;
        if (__atomic_load_n(&packet->host.refs, __ATOMIC_ACQUIRE) == 1 &&
            !rmi_context_of(packet, &own)) {
            (void)rmi_context_put(packet, context); /* without memory the trace ends here */
        }
    }
}

static void record(rmi_spans *spans, const span *made)
{
    uint32_t at = (spans->head + spans->count) % spans->max;
    spans->ring[at] = *made;
    if (spans->count < spans->max) {
        spans->count++;
    } else {
        spans->head = (spans->head + 1) % spans->max;
        spans->lost++;
    }
}

static bool says_something(const rmi_node *node, rm_status status)
{
    if (status == RM_PENDING || status == RM_EAGAIN || node->pub.type == &rmi_input_type ||
        node->pub.type == &rmi_output_type) {
        return false;
    }
    bool idle = node->is_source || node->no_input || node->flushing;
    return !idle || node->outbox_count > node->outbox_sent || status < 0;
}

void rmi_spans_add(rmi_node *node, uint64_t begin_ticks, uint64_t end_ticks, rm_status status)
{
    bool goes_on = status == RM_MORE && node->outbox_count == node->outbox_sent;
    if (goes_on) { /* one with the call that gives what came of it, as after work on a thread */
        node->span_begin_ticks = node->span_begin_ticks ? node->span_begin_ticks : begin_ticks;
        return;
    }
    if (!says_something(node, status)) {
        return;
    }
    begin_ticks = node->span_begin_ticks ? node->span_begin_ticks : begin_ticks;
    node->span_begin_ticks = 0;
    rmi_spans *spans = node->strand->spans;
    rmi_context context = context_of(node);
    if (context.flags & RMI_TRACE_SAMPLED) {
        span made = {.begin_ticks = begin_ticks, .end_ticks = end_ticks, .failed = status < 0};
        memcpy(made.trace_id, context.trace_id, sizeof made.trace_id);
        memcpy(made.parent_id, context.span_id, sizeof made.parent_id);
        snprintf(made.node, sizeof made.node, "%s", node->pub.id);
        snprintf(made.type, sizeof made.type, "%s", node->pub.type->name);
        if (made.failed) {
            snprintf(made.message, sizeof made.message, "%.95s", node->error->message);
        }
        pthread_mutex_lock(&spans->lock);
        put_random(spans, made.id);
        record(spans, &made);
        pthread_mutex_unlock(&spans->lock);
        memcpy(context.span_id, made.id, sizeof made.id);
    }
    give_on(node, &context);
}

/* ---- as JSON */

static const char *hex(const uint8_t *bytes, size_t count, char text[HEX_BYTES])
{
    for (size_t i = 0; i < count; i++) {
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
    return text;
}

static json_t *span_json(const rmi_spans *spans, const span *one, double ns_per_tick)
{
    char trace[HEX_BYTES], id[HEX_BYTES], parent[HEX_BYTES];
    double begin_ns = (double)(one->begin_ticks - spans->begin_ticks) * ns_per_tick;
    double end_ns = (double)(one->end_ticks - spans->begin_ticks) * ns_per_tick;
    json_int_t origin_ns = spans->begin_unix_ns;
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "node", one->node, "type", one->type,
                  "trace_id", hex(one->trace_id, 16, trace), "span_id", hex(one->id, 8, id),
                  "parent_span_id", hex(one->parent_id, 8, parent), "begin_unix_ns",
                  origin_ns + (json_int_t)begin_ns, "end_unix_ns", origin_ns + (json_int_t)end_ns);
    if (json && one->failed) {
        json_t *message = json_string(one->message); /* NULL: it was cut within a character */
        json_object_set_new(json, "error", message ? message : json_string("failed"));
    }
    return json;
}

static json_t *spans_json(rmi_spans *spans, const span *taken, uint32_t count, uint64_t lost)
{
    uint64_t ticks = rmi_clock_ticks() - spans->begin_ticks;
    int64_t now_ns = unix_ns();
    double ns_per_tick = ticks ? (double)(now_ns - spans->begin_unix_ns) / (double)ticks : 0;
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_array_append_new(list, span_json(spans, &taken[i], ns_per_tick));
    }
    char trace[HEX_BYTES], id[HEX_BYTES], outer[HEX_BYTES];
    bool inside = memcmp(spans->outer_id, (uint8_t[8]){0}, 8) != 0;
    return json_pack("{s:s, s:s, s:s*, s:b, s:I, s:I, s:I, s:o}", "trace_id",
                     hex(spans->run.trace_id, 16, trace), "span_id", hex(spans->run.span_id, 8, id),
                     "parent_span_id", inside ? hex(spans->outer_id, 8, outer) : NULL, "sampled",
                     spans->run.flags & RMI_TRACE_SAMPLED, "begin_unix_ns",
                     (json_int_t)spans->begin_unix_ns, "now_unix_ns", (json_int_t)now_ns, "lost",
                     (json_int_t)lost, "spans", list);
}

/* The oldest first. NULL: no memory. */
static span *take(rmi_spans *spans, uint32_t *ret_count, uint64_t *ret_lost)
{
    pthread_mutex_lock(&spans->lock);
    uint32_t count = spans->count;
    span *taken = rmi_calloc((size_t)count + 1, sizeof *taken);
    for (uint32_t i = 0; taken && i < count; i++) {
        taken[i] = spans->ring[(spans->head + i) % spans->max];
    }
    *ret_lost = spans->lost;
    if (taken) {
        spans->head = spans->count = 0;
        spans->lost = 0;
    }
    pthread_mutex_unlock(&spans->lock);
    *ret_count = count;
    return taken;
}

rm_status rm_session_spans(rm_session *session, char **ret_json, rm_error *err)
{
    uint32_t count = 0;
    uint64_t lost = 0;
    rmi_spans *spans = session->spans;
    if (!spans) {
        return rm_fail(err, RM_EINVAL, "rm_session_spans_begin() was not called");
    }
    RMI_AUTO_MEMORY span *taken = take(spans, &count, &lost);
    json_t *json = taken ? spans_json(spans, taken, count, lost) : NULL;
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    char *copy = text ? rmi_strdup(text) : NULL;
    free(text);
    if (!copy) {
        return rm_fail(err, RM_ENOMEM, "no memory for spans as JSON");
    }
    *ret_json = copy;
    return RM_OK;
}
