/* The numbers of a running session as JSON. */
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "engine/clock.h"
#include "engine/session.h"

enum { ANSWER_MS_MAX = 250 };

/* What a strand is asked. It belongs to whoever is done with it last: the strand, or who asked. */
typedef struct question {
    rmi_message message;
    rm_session *session;
    rmi_strand *strand;
    double ns_per_tick;
    json_t **nodes, **edges; /* by index in the session */

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

/* Fast nodes are timed at each 16th call, which stands for those before it. A slow one may be alone
 * of its kind, as a flush is: there the mean so far is as good, and the time that went by bounds
 * both. So a node's calls never come to more than the time of the thread that made them. */
uint64_t rmi_node_count_call(rmi_node *node, uint64_t begin_ticks)
{
    uint64_t now_ticks = rmi_clock_ticks(), ticks = now_ticks - begin_ticks;
    uint64_t untimed = node->calls - 1 - node->told_calls;
    uint64_t like_ticks = node->flushing ? mean_ticks(node) : ticks;
    rmi_histogram_add(node->time, ticks);
    node->told_ticks += untimed_ticks(node, untimed, like_ticks, begin_ticks) + ticks;
    node->told_calls = node->calls;
    node->told_at_ticks = now_ticks;
    return ticks;
}

/* Of work that was out the sum has what the node told of it, else all the time that it was out.
 * Where whole calls were made elsewhere the percentiles are those of these; the node's own calls
 * only hand them over. */
static json_t *time_json(const rmi_node *node, double ns_per_tick)
{
    const rmi_histogram *h = node->time;
    double pending_ns = (double)node->pending_ticks * ns_per_tick;
    uint64_t last_ticks = node->told_calls ? untimed_ticks(node, node->calls - node->told_calls,
                                                           mean_ticks(node), rmi_clock_ticks())
                                           : 0;
    double sum_ns = (double)(node->told_ticks + last_ticks) * ns_per_tick +
                    (node->work_ns ? (double)node->work_ns : pending_ns);
    if (node->work) {
        h = node->work;
        ns_per_tick = 1;
    }
    return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "timed_calls", (json_int_t)h->count,
                     "sum_ns", sum_ns, "pending_ns", pending_ns, "p50_ns",
                     (double)rmi_histogram_quantile(h, 0.50) * ns_per_tick, "p90_ns",
                     (double)rmi_histogram_quantile(h, 0.90) * ns_per_tick, "p99_ns",
                     (double)rmi_histogram_quantile(h, 0.99) * ns_per_tick, "max_ns",
                     (double)h->max * ns_per_tick);
}

static json_t *node_json(const rmi_node *node, double ns_per_tick)
{
    return json_pack("{s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "id",
                     node->pub.id, "type", node->pub.type->name, "state", state_names[node->state],
                     "strand", (int)node->strand->index, "calls", (json_int_t)node->calls, "items",
                     (json_int_t)node->items, "emitted", (json_int_t)node->emitted, "errors",
                     (json_int_t)node->errors, "skipped", (json_int_t)node->skipped, "retries",
                     (json_int_t)node->retries, "late", (json_int_t)node->late, "late_drops",
                     (json_int_t)node->late_drops, "time", time_json(node, ns_per_tick));
}

static json_t *edge_json(const rmi_edge *edge)
{
    const rmi_node *to = edge->link ? edge->link->receiving->to : edge->to;
    uint32_t queued = rmi_edge_length(edge);
    uint64_t drops = rmi_edge_drops(edge);
    if (edge->link) {
        drops += rmi_edge_drops(edge->link->receiving);
        queued = atomic_load(&edge->link->tail) - atomic_load(&edge->link->head);
    }
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "from", edge->from->pub.id,
                     "to", to->pub.id, "packets", (json_int_t)edge->packets, "bytes",
                     (json_int_t)edge->packet_bytes, "drops", (json_int_t)drops, "queued",
                     (json_int_t)queued, "peak", (json_int_t)edge->peak, "capacity",
                     (json_int_t)edge->capacity, "link", edge->link != NULL);
}

/* On the strand: its nodes, and the edges that leave them. */
static void answer(question *asked)
{
    const rmi_strand *strand = asked->strand;
    for (uint16_t i = 0; i < strand->node_count; i++) {
        const rmi_node *node = strand->nodes[i];
        asked->nodes[node->index] = node_json(node, asked->ns_per_tick);
        for (uint16_t p = 0; p < node->n_out; p++) {
            for (uint32_t e = 0; e < node->out[p].edge_count; e++) {
                const rmi_edge *edge = node->out[p].edges[e];
                asked->edges[edge->index] = edge_json(edge);
            }
        }
    }
}

static void question_free(question *asked)
{
    for (uint32_t i = 0; asked && asked->nodes && i < asked->session->node_count; i++) {
        json_decref(asked->nodes[i]);
    }
    for (uint32_t i = 0; asked && asked->edges && i < asked->session->edge_count; i++) {
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
    answer(asked);
    pthread_mutex_lock(&session->lock);
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
    pthread_mutex_unlock(&session->lock);
    if (direct) {
        answer(asked);
        asked->answered = true;
    }
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

rm_status rm_session_metrics(rm_session *session, char **ret_json, rm_error *err)
{
    RMI_AUTO_MEMORY json_t **nodes = rmi_calloc(session->node_count + 1, sizeof *nodes);
    RMI_AUTO_MEMORY json_t **edges = rmi_calloc(session->edge_count + 1, sizeof *edges);
    if (!nodes || !edges) {
        return rm_fail(err, RM_ENOMEM, "no memory for metrics");
    }
    int64_t elapsed_ns = rmi_clock_ns() - session->begin_ns;
    rm_status status = ask_all(session, nodes, edges);
    json_t *root = json_pack("{s:I, s:o, s:o, s:{s:I, s:I, s:I}}", "elapsed_ns",
                             (json_int_t)elapsed_ns, "nodes", list_of(nodes, session->node_count),
                             "edges", list_of(edges, session->edge_count), "memory", "bytes",
                             (json_int_t)rmi_budget_bytes(session->budget), "bytes_peak",
                             (json_int_t)rmi_budget_bytes_peak(session->budget), "bytes_max",
                             (json_int_t)rmi_budget_bytes_max(session->budget));
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
