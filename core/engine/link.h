/* link.h — an edge between two strands of one process: a ring with one producer and one consumer.
 *
 *     strand A                                          strand B
 *     sending edge ── slots[tail] ──▶ [ | |x|x|x] ──▶ slots[head] ── receiving edge
 *                  ◀───────── credits: capacity - (tail - head) ────────
 *
 * Neither side takes a lock or calls the system while the other one runs. A side that has nothing
 * to do parks (parking.h); who changes the ring then wakes it, once a burst: rmi_strand_kick(). The
 * consumer tells of room each quarter of the ring and before it sleeps, not for each packet.
 *
 * Where packets come within microseconds of each other the link is hot: a fence for each would take
 * longer than all else that is done for it, so the producer does without
 * (rmi_parking_wake_light()), and the consumer makes up for that before it sleeps. Where packets
 * come milliseconds apart, and each finds the consumer asleep, that would be the dearer way.
 *
 * Over a link whose policy drops the producer never waits: it puts the new packet into the ring,
 * then takes the oldest out of it, so that `head` is moved by both sides, by compare-and-swap. It
 * has a slot more than its capacity, and is never empty meanwhile.
 *
 * Each slot carries the epoch of the sending edge, so that packets which were on their way when an
 * interrupt came die on arrival.
 *
 * Ownership: the link belongs to the session; packets in the ring to the link.
 * Threads: push, has_room, end by the producer's strand; poll, pop, close by the consumer's.
 */
#ifndef RMI_ENGINE_LINK_H
#define RMI_ENGINE_LINK_H

#include <stdatomic.h>

#include <remotemedia/node.h>

#include "engine/clock.h"
#include "engine/edge.h"
#include "engine/message.h"

typedef struct rmi_strand rmi_strand;

enum { RMI_LINK_REQUESTS_MAX = 16 }; /* a power of two */

struct rmi_link {
    rm_packet **ring;
    uint32_t *epoch; /* beside each slot */
    uint32_t mask, capacity;
    uint32_t quarter_mask; /* the consumer tells of room when head has none of these bits */
    bool drops;            /* its policy does */
    bool weighs;           /* load_max bounds something */
    rmi_load load_max;
    rmi_strand *producer, *consumer;
    rmi_edge *sending, *receiving;
    rmi_link *next_retired; /* in the session's list of those that went */

    /* An interrupt on its way to the consumer. */
    rmi_message epoch_message;
    _Atomic bool epoch_posted;
    _Atomic uint32_t epoch_wanted;

    /* What the consumer asked for, on its way to the producer: a ring as that of the packets. */
    rmi_message request_message;
    _Atomic bool request_posted;
    _Atomic uint32_t request_head, request_tail;
    rm_control request[RMI_LINK_REQUESTS_MAX];

    /* Looked at by either side for each packet and hardly ever written, so apart from what is
     * written for each packet. */
    _Alignas(64) _Atomic bool producer_waits; /* for room */
    _Atomic bool closed;                      /* by the consumer */

    /* Written by the producer. */
    _Alignas(64) _Atomic uint32_t tail;
    _Atomic bool ended;
    uint32_t head_seen;
    rmi_load sent;        /* kept where it weighs; less what it took back */
    uint64_t stamp_ticks; /* as of an edge; the consumer takes it over and clears `stamped` */
    uint32_t stamp_at;
    _Atomic bool stamped;
    uint32_t tail_told; /* what the consumer was last woken for: who looks at nothing new wakes … */
    bool end_told;
    uint32_t tells; /* how often that was; each 16th time the clock is looked at */
    uint64_t looked_ticks;
    _Atomic bool is_hot; /* it is woken in the light way (parking.h) */

    /* Written by the consumer. */
    _Alignas(64) _Atomic uint32_t head;
    _Atomic uint64_t taken[RMI_MEASURES];
    uint32_t head_told; /* … nobody, or two strands could keep each other awake */
    bool close_told;
};

/* Makes the link and both of its edges, which the caller owns and connects to their nodes. */
RM_MUST_USE rm_status rmi_link_new(uint32_t capacity, rmi_policy policy, rmi_link **ret_link,
                                   rm_error *err);
/* Both strands have stopped. Lets go of what is in the ring. */
void rmi_link_free(rmi_link *link);

