#include "engine/link.h"

#include "base/alloc.h"

static uint32_t quarter_mask(uint32_t capacity, uint32_t mask)
{
    return capacity < 4 ? 0 : (mask + 1) / 4 - 1;
}

rm_status rmi_link_new(uint32_t capacity, rmi_link **ret_link, rm_error *err)
{
    rmi_edge *sending = NULL, *receiving = NULL;
    rmi_link *link = rmi_aligned_calloc(64, sizeof *link);
    if (!link || rmi_edge_new(capacity, capacity, &sending, err) != RM_OK ||
        rmi_edge_new(capacity, capacity, &receiving, err) != RM_OK ||
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
    link->capacity = capacity;
    link->quarter_mask = quarter_mask(capacity, sending->mask);
    link->epoch_message.run = rmi_link_receive_epoch;
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

rm_status rmi_link_grow(rmi_link *link)
{
    rmi_edge *sending = link->sending, *receiving = link->receiving;
    if (link->capacity >= sending->capacity_max) {
        return RM_ELIMIT;
    }
    uint32_t capacity =
        link->capacity < sending->capacity_max / 2 ? link->capacity * 2 : sending->capacity_max;
    uint32_t slots = link->mask + 1;
    while (slots < capacity) {
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
    link->capacity = sending->capacity = receiving->capacity = capacity;
    link->quarter_mask = quarter_mask(capacity, link->mask);
    sending->grown++;
    return RM_OK;
}
