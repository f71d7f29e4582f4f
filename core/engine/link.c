#include "engine/link.h"

#include "base/alloc.h"
#include "engine/events.h"
#include "engine/parking.h"
#include "engine/record.h"

static uint32_t quarter_mask(uint32_t capacity, uint32_t mask)
{
    return capacity < 4 ? 0 : (mask + 1) / 4 - 1;
}

rm_status rmi_link_new(uint32_t capacity, rmi_policy policy, rmi_link **ret_link, rm_error *err)
{
    rmi_edge *sending = NULL, *receiving = NULL;
    rmi_parking_find_light();
    bool drops = policy != RMI_POLICY_BLOCK;
    uint32_t slots = capacity + (drops && capacity < RMI_EDGE_CAPACITY_MAX);
    rmi_link *link = rmi_aligned_calloc(64, sizeof *link);
    if (!link || rmi_edge_new(slots, slots, &sending, err) != RM_OK ||
        rmi_edge_new(slots, slots, &receiving, err) != RM_OK ||
        !(link->epoch = rmi_calloc(sending->mask + 1, sizeof(uint32_t)))) {
        if (sending) {
            rmi_edge_free(sending, NULL);
        }
        if (receiving) {
            rmi_edge_free(receiving, NULL);
        }
        rmi_free(link);
        return rm_fail(err, RM_ENOMEM, "no memory for a link of %u packets", capacity);
    }
    rmi_free(receiving->ring);
    link->ring = receiving->ring = sending->ring;
    link->mask = sending->mask;
    link->capacity = sending->capacity = receiving->capacity = drops ? slots - 1 : slots;
    link->drops = drops;
    sending->policy = receiving->policy = (uint8_t)policy;
    link->quarter_mask = quarter_mask(capacity, sending->mask);
    link->epoch_message.run = rmi_link_receive_epoch;
    link->request_message.run = rmi_link_receive_requests;
    link->sending = sending;
    link->receiving = receiving;
    sending->link = receiving->link = link;
    *ret_link = link;
    return RM_OK;
}

void rmi_link_free(rmi_link *link)
{
    if (!link) {
        return;
    }
    uint32_t tail = atomic_load(&link->tail);
    for (uint32_t head = atomic_load(&link->head); head != tail; head++) {
        rm_packet_unref(link->ring[head & link->mask]);
    }
    rmi_free(link->ring);
    rmi_free(link->epoch);
    rmi_free(link);
}

rm_status rmi_link_reserve(rmi_link *link, uint32_t least)
{
    rmi_edge *sending = link->sending, *receiving = link->receiving;
    uint32_t slots = link->mask + 1;
    while (slots < least) {
        slots *= 2;
    }
    rm_packet **ring = rmi_calloc(slots, sizeof(rm_packet *));
    uint32_t *epoch = rmi_calloc(slots, sizeof(uint32_t));
    if (!ring || !epoch) {
        rmi_free(ring);
        rmi_free(epoch);
        return RM_ENOMEM;
    }
    uint32_t tail = atomic_load(&link->tail);
    for (uint32_t i = atomic_load(&link->head); i != tail; i++) {
        ring[i & (slots - 1)] = link->ring[i & link->mask];
        epoch[i & (slots - 1)] = link->epoch[i & link->mask];
    }
    rmi_free(link->ring);
    rmi_free(link->epoch);
    link->ring = sending->ring = receiving->ring = ring;
    link->epoch = epoch;
    link->mask = sending->mask = receiving->mask = slots - 1;
    link->quarter_mask = quarter_mask(link->capacity, link->mask);
    return RM_OK;
}

rm_status rmi_link_grow(rmi_link *link)
{
    rmi_edge *sending = link->sending;
    if (link->capacity >= sending->capacity_max) {
        return RM_ELIMIT;
    }
    uint32_t capacity =
        link->capacity < sending->capacity_max / 2 ? link->capacity * 2 : sending->capacity_max;
    if (rmi_link_reserve(link, capacity) != RM_OK) {
        return RM_ENOMEM;
    }
    link->capacity = sending->capacity = link->receiving->capacity = capacity;
    link->quarter_mask = quarter_mask(capacity, link->mask);
    sending->grown++;
    return RM_OK;
}

rm_status rmi_link_request(rmi_link *link, const rm_control *control)
{
    uint32_t tail = atomic_load_explicit(&link->request_tail, memory_order_relaxed);
    if (tail - atomic_load(&link->request_head) == RMI_LINK_REQUESTS_MAX) {
        return RM_ELIMIT;
    }
    link->request[tail % RMI_LINK_REQUESTS_MAX] = *control;
    atomic_store(&link->request_tail, tail + 1);
    if (!atomic_exchange(&link->request_posted, true)) {
        rmi_strand_post(link->producer, &link->request_message);
    }
    return RM_OK;
}

/* ---- looking for room */

void rmi_link_weigh(rmi_link *link, const rm_packet *packet, int sign)
{
    rmi_load load = rmi_load_of(packet);
    for (int i = 0; i < RMI_MEASURES; i++) {
        link->sent.of[i] += (uint64_t)sign * load.of[i];
    }
}

