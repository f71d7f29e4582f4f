/* The numbers of a running session as JSON. */
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/process.h"
#include "engine/clock.h"
#include "engine/latency.h"
#include "engine/session.h"

enum { ANSWER_MS_MAX = 250 };

/* What a strand is asked. It belongs to whoever is done with it last: the strand, or who asked. */
typedef struct question {
    rmi_message message;
    rm_session *session;
    rmi_strand *strand;
    double ns_per_tick;
    json_t **nodes, **edges; /* by index in the session, when it was asked */
    uint32_t node_count, edge_count;

    /* Protected by the session's lock. */
    bool answered, forgotten;
} question;

static const char *const state_names[] = {
    [RMI_NODE_NEW] = "new",
    [RMI_NODE_IDLE] = "idle",
    [RMI_NODE_RUNNING] = "running",
    [RMI_NODE_HOLDING] = "holding",
    [RMI_NODE_PENDING] = "pending",
    [RMI_NODE_BACKOFF] = "backoff",
    [RMI_NODE_ENDED] = "ended",
    [RMI_NODE_FAILED] = "failed",
    [RMI_NODE_ABANDONED] = "abandoned",
    [RMI_NODE_CLOSED] = "closed",
};

/* What calls of which none was timed took: as long each as `like_ticks`, and no longer in all than
 * the time in which they were made. */
static uint64_t untimed_ticks(const rmi_node *node, uint64_t calls, uint64_t like_ticks,
                              uint64_t until_ticks)
{
    uint64_t most = until_ticks - node->told_at_ticks;
    return calls > 0 && like_ticks > most / calls ? most : calls * like_ticks;
}

static uint64_t mean_ticks(const rmi_node *node)
{
    return node->told_calls ? node->told_ticks / node->told_calls : 0;
}

void rmi_node_note(rmi_histogram **histogram, uint64_t value, uint32_t weight)
{
    if (!*histogram) {
        *histogram = RMI_NEW(rmi_histogram);
    }
    if (*histogram) {
        rmi_histogram_add_many(*histogram, value, weight);
    }
}

/* Fast nodes are timed at each 16th call, which stands for those before it. A slow one may be alone
 * of its kind, as a flush is: there the mean so far is as good, and the time that went by bounds
 * both. So a node's calls never come to more than the time of the thread that made them. */
uint64_t rmi_node_count_call(rmi_node *node, uint64_t begin_ticks)
{
    uint64_t now_ticks = rmi_clock_ticks(), ticks = now_ticks - begin_ticks;
    uint64_t untimed = node->calls - 1 - node->told_calls;
    uint64_t like_ticks = node->flushing ? mean_ticks(node) : ticks;
    rmi_node_note(&node->time, ticks, 1);
    uint64_t sum = node->told_ticks + untimed_ticks(node, untimed, like_ticks, begin_ticks) + ticks;
    __atomic_store_n(&node->told_ticks, sum, __ATOMIC_RELAXED); /* latency.c reads all strands' */
    node->told_calls = node->calls;
    node->told_at_ticks = now_ticks;
    return ticks;
}

/* What enters the graph now is given the time of now. */
void rmi_node_begin_border_call(rmi_node *node)
{
    if (node->is_source) {
        rmi_strand_look_at_clock(node->strand);
    }
}

void rmi_node_end_border_call(rmi_node *node, rm_status status)
{
    const rmi_strand *strand = node->strand;
    if (node->n_out || status == RM_EAGAIN) {
        return;
    }
    int64_t now_ns = strand->real_clock ? rmi_clock_ns() : strand->now_ns;
    for (uint16_t i = 0; i < node->n_current; i++) {
        const rm_packet *packet = node->current[i];
        if (packet && packet->header.origin_ns && now_ns >= packet->header.origin_ns) {
            uint64_t age_ns = (uint64_t)now_ns - (uint64_t)packet->header.origin_ns;
            rmi_node_note(&node->age, age_ns / 1000, 1);
            rmi_latency_note_age(node, age_ns > INT64_MAX ? INT64_MAX : (int64_t)age_ns);
        }
    }
}

/* ---- as JSON */

static const rmi_histogram no_times = {0};

