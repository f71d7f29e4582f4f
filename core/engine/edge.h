/* edge.h — a bounded connection between two ports.
 *
 *     producer node ──push──▶ [ | | |x|x] ──pop──▶ consumer node        both on one strand
 *
 *     producer node ──push──▶ sending edge ─ link ─ receiving edge ──pop──▶ consumer node
 *                                 strand A    ring    strand B
 *
 * An edge that crosses strands is two edges that share the ring of a link (link.h): the sending one
 * has no consumer, the receiving one no producer. The end of a stream is a state of the edge, so
 * that it never needs memory or room.
 *
 * Ownership: a queued packet belongs to the edge. Threads: the strand's.
 */
#ifndef RMI_ENGINE_EDGE_H
#define RMI_ENGINE_EDGE_H

#include <stdbool.h>
#include <stdint.h>

#include <remotemedia/packet.h>

#include "media/pool.h"

enum { RMI_EDGE_CAPACITY_MAX = 65536 };

typedef struct rmi_node rmi_node;
typedef struct rmi_route rmi_route;
typedef struct rmi_link rmi_link;

typedef enum rmi_policy {
    RMI_POLICY_BLOCK = 0,   /* full: the producer holds */
    RMI_POLICY_DROP_OLDEST, /* full: the oldest queued packet goes */
    RMI_POLICY_DROP_NEWEST, /* full: the new packet goes */
    RMI_POLICY_LATEST       /* only the newest is kept, whatever the capacity */
} rmi_policy;

/* What packets may be bounded by besides their number. */
typedef enum rmi_measure { RMI_BYTES, RMI_SPAN_NS, RMI_MEASURES } rmi_measure;

/* Payload in bytes, duration in ns. */
typedef struct rmi_load {
    uint64_t of[RMI_MEASURES];
} rmi_load;

static inline rmi_load rmi_load_of(const rm_packet *packet)
{
    int64_t span_ns = packet->header.duration_ns;
    return (rmi_load){{packet->header.payload_bytes, span_ns > 0 ? (uint64_t)span_ns : 0}};
}

static inline bool rmi_load_reaches(const rmi_load *load, const rmi_load *max)
{
    return (max->of[RMI_BYTES] && (int64_t)load->of[RMI_BYTES] >= (int64_t)max->of[RMI_BYTES]) ||
           (max->of[RMI_SPAN_NS] &&
            (int64_t)load->of[RMI_SPAN_NS] >= (int64_t)max->of[RMI_SPAN_NS]);
}

static inline bool rmi_load_is_bound(const rmi_load *max)
{
    return max->of[RMI_BYTES] || max->of[RMI_SPAN_NS];
}

typedef enum rmi_drop { RMI_DROP_FULL = 0, RMI_DROP_INTERRUPT, RMI_DROP_REASONS } rmi_drop;

/* Packets that were dropped for one reason. `count` may be read from any thread, atomically. */
typedef struct rmi_drops {
    uint64_t count, told; /* told: of them as events */
    int64_t told_ns;      /* when that was last; 0: never */
} rmi_drops;

/* Packets that were put aside, to be let go later. Small pieces: malloc() cleans up before it gives
 * a large one. */
enum { RMI_SHED_PART = 120 };

typedef struct rmi_shed {
    struct rmi_shed *next;
    uint32_t count;
    rm_packet *packets[RMI_SHED_PART];
} rmi_shed;

void rmi_shed_let_go(rmi_shed **shed, rmi_pool *pool);