void rmi_link_weigh_taken(rmi_link *link, const rm_packet *packet)
{
    rmi_load load = rmi_load_of(packet);
    for (int i = 0; i < RMI_MEASURES; i++) {
        atomic_fetch_add(&link->taken[i], load.of[i]);
    }
}

/* What is queued, less this, reaches a bound. */
static bool is_heavy(const rmi_link *link, rmi_load less)
{
    rmi_load load;
    for (int i = 0; i < RMI_MEASURES; i++) {
        load.of[i] = link->sent.of[i] - atomic_load(&link->taken[i]) - less.of[i];
    }
    return rmi_load_reaches(&load, &link->load_max);
}

bool rmi_link_is_full(const rmi_link *link)
{
    uint32_t tail = atomic_load_explicit(&link->tail, memory_order_relaxed);
    return tail - atomic_load(&link->head) >= link->capacity ||
           (link->weighs && is_heavy(link, (rmi_load){0}));
}

bool rmi_link_look_for_room(rmi_link *link)
{
    link->head_seen = atomic_load_explicit(&link->head, memory_order_acquire);
    if (!rmi_link_is_full(link)) {
        return true;
    }
    if (!atomic_load(&link->producer_waits)) {
        atomic_store(&link->producer_waits, true); /* then look once more: see rmi_strand_kick() */
    }
    link->head_seen = atomic_load(&link->head);
    return !rmi_link_is_full(link);
}

/* ---- links that drop. Slots are read by one side while the other may write them, so both do it
 * atomically; who moved `head` owns what was there. */

/* The oldest packet, taken back by the producer. */
static rm_packet *take_back(rmi_link *link)
{
    uint32_t tail = atomic_load_explicit(&link->tail, memory_order_relaxed);
    uint32_t head = atomic_load(&link->head);
    while (head != tail) {
        rm_packet *packet = __atomic_load_n(&link->ring[head & link->mask], __ATOMIC_ACQUIRE);
        if (atomic_compare_exchange_strong(&link->head, &head, head + 1)) {
            return packet;
        }
    }
    return NULL;
}

static void drop(rmi_link *link, rm_packet *packet)
{
    rmi_event_drop(link->producer, link->sending, 1, RMI_DROP_FULL);
    rmi_pool_give(link->producer->pool, packet);
}

/* What was queued before the newest packet is more than may wait beside it. */
static bool holds_too_much(const rmi_link *link, rmi_load newest)
{
    uint32_t older =
        atomic_load_explicit(&link->tail, memory_order_relaxed) - 1 - atomic_load(&link->head);
    if ((int32_t)older <= 0) {
        return false; /* the newest itself may have been taken meanwhile */
    }
    return link->sending->policy == RMI_POLICY_LATEST || older >= link->capacity ||
           (link->weighs && is_heavy(link, newest));
}

void rmi_link_push_dropping(rmi_link *link, rm_packet *packet)
{
    if (link->sending->policy == RMI_POLICY_DROP_NEWEST && rmi_link_is_full(link)) {
        rmi_record_unsent(link->producer->session, link->sending);
        drop(link, packet);
        return;
    }
    uint32_t tail = atomic_load_explicit(&link->tail, memory_order_relaxed);
    rmi_load load = rmi_load_of(packet); /* once it is in the ring it may be gone */
    __atomic_store_n(&link->epoch[tail & link->mask], link->sending->epoch, __ATOMIC_RELAXED);
    __atomic_store_n(&link->ring[tail & link->mask], packet, __ATOMIC_RELEASE);
    if (link->weighs) {
        rmi_link_weigh(link, packet, 1);
    }
    atomic_store_explicit(&link->tail, tail + 1, memory_order_release);
    while (holds_too_much(link, load)) {
        rm_packet *oldest = take_back(link);
        if (!oldest) {
            return;
        }
        if (link->weighs) {
            rmi_link_weigh(link, oldest, -1);
        }
        drop(link, oldest);
    }
}

rm_packet *rmi_link_pop_dropping(rmi_link *link, bool stale_only, uint32_t *ret_epoch)
{
    rmi_edge *edge = link->receiving;
    uint32_t head = atomic_load(&link->head);
    for (;;) {
        edge->head = head;
        if ((int32_t)(edge->tail - head) <= 0) { /* the producer took back all that was seen */
            edge->tail = atomic_load(&link->tail);
        }
        if (edge->tail == head) {
            return NULL;
        }
        uint32_t slot = head & link->mask;
        rm_packet *packet = __atomic_load_n(&link->ring[slot], __ATOMIC_ACQUIRE);
        *ret_epoch = __atomic_load_n(&link->epoch[slot], __ATOMIC_RELAXED);
        if (stale_only && (int32_t)(*ret_epoch - edge->epoch) >= 0) {
            return NULL;
        }
        if (atomic_compare_exchange_strong(&link->head, &head, head + 1)) {
            edge->head = head + 1;
            if (link->weighs) {
                rmi_link_weigh_taken(link, packet);
            }
            return packet;
        }
    }
}