static int set_times(json_t *json, const rmi_histogram *h, double ns_each)
{
    static const struct {
        const char *name;
        double share;
    } rows[] = {{"p50_ns", 0.50}, {"p90_ns", 0.90}, {"p99_ns", 0.99}};
    int failed = 0;
    h = h ? h : &no_times;
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        double value = (double)rmi_histogram_quantile(h, rows[i].share) * ns_each;
        failed |= json_object_set_new(json, rows[i].name, json_real(value));
    }
    return failed | json_object_set_new(json, "max_ns", json_real((double)h->max * ns_each));
}

/* Of calls made elsewhere the sum has what the node told of them, of other work all the time that
 * it was out: also what a coroutine only waited. Where whole calls were made elsewhere the
 * percentiles are those of these; the node's own calls only hand them over. */
static json_t *time_json(const rmi_node *node, double ns_per_tick)
{
    const rmi_histogram *h = node->time ? node->time : &no_times;
    double pending_ns = (double)node->pending_ticks * ns_per_tick;
    uint64_t last_ticks = node->told_calls ? untimed_ticks(node, node->calls - node->told_calls,
                                                           mean_ticks(node), rmi_clock_ticks())
                                           : 0;
    double work_ns = (double)node->work_ns;
    double sum_ns = (double)(node->told_ticks + last_ticks) * ns_per_tick +
                    (node->work || work_ns > pending_ns ? work_ns : pending_ns);
    if (node->work) {
        h = node->work;
        ns_per_tick = 1;
    }
    json_t *json =
        json_pack("{s:I, s:f, s:f, s:f}", "timed_calls", (json_int_t)h->count, "sum_ns", sum_ns,
                  "pending_ns", pending_ns, "min_ns", (double)rmi_histogram_least(h) * ns_per_tick);
    set_times(json, h, ns_per_tick);
    return json;
}

/* Packets that came over the node's edges, and those that were queued of them. */
static void count_arrived(const rmi_node *node, double *ret_packets, double *ret_queued)
{
    *ret_packets = *ret_queued = 0;
    for (uint16_t i = 0; i < node->n_in; i++) {
        const rmi_edge *edge = node->in[i];
        double taken = edge->link ? atomic_load(&edge->link->head) : 0;
        *ret_packets += edge->link ? taken : (double)edge->packets;
        *ret_queued += edge->link ? taken : (double)edge->queued;
    }
}

/* Of a packet that was handed over without a queue the wait is 0. */
static double wait_quantile(const rmi_histogram *h, double share, double handed_over)
{
    return share < handed_over || handed_over >= 1
               ? 0
               : (double)rmi_histogram_quantile(h, (share - handed_over) / (1 - handed_over));
}

static json_t *waiting_json(const rmi_node *node, double ns_per_tick)
{
    const rmi_histogram *h = node->waiting ? node->waiting : &no_times;
    double packets, queued;
    count_arrived(node, &packets, &queued);
    double handed_over = packets > 0 ? 1 - queued / packets : 1;
    double mean = h->count ? (double)h->sum / (double)h->count * ns_per_tick : 0;
    return json_pack(
        "{s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "measured", (json_int_t)h->count, "packets", packets,
        "sum_ns", mean * queued, "p50_ns", wait_quantile(h, 0.50, handed_over) * ns_per_tick,
        "p90_ns", wait_quantile(h, 0.90, handed_over) * ns_per_tick, "p99_ns",
        wait_quantile(h, 0.99, handed_over) * ns_per_tick, "max_ns", (double)h->max * ns_per_tick);
}

/* NULL: the node is no sink, or nothing has come. */
static json_t *age_json(const rmi_node *node)
{
    if (!node->age || !node->age->count) {
        return NULL;
    }
    double sum_ns = (double)node->age->sum * 1000;
    json_t *json = json_pack("{s:I, s:f, s:f, s:I}", "sampled", (json_int_t)node->age->count,
                             "sum_ns", sum_ns, "mean_ns", sum_ns / (double)node->age->count,
                             "over_budget", (json_int_t)node->over_budget.count);
    set_times(json, node->age, 1000);
    return json;
}

static const char *const breaker_names[] = {"closed", "open", "half open"};

/* What became of items that failed. */
static void set_recovery(json_t *json, const rmi_node *node)
{
    const rmi_breaker *breaker = &node->breaker;
    json_object_set_new(json, "dead_letters", json_integer((json_int_t)node->dead_letters));
    json_object_set_new(json, "fallbacks", json_integer((json_int_t)node->fallbacks));
    json_object_set_new(json, "breaker", json_string(breaker_names[breaker->state]));
    json_object_set_new(json, "refused", json_integer((json_int_t)breaker->refused));
}

