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

enum { FETCHED_AHEAD = 8 };

uint32_t rmi_edge_shed(rmi_edge *edge, rm_packet **list)
{
    uint32_t count = rmi_edge_length(edge);
    while (rmi_edge_length(edge)) {
        if (rmi_edge_length(edge) > FETCHED_AHEAD) { /* no cache has them */
            __builtin_prefetch(&edge->ring[(edge->head + FETCHED_AHEAD) & edge->mask]->host, 1);
        }
        rmi_pool_put_off(edge->ring[edge->head++ & edge->mask], list);
    }
    edge->load = (rmi_load){0};
    return count;
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
