/* The calls of a session as a trace in the format that Perfetto and Chrome read. */
#include "engine/trace.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/clock.h"
#include "engine/session.h"

enum { TEXT_BYTES_MIN = 1 << 16, TEXT_BYTES_MAX = 1 << 30, EVENT_BYTES_MAX = 256 };
enum { NODES_MIN = 16, WORK_TIDS = 1 << 16 };

rmi_trace *rmi_trace_new(uint32_t spans_max)
{
    uint32_t room = 1;
    while (room < spans_max && room < RMI_TRACE_SPANS_MAX) {
        room *= 2;
    }
    rmi_trace *trace = rmi_calloc(1, sizeof *trace + room * sizeof(rmi_span));
    rmi_traced *nodes = rmi_calloc(NODES_MIN, sizeof *nodes);
    if (!trace || !nodes) {
        rmi_free(trace);
        rmi_free(nodes);
        return NULL;
    }
    trace->mask = room - 1;
    trace->nodes = nodes;
    trace->node_capacity = NODES_MIN;
    trace->node_count = 1;
    snprintf(nodes[0].id, sizeof nodes[0].id, "others");
    return trace;
}

void rmi_trace_free(rmi_trace *trace)
{
    if (trace) {
        rmi_free(trace->nodes);
        rmi_free(trace);
    }
}

/* A new line of the table; 0: there is no room for one. */
static uint16_t name_node(rmi_trace *trace, const rmi_node *node)
{
    if (trace->node_count == trace->node_capacity) {
        uint32_t capacity = 2 * trace->node_capacity;
        rmi_traced *grown = capacity <= RMI_TRACE_NODES_MAX
                                ? rmi_realloc(trace->nodes, capacity * sizeof *grown)
                                : NULL;
        if (!grown) {
            return 0;
        }
        trace->nodes = grown;
        trace->node_capacity = capacity;
    }
    rmi_traced *traced = &trace->nodes[trace->node_count];
    *traced = (rmi_traced){.node = node, .has_input = node->n_in > 0};
    snprintf(traced->id, sizeof traced->id, "%s", node->pub.id);
    return (uint16_t)trace->node_count++;
}

static uint32_t queued_before(const rmi_node *node)
{
    uint32_t sum = 0;
    for (uint16_t i = 0; i < node->n_in; i++) {
        const rmi_link *link = node->in[i]->link;
        sum += link ? atomic_load_explicit(&link->tail, memory_order_relaxed) -
                          atomic_load_explicit(&link->head, memory_order_relaxed)
                    : rmi_edge_length(node->in[i]);
    }
    return sum;
}

void rmi_trace_add(rmi_node *node, rmi_span_kind kind, uint64_t begin_ticks, uint64_t end_ticks)
{
    rmi_trace *trace = node->strand->trace;
    if (trace->nodes[node->traced].node != node) {
        node->traced = name_node(trace, node);
    }
    trace->nodes[node->traced].worked |= kind == RMI_SPAN_WORK;
    trace->ring[trace->count++ & trace->mask] = (rmi_span){.begin_ticks = begin_ticks,
                                                           .end_ticks = end_ticks,
                                                           .queued = queued_before(node),
                                                           .who = node->traced,
                                                           .kind = (uint8_t)kind};
}

/* ---- on and off */

typedef struct start_call {
    rmi_strand *strand;
    rmi_trace *trace;
} start_call;

static void start(void *context)
{
    start_call *asked = context;
    rmi_strand *strand = asked->strand;
    strand->trace = asked->trace;
    strand->fast_mask = 0;
    for (uint16_t i = 0; i < strand->node_count; i++) {
        strand->nodes[i]->untimed_mask = 0;
    }
}

rm_status rm_session_trace_begin(rm_session *session, uint32_t spans_max, rm_error *err)
{
    if (spans_max < 1 || spans_max > RMI_TRACE_SPANS_MAX) {
        return rm_fail(err, RM_EINVAL, "a trace of %u spans a strand, want 1 to %d", spans_max,
                       RMI_TRACE_SPANS_MAX);
    }
    if (session->options.metrics_off || session->strands[0]->trace) {
        return rm_fail(err, RM_EINVAL,
                       session->options.metrics_off
                           ? "a session without metrics has no times to trace"
                           : "the session is traced already");
    }
    for (uint32_t i = 0; i < session->strand_count; i++) {
        start_call asked = {session->strands[i], rmi_trace_new(spans_max)};
        if (!asked.trace) {
            return rm_fail(err, RM_ENOMEM, "no memory for a trace of %u spans", spans_max);
        }
        rmi_session_call(session, asked.strand, start, &asked);
    }
    return RM_OK;
}

/* ---- as text */

typedef struct writer {
    char *text;
    size_t length, capacity;
    double us_per_tick;
    uint64_t begin_ticks;
    bool failed;
} writer;

static void put(writer *w, const char *format, ...) RM_PRINTF(2, 3);
static void put(writer *w, const char *format, ...)
{
    va_list arguments;
    if (w->capacity - w->length < EVENT_BYTES_MAX + RM_ERROR_NODE_MAX * 6) {
        size_t capacity = w->capacity ? 2 * w->capacity : TEXT_BYTES_MIN;
        char *grown = capacity <= TEXT_BYTES_MAX ? rmi_realloc(w->text, capacity) : NULL;
        w->failed |= !grown;
        if (!grown) {
            return;
        }
        w->text = grown;
        w->capacity = capacity;
    }
    va_start(arguments, format);
    int length = vsnprintf(w->text + w->length, w->capacity - w->length, format, arguments);
    va_end(arguments);
    w->failed |= length < 0 || (size_t)length >= w->capacity - w->length;
    w->length += w->failed ? 0 : (size_t)length;
}