/* What was looked at before it left. */
static void set_flow(json_t *json, const rmi_node *node)
{
    json_object_set_new(json, "unrouted", json_integer((json_int_t)node->unrouted));
    json_object_set_new(json, "pts_repaired", json_integer((json_int_t)node->pts_repaired));
    json_object_set_new(json, "overruns", json_integer((json_int_t)node->overruns));
}

/* Of a node whose code a tier hosts: where its time goes. */
static void set_tier(json_t *json, const rmi_node *node)
{
    const uint64_t *ns = node->tier_ns;
    if (ns[RM_TIER_USER] || ns[RM_TIER_MARSHAL] || ns[RM_TIER_LOCK]) {
        json_object_set_new(json, "tier",
                            json_pack("{s:I, s:I, s:I}", "user_ns", (json_int_t)ns[RM_TIER_USER],
                                      "marshal_ns", (json_int_t)ns[RM_TIER_MARSHAL], "lock_ns",
                                      (json_int_t)ns[RM_TIER_LOCK]));
    }
}

/* Of a node in several copies: which of them it is; 0: one of its ends. */
static void set_copy(json_t *json, const rmi_node *node)
{
    if (node->part_of) {
        json_object_set_new(json, "part_of", json_string(node->part_of));
        json_object_set_new(json, "copy", json_integer(node->copy));
    }
}

static json_t *node_json(const rmi_node *node, double ns_per_tick)
{
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s*, s:o, s:o, s:o*}",
        "id", node->pub.id, "type", node->pub.type->name, "state", state_names[node->state],
        "strand", (int)node->strand->index, "calls", (json_int_t)node->calls, "items",
        (json_int_t)node->items, "emitted", (json_int_t)node->emitted, "errors",
        (json_int_t)node->errors, "skipped", (json_int_t)node->skipped, "retries",
        (json_int_t)node->retries, "late", (json_int_t)node->late, "late_drops",
        (json_int_t)node->late_drops, "place", node->place, "fell_back", node->fell_back, "time",
        time_json(node, ns_per_tick), "waiting", waiting_json(node, ns_per_tick), "age",
        age_json(node));
    set_recovery(json, node);
    set_flow(json, node);
    set_copy(json, node);
    set_tier(json, node);
    return json;
}

/* Of the edge as a whole: for a link, of both its ends. */
static uint64_t drops_of(const rmi_edge *edge, rmi_drop reason)
{
    uint64_t count = __atomic_load_n(&edge->drops[reason].count, __ATOMIC_RELAXED);
    const rmi_edge *receiving = edge->link ? edge->link->receiving : NULL;
    return count +
           (receiving ? __atomic_load_n(&receiving->drops[reason].count, __ATOMIC_RELAXED) : 0);
}

/* NULL: a link without a bound in bytes does not count them. */
static json_t *queued_bytes_json(const rmi_edge *edge)
{
    const rmi_link *link = edge->link;
    if (!link) {
        uint64_t sum = 0;
        for (uint32_t i = edge->head; i != edge->tail; i++) {
            sum += edge->ring[i & edge->mask]->header.payload_bytes;
        }
        return json_integer((json_int_t)sum);
    }
    if (!link->weighs) {
        return NULL;
    }
    int64_t bytes = (int64_t)(link->sent.of[RMI_BYTES] - atomic_load(&link->taken[RMI_BYTES]));
    return json_integer(bytes > 0 ? bytes : 0);
}

static const char *port_name(const rm_port *list, uint8_t index)
{
    return list ? list[index].name : "";
}

/* Under the session's lock: the other end may be on another strand, where a swap goes on. */
static json_t *edge_json(const rmi_edge *edge)
{
    const rmi_edge *end = edge->link ? edge->link->receiving : edge;
    uint32_t queued = rmi_edge_length(edge);
    uint64_t full = drops_of(edge, RMI_DROP_FULL);
    uint64_t interrupted = drops_of(edge, RMI_DROP_INTERRUPT);
    uint64_t drops = full + interrupted;
    if (edge->link) {
        queued = atomic_load(&edge->link->tail) - atomic_load(&edge->link->head);
    }
    json_int_t over_budget = (json_int_t)__atomic_load_n(&end->over_budget.count, __ATOMIC_RELAXED);
    return json_pack(
        "{s:s, s:s, s:I, s:I, s:s, s:s, s:I, s:{s:I, s:I}, s:I, s:o*, s:I, s:I, s:b, s:I}", "from",
        edge->from->pub.id, "to", end->to->pub.id, "packets", (json_int_t)edge->packets, "bytes",
        (json_int_t)edge->packet_bytes, "from_port",
        port_name(edge->from->pub.type->outputs, edge->from_port), "to_port",
        port_name(end->to->pub.type->inputs, end->to_port), "drops", (json_int_t)drops, "dropped",
        "full", (json_int_t)full, "interrupt", (json_int_t)interrupted, "queued",
        (json_int_t)queued, "queued_bytes", queued_bytes_json(edge), "peak", (json_int_t)edge->peak,
        "capacity", (json_int_t)edge->capacity, "link", edge->link != NULL, "over_budget",
        over_budget);
}

