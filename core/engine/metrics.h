/* metrics.h — the numbers of a session at one moment.
 *
 *     strands ──rm_session_measure()──▶ rm_metrics ──rm_metrics_to_json()──▶ text
 *
 * They are gathered by the strands, between two calls, and told of later, where somebody asks.
 */
#ifndef RMI_ENGINE_METRICS_H
#define RMI_ENGINE_METRICS_H

#include "engine/session.h"

typedef struct rmi_times {
    double p50_ns, p90_ns, p99_ns, max_ns;
} rmi_times;

typedef struct rmi_node_numbers {
    const char *id, *type; /* NULL: there are none of it */
    uint32_t strand;
    bool is_busy; /* it did not answer: what follows is not known */
    uint8_t state, breaker_state;
    uint64_t calls, items, emitted, errors, skipped, retries, late, late_drops;
    uint64_t dead_letters, fallbacks, refused, unrouted, pts_repaired, overruns;
    uint64_t tier_ns[RM_TIER_LOCK + 1];
    const char *place, *fell_back, *part_of; /* the last two: NULL where they do not apply */
    uint32_t copy;

    uint64_t timed_calls;
    double sum_ns, pending_ns, min_ns;
    rmi_times time;

    uint64_t waits_measured;
    double arrived, waited_ns;
    rmi_times waiting;

    uint64_t ages_sampled, ages_over_budget;
    double age_sum_ns;
    rmi_times age;
} rmi_node_numbers;

typedef struct rmi_edge_numbers {
    const char *from, *to, *from_port, *to_port; /* from NULL: there are none of it */
    uint64_t packets, bytes, drops[RMI_DROP_REASONS], peak, over_budget;
    uint64_t queued_bytes;
    uint32_t queued, capacity;
    bool is_link, counts_bytes; /* false: queued_bytes is not known */
} rmi_edge_numbers;

struct rm_metrics {
    int64_t elapsed_ns;
    uint64_t bytes, bytes_peak, bytes_max;
    uint32_t node_count, edge_count;
    rmi_node_numbers *nodes; /* by index in the session */
    rmi_edge_numbers *edges;
    char *texts; /* what they point to */
};

#endif