/* Twice the room, at most the sending edge's capacity_max. RM_ELIMIT: it is there already. Both
 * strands rest, and the caller holds the session's lock. */
RM_MUST_USE rm_status rmi_link_grow(rmi_link *link);

/* So many slots at least, as rmi_link_grow() otherwise; the room stays. */
RM_MUST_USE rm_status rmi_link_reserve(rmi_link *link, uint32_t slots);

/* Runs on the consumer's strand. */
void rmi_link_receive_epoch(rmi_strand *strand, rmi_message *message);

/* Consumer: asks the node that feeds the link. RM_ELIMIT: so many requests are on their way. */
RM_MUST_USE rm_status rmi_link_request(rmi_link *link, const rm_control *control);
/* Runs on the producer's strand. */
void rmi_link_receive_requests(rmi_strand *strand, rmi_message *message);

/* Producer: a packet was queued, or (-1) taken back. */
void rmi_link_weigh(rmi_link *link, const rm_packet *packet, int sign);
/* Consumer: a packet has left. */
void rmi_link_weigh_taken(rmi_link *link, const rm_packet *packet);

/* Full by any of its bounds. Thread: the producer, or who sees both sides rest. */
bool rmi_link_is_full(const rmi_link *link);

/* As rmi_link_has_room(), where that is not told from what is at hand. */
bool rmi_link_look_for_room(rmi_link *link);

/* Producer: room for one more packet. Where there is none it asks to be woken. */
static inline bool rmi_link_has_room(rmi_link *link)
{
    uint32_t tail = atomic_load_explicit(&link->tail, memory_order_relaxed);
    return RMI_LIKELY(tail - link->head_seen < link->capacity && !link->weighs) ||
           rmi_link_look_for_room(link);
}

/* As rmi_link_push(), over a link that drops: never full. */
void rmi_link_push_dropping(rmi_link *link, rm_packet *packet);

/* Producer, before a push: the packet that comes next may be one to measure. */
static inline void rmi_link_stamp(rmi_link *link)
{
    if (rmi_edge_wants_stamp(link->sending) &&
        !atomic_load_explicit(&link->stamped, memory_order_acquire)) {
        link->stamp_at = atomic_load_explicit(&link->tail, memory_order_relaxed);
        link->stamp_ticks = rmi_clock_ticks();
        atomic_store_explicit(&link->stamped, true, memory_order_release);
    }
}

/* Producer, once there is room. Takes the packet. */
static inline void rmi_link_push(rmi_link *link, rm_packet *packet)
{
    if (RMI_UNLIKELY(link->weighs)) {
        rmi_link_weigh(link, packet, 1);
    }
    uint32_t tail = atomic_load_explicit(&link->tail, memory_order_relaxed);
    link->ring[tail & link->mask] = packet;
    link->epoch[tail & link->mask] = link->sending->epoch;
    atomic_store_explicit(&link->tail, tail + 1, memory_order_release);
}

/* Consumer: learns what has come. True: the receiving edge has something, or its end. */
static inline bool rmi_link_poll(rmi_link *link)
{
    rmi_edge *edge = link->receiving;
    bool ended = atomic_load_explicit(&link->ended, memory_order_acquire);
    edge->tail = atomic_load_explicit(&link->tail, memory_order_acquire);
    edge->ended = ended;
    if (RMI_UNLIKELY(atomic_load_explicit(&link->stamped, memory_order_acquire)) &&
        !edge->stamped) {
        edge->stamp_at = link->stamp_at;
        edge->stamp_ticks = link->stamp_ticks;
        edge->stamped = true;
        atomic_store_explicit(&link->stamped, false, memory_order_release);
    }
    return edge->tail != edge->head || ended;
}

/* Consumer: after edge->head went on by this packet. */
static inline void rmi_link_publish_head(rmi_link *link, const rm_packet *packet)
{
    if (RMI_UNLIKELY(link->weighs)) {
        rmi_link_weigh_taken(link, packet);
    }
    atomic_store_explicit(&link->head, link->receiving->head, memory_order_release);
}

/* Consumer of a link that drops: the oldest packet and its epoch, and edge->head after it. NULL:
 * the ring is empty, or, with stale_only, its front is of the edge's epoch. */
rm_packet *rmi_link_pop_dropping(rmi_link *link, bool stale_only, uint32_t *ret_epoch);

#endif