/* On the strand: its nodes, and the edges that leave them. Under the session's lock. */
static void answer(question *asked)
{
    const rmi_strand *strand = asked->strand;
    for (uint16_t i = 0; i < strand->node_count; i++) {
        const rmi_node *node = strand->nodes[i];
        if (node->index < asked->node_count) { /* what is late is forgotten */
            json_decref(asked->nodes[node->index]);
            asked->nodes[node->index] = node_json(node, asked->ns_per_tick);
        }
        for (uint16_t p = 0; p < node->n_out; p++) {
            for (uint32_t e = 0; e < node->out[p].edge_count; e++) {
                const rmi_edge *edge = node->out[p].edges[e];
                if (edge->index < asked->edge_count) {
                    json_decref(asked->edges[edge->index]);
                    asked->edges[edge->index] = edge_json(edge);
                }
            }
        }
    }
}

static void question_free(question *asked)
{
    for (uint32_t i = 0; asked && asked->nodes && i < asked->node_count; i++) {
        json_decref(asked->nodes[i]);
    }
    for (uint32_t i = 0; asked && asked->edges && i < asked->edge_count; i++) {
        json_decref(asked->edges[i]);
    }
    if (asked) {
        rmi_free(asked->nodes);
        rmi_free(asked->edges);
    }
    rmi_free(asked);
}

static void run_question(rmi_strand *strand, rmi_message *message)
{
    question *asked = RMI_CONTAINER(message, question, message);
    rm_session *session = strand->session;
    pthread_mutex_lock(&session->lock);
    answer(asked);
    asked->answered = true;
    bool forgotten = asked->forgotten;
    pthread_cond_broadcast(&session->changed);
    pthread_mutex_unlock(&session->lock);
    if (forgotten) {
        question_free(asked);
    }
}

static rm_status question_new(rm_session *session, rmi_strand *strand, question **ret_question)
{
    question *asked = RMI_NEW(question);
    if (!asked) {
        return RM_ENOMEM;
    }
    uint64_t ticks = rmi_clock_ticks() - session->begin_ticks;
    int64_t elapsed_ns = rmi_clock_ns() - session->begin_ns;
    asked->message.run = run_question;
    asked->session = session;
    asked->strand = strand;
    asked->ns_per_tick = ticks ? (double)elapsed_ns / (double)ticks : 0;
    asked->node_count = session->node_count;
    asked->edge_count = session->edge_count;
    asked->nodes = rmi_calloc(session->node_count + 1, sizeof(json_t *));
    asked->edges = rmi_calloc(session->edge_count + 1, sizeof(json_t *));
    if (!asked->nodes || !asked->edges) {
        question_free(asked);
        return RM_ENOMEM;
    }
    *ret_question = asked;
    return RM_OK;
}

static void ask(question *asked)
{
    rm_session *session = asked->session;
    pthread_mutex_lock(&session->lock);
    bool direct = rmi_session_is_direct(session, asked->strand);
    if (!direct) {
        rmi_strand_post(asked->strand, &asked->message);
    }
    if (direct) {
        answer(asked);
        asked->answered = true;
    }
    pthread_mutex_unlock(&session->lock);
}

static struct timespec deadline(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ANSWER_MS_MAX * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return until;
}

