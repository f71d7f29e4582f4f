/* remote_place.h — a place for tests: another machine that is a second session of this process.
 *
 *   this session                             simulated link               the other session
 *   node that stands for it ──▶ bytes: header 128 | metadata | payload ──▶ rm.input ─▶ node
 *                           ◀── bytes ◀────────────────────────────────── rm.output ◀─┘
 *
 * Nothing but bytes crosses, over links (sim_link.h) of a few frames each way, so that backpressure
 * goes through. They may be slow and get lost, and the machine may die. On the public headers
 * alone: to a host it is a row of its registry.
 *
 * Ownership: the place and both registries outlive the plans. Threads: that of the registry; the
 * counters from any.
 */
#ifndef TESTS_REMOTE_PLACE_H
#define TESTS_REMOTE_PLACE_H

#include <stdatomic.h>
#include <stdbool.h>

#include <remotemedia/remotemedia.h>

#include "sim_link.h"

typedef struct remote_place {
    rm_place_type row;          /* what a registry gets */
    rm_registry *registry;      /* the node types of the other machine */
    const char *machine;        /* its capabilities */
    atomic_bool is_closed;      /* it refuses nodes as they are opened */
    atomic_uint opened;         /* sessions there so far */
    atomic_uint sent, received; /* frames */
    atomic_uint links;          /* made so far */
    sim_link_options link;      /* of the links; capacity 0: four frames */
    uint32_t dies_after;        /* of the frames that were sent there; 0: it does not */
} remote_place;

void remote_place_init(remote_place *place, rm_registry *registry, const char *machine);

#endif
