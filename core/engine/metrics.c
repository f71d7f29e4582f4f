/* Counts what nodes do, and gathers the numbers of a running session. */
#include "engine/metrics.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "engine/clock.h"
#include "engine/latency.h"

enum { ANSWER_MS_MAX = 250 };

/* What a strand is asked. It belongs to whoever is done with it last: the strand, or who asked. */
typedef struct question {
    rmi_message message;
    rm_session *session;
    rmi_strand *strand;
    double ns_per_tick;
    rmi_node_numbers *nodes; /* by index in the session, when it was asked */
    rmi_edge_numbers *edges;
    uint32_t node_count, edge_count;

    /* Protected by the session's lock. */
    bool answered, forgotten;
} question;

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
 * of its kind, as a flush is, or have been cut by the system: there the mean so far stands for
 * them, and the time that went by bounds both. So a node's calls never come to more than the time
 * of the thread that made them. */
uint64_t rmi_node_count_call(rmi_node *node, uint64_t begin_ticks)
{
    uint64_t now_ticks = rmi_clock_ticks(), ticks = now_ticks - begin_ticks;
    uint64_t untimed = node->calls - 1 - node->told_calls;
    bool may_be_alone = node->flushing || ticks > RMI_SLOW_TICKS;
    uint64_t like_ticks = may_be_alone ? mean_ticks(node) : ticks;
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

/* ---- gathered by a strand */

static const rmi_histogram no_times = {0};

static rmi_times times_of(const rmi_histogram *h, double ns_each)
{
    return (rmi_times){.p50_ns = (double)rmi_histogram_quantile(h, 0.50) * ns_each,
                       .p90_ns = (double)rmi_histogram_quantile(h, 0.90) * ns_each,
                       .p99_ns = (double)rmi_histogram_quantile(h, 0.99) * ns_each,
                       .max_ns = (double)h->max * ns_each};
}

/* Of calls made elsewhere the sum has what the node told of them, of other work all the time that
 * it was out: also what a coroutine only waited. Where whole calls were made elsewhere the
 * percentiles are those of these; the node's own calls only hand them over. */
static void gather_time(rmi_node_numbers *to, const rmi_node *node, double ns_per_tick)
{
    const rmi_histogram *h = node->time ? node->time : &no_times;
    uint64_t last_ticks = node->told_calls ? untimed_ticks(node, node->calls - node->told_calls,
                                                           mean_ticks(node), rmi_clock_ticks())
                                           : 0;
    double work_ns = (double)node->work_ns;
    to->pending_ns = (double)node->pending_ticks * ns_per_tick;
    to->sum_ns = (double)(node->told_ticks + last_ticks) * ns_per_tick +
                 (node->work || work_ns > to->pending_ns ? work_ns : to->pending_ns);
    if (node->work) {
        h = node->work;
        ns_per_tick = 1;
    }
    to->timed_calls = h->count;
    to->min_ns = (double)rmi_histogram_least(h) * ns_per_tick;
    to->time = times_of(h, ns_per_tick);
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

static void gather_waiting(rmi_node_numbers *to, const rmi_node *node, double ns_per_tick)
{
    const rmi_histogram *h = node->waiting ? node->waiting : &no_times;
    double queued;
    count_arrived(node, &to->arrived, &queued);
    double handed_over = to->arrived > 0 ? 1 - queued / to->arrived : 1;
    double mean = h->count ? (double)h->sum / (double)h->count * ns_per_tick : 0;
    to->waits_measured = h->count;
    to->waited_ns = mean * queued;
    to->waiting = (rmi_times){.p50_ns = wait_quantile(h, 0.50, handed_over) * ns_per_tick,
                              .p90_ns = wait_quantile(h, 0.90, handed_over) * ns_per_tick,
                              .p99_ns = wait_quantile(h, 0.99, handed_over) * ns_per_tick,
                              .max_ns = (double)h->max * ns_per_tick};
}

static void gather_age(rmi_node_numbers *to, const rmi_node *node)
{
    if (node->age) {
        to->ages_sampled = node->age->count;
        to->age_sum_ns = (double)node->age->sum * 1000;
        to->ages_over_budget = node->over_budget.count;
        to->age = times_of(node->age, 1000);
    }
}

static rmi_node_numbers node_numbers(const rmi_node *node, double ns_per_tick)
{
    rmi_node_numbers numbers = {.id = node->pub.id,
                                .type = node->pub.type->name,
                                .strand = node->strand->index,
                                .state = node->state,
                                .breaker_state = (uint8_t)node->breaker.state,
                                .calls = node->calls,
                                .items = node->items,
                                .emitted = node->emitted,
                                .errors = node->errors,
                                .skipped = node->skipped,
                                .retries = node->retries,
                                .late = node->late,
                                .late_drops = node->late_drops,
                                .dead_letters = node->dead_letters,
                                .fallbacks = node->fallbacks,
                                .refused = node->breaker.refused,
                                .unrouted = node->unrouted,
                                .pts_repaired = node->pts_repaired,
                                .overruns = node->overruns,
                                .place = node->place,
                                .fell_back = node->fell_back,
                                .part_of = node->part_of,
                                .copy = node->copy};
    memcpy(numbers.tier_ns, node->tier_ns, sizeof numbers.tier_ns);
    gather_time(&numbers, node, ns_per_tick);
    gather_waiting(&numbers, node, ns_per_tick);
    gather_age(&numbers, node);
    return numbers;
}

/* Of the edge as a whole: for a link, of both its ends. */
static uint64_t drops_of(const rmi_edge *edge, rmi_drop reason)
{
    uint64_t count = __atomic_load_n(&edge->drops[reason].count, __ATOMIC_RELAXED);
    const rmi_edge *receiving = edge->link ? edge->link->receiving : NULL;
    return count +
           (receiving ? __atomic_load_n(&receiving->drops[reason].count, __ATOMIC_RELAXED) : 0);
}

/* A link without a bound in bytes does not count them. */
static void gather_queued_bytes(rmi_edge_numbers *to, const rmi_edge *edge)
{
    const rmi_link *link = edge->link;
    to->counts_bytes = !link || link->weighs;
    if (link && link->weighs) {
        int64_t bytes = (int64_t)(link->sent.of[RMI_BYTES] - atomic_load(&link->taken[RMI_BYTES]));
        to->queued_bytes = bytes > 0 ? (uint64_t)bytes : 0;
    }
    for (uint32_t i = edge->head; !link && i != edge->tail; i++) {
        to->queued_bytes += edge->ring[i & edge->mask]->header.payload_bytes;
    }
}

static const char *port_name(const rm_port *list, uint8_t index)
{
    return list ? list[index].name : "";
}

/* Under the session's lock: the other end may be on another strand, where a swap goes on. */
static rmi_edge_numbers edge_numbers(const rmi_edge *edge)
{
    const rmi_edge *end = edge->link ? edge->link->receiving : edge;
    rmi_edge_numbers numbers = {
        .from = edge->from->pub.id,
        .to = end->to->pub.id,
        .from_port = port_name(edge->from->pub.type->outputs, edge->from_port),
        .to_port = port_name(end->to->pub.type->inputs, end->to_port),
        .packets = edge->packets,
        .bytes = edge->packet_bytes,
        .peak = edge->peak,
        .over_budget = __atomic_load_n(&end->over_budget.count, __ATOMIC_RELAXED),
        .queued = rmi_edge_length(edge),
        .capacity = edge->capacity,
        .is_link = edge->link != NULL};
    for (int reason = 0; reason < RMI_DROP_REASONS; reason++) {
        numbers.drops[reason] = drops_of(edge, (rmi_drop)reason);
    }
    if (edge->link) {
        numbers.queued = atomic_load(&edge->link->tail) - atomic_load(&edge->link->head);
    }
    gather_queued_bytes(&numbers, edge);
    return numbers;
}

/* On the strand: its nodes, and the edges that leave them. Under the session's lock. */
static void answer(question *asked)
{
    const rmi_strand *strand = asked->strand;
    for (uint16_t i = 0; i < strand->node_count; i++) {
        const rmi_node *node = strand->nodes[i];
        if (node->index < asked->node_count) { /* what is late is forgotten */
            asked->nodes[node->index] = node_numbers(node, asked->ns_per_tick);
        }
        for (uint16_t p = 0; p < node->n_out; p++) {
            for (uint32_t e = 0; e < node->out[p].edge_count; e++) {
                const rmi_edge *edge = node->out[p].edges[e];
                if (edge->index < asked->edge_count) {
                    asked->edges[edge->index] = edge_numbers(edge);
                }
            }
        }
    }
}

static void question_free(question *asked)
{
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
    asked->nodes = rmi_calloc(session->node_count + 1, sizeof *asked->nodes);
    asked->edges = rmi_calloc(session->edge_count + 1, sizeof *asked->edges);
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

static struct timespec deadline(int wait_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += wait_ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return until;
}

/* Moves the answer over; where there is none in time, what can be said without the strand. */
static void take_answer(question *asked, const struct timespec *until, rm_metrics *to)
{
    rm_session *session = asked->session;
    pthread_mutex_lock(&session->lock);
    int timed_out = 0;
    while (!asked->answered && !timed_out) {
        timed_out = pthread_cond_timedwait(&session->changed, &session->lock, until);
    }
    bool answered = asked->answered;
    asked->forgotten = !answered;
    for (uint32_t i = 0; i < to->node_count; i++) {
        const rmi_node *node = session->nodes[i];
        if (answered && asked->nodes[i].id) {
            to->nodes[i] = asked->nodes[i];
        } else if (!answered && node->strand == asked->strand) {
            to->nodes[i] = (rmi_node_numbers){.id = node->pub.id,
                                              .type = node->pub.type->name,
                                              .strand = asked->strand->index,
                                              .is_busy = true};
        }
    }
    for (uint32_t i = 0; answered && i < to->edge_count; i++) {
        if (asked->edges[i].from) {
            to->edges[i] = asked->edges[i];
        }
    }
    pthread_mutex_unlock(&session->lock);
    if (answered) {
        question_free(asked);
    }
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
static rm_status ask_all(rm_session *session, int wait_ms, rm_metrics *to)
{
    question *asked[RMI_SESSION_STRANDS_MAX] = {0};
    rm_status status = RM_OK;
    for (uint32_t i = 0; i < session->strand_count && status == RM_OK; i++) {
        status = question_new(session, session->strands[i], &asked[i]);
        if (status == RM_OK) {
            ask(asked[i]);
        }
    }
    struct timespec until = deadline(wait_ms);
    for (uint32_t i = 0; i < session->strand_count; i++) {
        if (asked[i]) {
            take_answer(asked[i], &until, to);
        }
    }
    return status;
}

/* ---- texts outlive the session */

static void each_text(rm_metrics *metrics, void (*visit)(void *context, const char **text),
                      void *context)
{
    for (uint32_t i = 0; i < metrics->node_count; i++) {
        rmi_node_numbers *node = &metrics->nodes[i];
        const char **texts[] = {&node->id, &node->type, &node->place, &node->fell_back,
                                &node->part_of};
        for (size_t t = 0; t < RMI_COUNT(texts); t++) {
            visit(context, texts[t]);
        }
    }
    for (uint32_t i = 0; i < metrics->edge_count; i++) {
        rmi_edge_numbers *edge = &metrics->edges[i];
        const char **texts[] = {&edge->from, &edge->to, &edge->from_port, &edge->to_port};
        for (size_t t = 0; t < RMI_COUNT(texts); t++) {
            visit(context, texts[t]);
        }
    }
}

static void add_length(void *context, const char **text)
{
    size_t *bytes = context;
    *bytes += *text ? strlen(*text) + 1 : 0;
}

static void move_text(void *context, const char **text)
{
    char **to = context;
    if (*text) {
        size_t bytes = strlen(*text) + 1;
        *text = memcpy(*to, *text, bytes);
        *to += bytes;
    }
}

static rm_status own_texts(rm_metrics *metrics)
{
    size_t bytes = 1;
    each_text(metrics, add_length, &bytes);
    metrics->texts = rmi_calloc(1, bytes);
    if (!metrics->texts) {
        return RM_ENOMEM;
    }
    char *to = metrics->texts;
    each_text(metrics, move_text, &to);
    return RM_OK;
}

static rm_status gather(rm_session *session, int wait_ms, rm_metrics *metrics)
{
    metrics->elapsed_ns = rmi_clock_ns() - session->begin_ns;
    metrics->node_count = session->node_count;
    metrics->edge_count = session->edge_count;
    metrics->nodes = rmi_calloc(session->node_count + 1, sizeof *metrics->nodes);
    metrics->edges = rmi_calloc(session->edge_count + 1, sizeof *metrics->edges);
    rm_status status =
        metrics->nodes && metrics->edges ? ask_all(session, wait_ms, metrics) : RM_ENOMEM;
    metrics->bytes = rmi_budget_bytes(session->budget);
    metrics->bytes_peak = rmi_budget_bytes_peak(session->budget);
    metrics->bytes_max = rmi_budget_bytes_max(session->budget);
    return status == RM_OK ? own_texts(metrics) : status;
}

rm_status rm_session_measure(rm_session *session, rm_metrics **ret_metrics, rm_error *err)
{
    return rm_session_measure_within(session, ANSWER_MS_MAX, ret_metrics, err);
}

rm_status rm_session_measure_within(rm_session *session, int wait_ms, rm_metrics **ret_metrics,
                                    rm_error *err)
{
    if (wait_ms < 0 || wait_ms > ANSWER_MS_MAX) {
        return rm_fail(err, RM_EINVAL, "wait_ms is %d, want 0 to %d", wait_ms, ANSWER_MS_MAX);
    }
    rm_metrics *metrics = RMI_NEW(rm_metrics);
    rmi_session_begin_visit(session);
    rm_status status = metrics ? gather(session, wait_ms, metrics) : RM_ENOMEM;
    rmi_session_end_visit(session);
    if (status != RM_OK) {
        rm_metrics_free(metrics);
        return rm_fail(err, status, "no memory for metrics");
    }
    *ret_metrics = metrics;
    return RM_OK;
}

void rm_metrics_free(rm_metrics *metrics)
{
    if (metrics) {
        rmi_free(metrics->nodes);
        rmi_free(metrics->edges);
        rmi_free(metrics->texts);
    }
    rmi_free(metrics);
}

rm_status rm_session_metrics(rm_session *session, char **ret_json, rm_error *err)
{
    rm_metrics *metrics = NULL;
    rm_status status = rm_session_measure(session, &metrics, err);
    if (status == RM_OK) {
        status = rm_metrics_to_json(metrics, ret_json, err);
    }
    rm_metrics_free(metrics);
    return status;
}
