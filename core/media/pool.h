/* pool.h — packets and their payloads, reused, bounded in bytes.
 *
 *     owner strand                                   any other thread
 *     rmi_pool_take() ◀── free lists, one a size      rm_packet_unref()
 *     rmi_pool_give() ──▶ class ◀── drained when ◀──── returned: a lock-free stack
 *                                   a list runs dry
 *
 * A block is one allocation: the packet (192 bytes) and its payload. Blocks come from the system
 * when a free list is empty, are charged to the budget that all pools of a session share, and are
 * touched whole when they come, so that no page fault meets the data path later.
 *
 * A budget's last quarter is a reserve: a taker may fill the budget to its share only, which is the
 * larger the further downstream it is, so that what is queued leaves room for the nodes that will
 * empty the queues. Blocks of the reserve are not kept for reuse.
 *
 * Ownership: packets may outlive their pool: rmi_pool_free() closes it, and the last packet that
 * returns releases what is left.
 * Threads: take and give by the owner strand; take_shared and rm_packet_unref() by any thread.
 */
#ifndef RMI_MEDIA_POOL_H
#define RMI_MEDIA_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <remotemedia/packet.h>

#include "base/cleanup.h"

/* Four classes an octave: at most a quarter of a block is unused. Class 0 has no payload. */
enum { RMI_POOL_CLASSES = 1 + 4 * 27 };

/* Bytes that the pools of one session may hold. Reference counted; threads: any. */
typedef struct rmi_budget rmi_budget;

/* bytes_max: 64 KiB to 1 TiB. */
RM_MUST_USE rm_status rmi_budget_new(uint64_t bytes_max, rmi_budget **ret_budget, rm_error *err);
rmi_budget *rmi_budget_ref(rmi_budget *budget);
void rmi_budget_free(rmi_budget *budget); /* drops one reference; NULL is fine */
uint64_t rmi_budget_bytes(const rmi_budget *budget);
uint64_t rmi_budget_bytes_peak(const rmi_budget *budget);
uint64_t rmi_budget_bytes_max(const rmi_budget *budget);
/* Takers have ranks from 0 (furthest upstream) up; `ranks` of them share the reserve. None: all may
 * take of it. */
void rmi_budget_set_ranks(rmi_budget *budget, uint32_t ranks);

/* The rank of one who may use all that there is. */
#define RMI_RANK_LAST UINT32_MAX

typedef struct rmi_pool {
    rm_packet *free[RMI_POOL_CLASSES]; /* linked by host.next */
    rm_packet *arrived;                /* what was in `returned`, not sorted yet */
    rmi_budget *budget;
    uint64_t taken, given; /* by the owner; their difference is out */
    uint64_t pressure_seen;
    union {
        struct {
            bool wanted;        /* rmi_pool_want() was asked for one call of on_return */
            bool keeps_nothing; /* what comes back goes to the system, until memory is plenty */
        };
        uint16_t on_give; /* either: not the common case */
    };
    void (*on_return)(void *context);
    void *on_return_context;

    /* Touched by other threads. */
    _Alignas(64) _Atomic(rm_packet *) returned; /* a stack, or a mark: see pool.c */
    _Atomic uint64_t shared_taken;
    _Atomic int64_t remaining; /* of a closed pool: packets still out */
    _Atomic uint32_t telling;  /* threads inside on_return */
} rmi_pool;

RM_MUST_USE rm_status rmi_pool_new(rmi_budget *budget, rmi_pool **ret_pool, rm_error *err);
/* Owner strand, after its last step. Gives the pool's own reference to the budget back. */
void rmi_pool_free(rmi_pool *pool);

/* on_return runs once, on whatever thread brings the next packet back after rmi_pool_want(); it
 * must not block. Set it before the pool is shared. */
void rmi_pool_set_on_return(rmi_pool *pool, void (*on_return)(void *context), void *context);
/* Asks for one call of on_return. True: packets have come back meanwhile, try again at once
 * (nothing was asked for). Owner strand. */
bool rmi_pool_want(rmi_pool *pool);

/* Packets out: taken and not yet given back, as the owner knows. Owner strand. */
uint64_t rmi_pool_out(const rmi_pool *pool);
/* Gives what is free back to the system; returns how many bytes. Owner strand. */
uint64_t rmi_pool_shrink(rmi_pool *pool);
/* Shrinks, and keeps nothing more for reuse while the budget is more than half full: each block is
 * then asked for anew, and whoever is further downstream gets it first. Owner strand. */
void rmi_pool_keep_nothing(rmi_pool *pool);

/* What the packet takes of this budget; 0: it is of another one. */
uint64_t rmi_packet_charge(const rm_packet *packet, const rmi_budget *budget);

/* A packet with a cleared header (version, units, pts_ns RM_TIME_NONE, payload_bytes set) and one
 * reference. RM_EAGAIN: a new block would fill the budget beyond what the rank may;
 * RM_ENOMEM: it never fits, or the system has none. Owner strand. */
RM_MUST_USE rm_status rmi_pool_take(rmi_pool *pool, uint64_t payload_bytes, uint32_t rank,
                                    rm_packet **ret_packet);
/* The same from any thread; slower. */
RM_MUST_USE rm_status rmi_pool_take_shared(rmi_pool *pool, uint64_t payload_bytes, uint32_t rank,
                                           rm_packet **ret_packet);
/* Turns a packet without payload into one around foreign memory or an object. */
void rmi_packet_set_foreign(rm_packet *packet, void *payload, uint64_t payload_bytes,
                            void (*release)(void *owner), void *owner);

/* Internal to rmi_pool_give(): what is not the common case. */
void rmi_pool_recycle(rmi_pool *pool, rm_packet *packet);

/* Drops one reference; the last one puts the packet back. The owner strand's quick form of
 * rm_packet_unref(), for packets of any pool. */
static inline void rmi_pool_give(rmi_pool *pool, rm_packet *packet)
{
    /* A sole reference needs no atomic write: nobody else can raise it. */
    if (__atomic_load_n(&packet->host.refs, __ATOMIC_ACQUIRE) != 1 &&
        __atomic_fetch_sub(&packet->host.refs, 1, __ATOMIC_ACQ_REL) != 1) {
        return;
    }
    if (RMI_UNLIKELY(packet->host.pool != pool || packet->host.release || packet->metadata ||
                     pool->on_give || packet->host.size_class >= RMI_POOL_CLASSES)) {
        rmi_pool_recycle(pool, packet);
        return;
    }
    packet->host.next = pool->free[packet->host.size_class];
    pool->free[packet->host.size_class] = packet;
    pool->given++;
}

RMI_DEFINE_AUTO(rmi_budget)
RMI_DEFINE_AUTO(rmi_pool)

#endif