/* Nanoseconds as "12.345": microseconds, without a decimal comma whatever the locale. */
static void put_us(writer *w, const char *name, uint64_t ticks)
{
    uint64_t ns = (uint64_t)((double)ticks * w->us_per_tick * 1000);
    put(w, ",\"%s\":%llu.%03llu", name, (unsigned long long)(ns / 1000),
        (unsigned long long)(ns % 1000));
}

static void put_thread(writer *w, uint32_t tid, const char *begin, const char *quoted)
{
    put(w,
        "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":1,\"tid\":%u,\"args\":{\"name\":%s%s}},\n",
        tid, begin, quoted);
}

static const char *const kind_names[] = {"call", "flush", "work"};

static void put_span(writer *w, uint32_t strand, const char *quoted, const rmi_span *span)
{
    uint32_t tid = span->kind == RMI_SPAN_WORK ? WORK_TIDS * (strand + 1) + span->who : strand + 1;
    put(w, "{\"ph\":\"X\",\"name\":%s,\"cat\":\"%s\",\"pid\":1,\"tid\":%u", quoted,
        kind_names[span->kind], tid);
    put_us(w, "ts", span->begin_ticks - w->begin_ticks);
    put_us(w, "dur", span->end_ticks - span->begin_ticks);
    put(w, "},\n");
}

static void put_depth(writer *w, const char *quoted, const rmi_span *span)
{
    put(w, "{\"ph\":\"C\",\"name\":\"queue before %.*s,\"pid\":1", (int)strlen(quoted) - 1,
        quoted + 1);
    put_us(w, "ts", span->end_ticks - w->begin_ticks);
    put(w, ",\"args\":{\"packets\":%u}},\n", span->queued);
}

/* What is written of a node. */
typedef struct line {
    char *quoted;   /* its id as a JSON string */
    uint32_t depth; /* the last that was written of the packets before it */
} line;

typedef struct write_call {
    rmi_strand *strand;
    writer *writer;
    line *lines;      /* of the trace's nodes */
    uint64_t dropped; /* spans that had no room */
} write_call;

static void write_spans(write_call *asked)
{
    const rmi_trace *trace = asked->strand->trace;
    uint64_t first = trace->count > trace->mask ? trace->count - trace->mask - 1 : 0;
    asked->dropped = first;
    for (uint64_t i = first; i < trace->count && !asked->writer->failed; i++) {
        const rmi_span *span = &trace->ring[i & trace->mask];
        line *of = &asked->lines[span->who];
        put_span(asked->writer, asked->strand->index, of->quoted, span);
        if (of->depth != span->queued && trace->nodes[span->who].has_input) {
            of->depth = span->queued;
            put_depth(asked->writer, of->quoted, span);
        }
    }
}

static bool quote_names(write_call *asked)
{
    const rmi_trace *trace = asked->strand->trace;
    asked->lines = rmi_calloc(trace->node_count, sizeof *asked->lines);
    for (uint32_t i = 0; asked->lines && i < trace->node_count; i++) {
        json_t *name = json_string(trace->nodes[i].id);
        asked->lines[i] = (line){.quoted = json_dumps(name, JSON_ENCODE_ANY), .depth = UINT32_MAX};
        json_decref(name);
        if (!asked->lines[i].quoted) {
            return false;
        }
    }
    return asked->lines != NULL;
}

static void free_lines(write_call *asked)
{
    for (uint32_t i = 0; asked->lines && i < asked->strand->trace->node_count; i++) {
        free(asked->lines[i].quoted);
    }
    rmi_free(asked->lines);
}

static void write_strand(void *context)
{
    write_call *asked = context;
    const rmi_trace *trace = asked->strand->trace;
    uint32_t index = asked->strand->index;
    char name[32];
    asked->writer->failed |= !quote_names(asked);
    if (!asked->writer->failed) {
        snprintf(name, sizeof name, "\"strand %u\"", index);
        put_thread(asked->writer, index + 1, "", name);
        for (uint32_t i = 0; i < trace->node_count; i++) {
            if (trace->nodes[i].worked) {
                put_thread(asked->writer, WORK_TIDS * (index + 1) + i, "\"work of ",
                           asked->lines[i].quoted + 1);
            }
        }
        write_spans(asked);
    }
    free_lines(asked);
}

rm_status rm_session_trace(rm_session *session, char **ret_json, rm_error *err)
{
    uint64_t ticks = rmi_clock_ticks() - session->begin_ticks, dropped = 0;
    writer w = {.begin_ticks = session->begin_ticks,
                .us_per_tick =
                    ticks ? (double)(rmi_clock_ns() - session->begin_ns) / (double)ticks / 1000
                          : 0};
    if (!session->strands[0]->trace) {
        return rm_fail(err, RM_EINVAL, "the session is not traced");
    }
    put(&w, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
    for (uint32_t i = 0; i < session->strand_count; i++) {
        write_call asked = {.strand = session->strands[i], .writer = &w};
        rmi_session_call(session, asked.strand, write_strand, &asked);
        dropped += asked.dropped;
    }
    put(&w,
        "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":1,\"args\":{\"name\":\"pipeline\"}}],\n"
        "\"otherData\":{\"dropped_spans\":%llu}}\n",
        (unsigned long long)dropped);
    if (w.failed) {
        rmi_free(w.text);
        return rm_fail(err, RM_ENOMEM, "no memory for a trace as text");
    }
    *ret_json = w.text;
    return RM_OK;
}
