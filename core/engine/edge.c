#include "engine/edge.h"

#include "base/alloc.h"
#include "graph/route.h"

rm_status rmi_edge_new(uint32_t capacity, uint32_t capacity_max, rmi_edge **ret_edge, rm_error *err)
{
    if (capacity < 1 || capacity > RMI_EDGE_CAPACITY_MAX) {
        return rm_fail(err, RM_EINVAL, "edge capacity is %u packets, want 1 to %d", capacity,
                       RMI_EDGE_CAPACITY_MAX);
    }
    rmi_edge *edge = rmi_aligned_calloc(64, sizeof *edge);
    uint32_t slots = 1;
    while (slots < capacity) {
        slots *= 2;
    }
    rm_packet **ring = rmi_calloc(slots, sizeof(rm_packet *));
    if (!edge || !ring) {
        rmi_free(edge);
        rmi_free(ring);
        return rm_fail(err, RM_ENOMEM, "no memory for an edge of %u packets", capacity);
    }
    edge->ring = ring;
    edge->mask = slots - 1;
    edge->capacity = capacity;
    edge->capacity_max = capacity_max > capacity ? capacity_max : capacity;
    *ret_edge = edge;
    return RM_OK;
}

void rmi_edge_free(rmi_edge *edge, rmi_pool *pool)
{
    if (!edge) {
        return;
    }
    rmi_route_free(edge->route);
    if (!edge->link) { /* a link owns its ring */
        rmi_edge_clear(edge, pool);
        rmi_free(edge->ring);
    }
    rmi_free(edge);
}

rm_status rmi_edge_reserve(rmi_edge *edge, uint32_t least)
{
    uint32_t slots = edge->mask + 1;
    while (slots < least) {
        slots *= 2;
    }
    rm_packet **ring = rmi_calloc(slots, sizeof(rm_packet *));
    if (!ring) {
        return RM_ENOMEM;
    }
    uint32_t length = rmi_edge_length(edge);
    for (uint32_t i = 0; i < length; i++) {
        ring[i] = edge->ring[(edge->head + i) & edge->mask];
    }
    rmi_free(edge->ring);
    edge->stamp_at -= edge->head;
    edge->measured_until -= edge->head;
    edge->base += edge->head;
    edge->ring = ring;
    edge->mask = slots - 1;
    edge->head = 0;
    edge->tail = length;
    return RM_OK;
}

rm_status rmi_edge_grow(rmi_edge *edge)
{
    if (edge->link || edge->capacity >= edge->capacity_max) {
        return RM_ELIMIT;
    }
    uint32_t capacity = edge->capacity * 2;
    capacity = capacity < edge->capacity_max ? capacity : edge->capacity_max;
    if (rmi_edge_reserve(edge, capacity) != RM_OK) {
        return RM_ENOMEM;
    }
    edge->capacity = capacity;
    edge->grown++;
    return RM_OK;
}

uint32_t rmi_edge_clear(rmi_edge *edge, rmi_pool *pool)
{
    uint32_t count = rmi_edge_length(edge);
    while (rmi_edge_length(edge)) {
        rmi_pool_give(pool, edge->ring[edge->head++ & edge->mask]);
    }
    edge->load = (rmi_load){0};
    return count;
}

static rm_packet *take_front(rmi_edge *edge)
{
    return edge->ring[edge->head++ & edge->mask];
}

uint32_t rmi_edge_shed(rmi_edge *edge, rmi_shed **shed, rmi_pool *pool)
{
    uint32_t count = rmi_edge_length(edge);
    while (rmi_edge_length(edge)) {
        if (!*shed || (*shed)->count == RMI_SHED_PART) {
            rmi_shed *more = rmi_realloc(NULL, sizeof *more);
            if (!more) {
                rmi_pool_give(pool, take_front(edge));
                continue;
            }
            more->next = *shed;
            more->count = 0;
            *shed = more;
        }
        (*shed)->packets[(*shed)->count++] = take_front(edge);
    }
    edge->load = (rmi_load){0};
    return count;
}

enum { FETCHED_AHEAD = 8 };

static void let_go(const rmi_shed *shed, rmi_pool *pool)
{
    for (uint32_t i = 0; i < shed->count; i++) {
        if (i + FETCHED_AHEAD < shed->count) { /* no cache has them */
            __builtin_prefetch(&shed->packets[i + FETCHED_AHEAD]->host, 1);
        }
        rmi_pool_give(pool, shed->packets[i]);
    }
}

void rmi_shed_let_go(rmi_shed **shed, rmi_pool *pool)
{
    rmi_shed *next = *shed;
    *shed = NULL; /* a packet's owner may interrupt again */
    while (next) {
        rmi_shed *part = next;
        next = part->next;
        let_go(part, pool);
        rmi_free(part);
    }
}