/* What a packet touches that is handed over comes first, in one cache line. */
typedef struct rmi_edge {
    uint32_t head, tail, mask; /* free-running; length = tail - head */
    uint32_t capacity;
    rm_packet **ring;
    rmi_node *to;
    rmi_link *link;
    uint64_t packets, packet_bytes; /* since it was made */
    uint32_t epoch;                 /* +1 with each interrupt */
    uint8_t from_port, to_port;
    uint8_t policy;
    bool ended : 1;  /* nothing more will be pushed */
    bool closed : 1; /* the consumer wants no more: pushes are let go */

    rmi_load load, load_max; /* queued, kept where there is a bound; 0: no bound */
    rmi_node *from;
    uint32_t base;         /* what head has lost where the ring was made anew */
    uint32_t capacity_max; /* what it may grow to */
    uint64_t grown;        /* since it was made */
    uint64_t queued;       /* of the packets: not handed over at once */

    /* Of some packets, about each 16th, it is measured how long they are queued: one at a time. It
     * stands for those since the one before. */
    uint32_t until_stamp;    /* packets before the next such one */
    uint64_t stamp_ticks;    /* when it came */
    uint32_t stamp_at;       /* its place, as of head and tail */
    uint32_t measured_until; /* the place behind the one that was measured last */
    bool stamped;
    uint32_t peak;
    uint32_t index;   /* in the session */
    rmi_route *route; /* which packets go over it; NULL: all */
    rmi_drops drops[RMI_DROP_REASONS];
    int64_t latency_ns_max; /* how long a packet may be queued; 0: no budget */
    rmi_drops over_budget;  /* packets, of those measured, that were queued longer */
} rmi_edge;

/* capacity: 1 to RMI_EDGE_CAPACITY_MAX. */
RM_MUST_USE rm_status rmi_edge_new(uint32_t capacity, uint32_t capacity_max, rmi_edge **ret_edge,
                                   rm_error *err);
/* Lets go of what is queued. */
void rmi_edge_free(rmi_edge *edge, rmi_pool *pool);

/* Twice the capacity, at most capacity_max. RM_ELIMIT: it is there already. */
RM_MUST_USE rm_status rmi_edge_grow(rmi_edge *edge);

/* So many slots at least; capacity and bounds stay. */
RM_MUST_USE rm_status rmi_edge_reserve(rmi_edge *edge, uint32_t slots);

/* Lets go of what is queued; returns how many. */
uint32_t rmi_edge_clear(rmi_edge *edge, rmi_pool *pool);
/* The same, but they are only put aside, which looks at none of them; where there is no memory for
 * that they are let go at once. */
uint32_t rmi_edge_shed(rmi_edge *edge, rmi_shed **shed, rmi_pool *pool);

static inline uint32_t rmi_edge_length(const rmi_edge *edge)
{
    return edge->tail - edge->head;
}

/* The packet that is about to be queued is one to measure. The gaps between these differ, for
 * packets come in bursts: each 16th could always be a first one. */
static inline bool rmi_edge_wants_stamp(rmi_edge *edge)
{
    edge->queued++;
    if (RMI_LIKELY(edge->until_stamp != 0)) {
        edge->until_stamp--;
        return false;
    }
    if (edge->stamped) {
        return false; /* the next one, once that is through */
    }
    uint32_t most = edge->queued < 31 ? (uint32_t)edge->queued : 31; /* a short run has some, too */
    edge->until_stamp = ((uint32_t)edge->queued * 2654435761u >> 8) % (most + 1);
    return true;
}

/* For all reasons. Thread: any. */
static inline uint64_t rmi_edge_drops(const rmi_edge *edge)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < RMI_DROP_REASONS; i++) {
        sum += __atomic_load_n(&edge->drops[i].count, __ATOMIC_RELAXED);
    }
    return sum;
}

/* Local edges only; see rmi_link_has_room(). */
static inline bool rmi_edge_is_full(const rmi_edge *edge)
{
    return rmi_edge_length(edge) >= edge->capacity ||
           rmi_load_reaches(&edge->load, &edge->load_max);
}

/* A packet was queued, or (-1) has left. */
static inline void rmi_edge_weigh(rmi_edge *edge, const rm_packet *packet, int sign)
{
    if (RMI_UNLIKELY(rmi_load_is_bound(&edge->load_max))) {
        rmi_load load = rmi_load_of(packet);
        for (int i = 0; i < RMI_MEASURES; i++) {
            edge->load.of[i] += (uint64_t)sign * load.of[i];
        }
    }
}

#endif