/* Moves the answer over; where there is none in time, what can be said without the strand. */
static void take_answer(question *asked, const struct timespec *until, json_t **nodes,
                        json_t **edges)
{
    rm_session *session = asked->session;
    pthread_mutex_lock(&session->lock);
    int timed_out = 0;
    while (!asked->answered && !timed_out) {
        timed_out = pthread_cond_timedwait(&session->changed, &session->lock, until);
    }
    bool answered = asked->answered;
    asked->forgotten = !answered;
    for (uint32_t i = 0; i < session->node_count; i++) {
        const rmi_node *node = session->nodes[i];
        if (answered && asked->nodes[i]) {
            nodes[i] = RMI_TAKE(asked->nodes[i]);
        } else if (!answered && node->strand == asked->strand) {
            nodes[i] =
                json_pack("{s:s, s:s, s:s, s:i}", "id", node->pub.id, "type", node->pub.type->name,
                          "state", "busy", "strand", (int)asked->strand->index);
        }
    }
    for (uint32_t i = 0; answered && i < session->edge_count; i++) {
        if (asked->edges[i]) {
            edges[i] = RMI_TAKE(asked->edges[i]);
        }
    }
    pthread_mutex_unlock(&session->lock);
    if (answered) {
        question_free(asked);
    }
}

static json_t *list_of(json_t **items, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        if (items[i]) {
            json_array_append_new(list, items[i]);
        }
    }
    return list;
}

void rm_session_progress(const rm_session *session, int64_t *ret_position_ns, uint64_t *ret_packets)
{
    int64_t position_ns = RM_TIME_NONE;
    uint64_t packets = 0;
    for (uint32_t i = 0; i < session->strand_count; i++) {
        const rmi_strand *strand = session->strands[i];
        int64_t end_ns = atomic_load_explicit(&strand->position_ns, memory_order_relaxed);
        position_ns = end_ns > position_ns ? end_ns : position_ns;
        packets += atomic_load_explicit(&strand->produced, memory_order_relaxed);
    }
    if (ret_position_ns) {
        *ret_position_ns = position_ns;
    }
    if (ret_packets) {
        *ret_packets = packets;
    }
}

/* Asks every strand, then waits for all of them together. */
static rm_status ask_all(rm_session *session, json_t **nodes, json_t **edges)
{
    question *asked[RMI_SESSION_STRANDS_MAX] = {0};
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < session->strand_count && status == RM_OK; i++) {
        status = question_new(session, session->strands[i], &asked[i]);
        if (status == RM_OK) {
            ask(asked[i]);
        }
    }
    struct timespec until = deadline();
    for (uint32_t i = 0; i < session->strand_count; i++) {
        if (asked[i]) {
            take_answer(asked[i], &until, nodes, edges);
        }
    }
    return status;
}

static rm_status take_metrics(rm_session *session, char **ret_json, rm_error *err)
{
    RMI_AUTO_MEMORY json_t **nodes = rmi_calloc(session->node_count + 1, sizeof *nodes);
    RMI_AUTO_MEMORY json_t **edges = rmi_calloc(session->edge_count + 1, sizeof *edges);
    if (!nodes || !edges) {
        return rm_fail(err, RM_ENOMEM, "no memory for metrics");
    }
    int64_t elapsed_ns = rmi_clock_ns() - session->begin_ns;
    rm_status status = ask_all(session, nodes, edges);
    uint64_t rss, rss_peak;
    rmi_process_memory(&rss, &rss_peak);
    json_t *root = json_pack("{s:I, s:o, s:o, s:{s:I, s:I, s:I}, s:{s:I, s:I}}", "elapsed_ns",
                             (json_int_t)elapsed_ns, "nodes", list_of(nodes, session->node_count),
                             "edges", list_of(edges, session->edge_count), "memory", "bytes",
                             (json_int_t)rmi_budget_bytes(session->budget), "bytes_peak",
                             (json_int_t)rmi_budget_bytes_peak(session->budget), "bytes_max",
                             (json_int_t)rmi_budget_bytes_max(session->budget), "process",
                             "rss_bytes", (json_int_t)rss, "rss_bytes_peak", (json_int_t)rss_peak);
    char *dump = root && status == RM_OK ? json_dumps(root, JSON_COMPACT) : NULL;
    char *copy = dump ? rmi_strdup(dump) : NULL;
    free(dump);
    json_decref(root);
    if (!copy) {
        return rm_fail(err, RM_ENOMEM, "no memory for metrics");
    }
    *ret_json = copy;
    return RM_OK;
}

rm_status rm_session_metrics(rm_session *session, char **ret_json, rm_error *err)
{
    rmi_session_begin_visit(session);
    rm_status status = take_metrics(session, ret_json, err);
    rmi_session_end_visit(session);
    return status;
}
