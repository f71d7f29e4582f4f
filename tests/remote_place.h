/* remote_place.h — a place for tests: another machine that is a second session of this process.
 *
 *   this session                             simulated link               the other session
 *   node that stands for it ──▶ bytes: header 128 | metadata | payload ──▶ rm.input ─▶ node
 *                           ◀── bytes ◀────────────────────────────────── rm.output ◀─┘
 *
 * Nothing but bytes crosses, up to LINK_FRAMES_MAX frames each way, so that backpressure goes
 * through. On the public headers alone: to a host it is a row of its registry.
 *
 * Ownership: the place and both registries outlive the plans. Threads: that of the registry; the
 * counters from any.
 */
#ifndef TESTS_REMOTE_PLACE_H
#define TESTS_REMOTE_PLACE_H

#include <stdatomic.h>
#include <stdbool.h>

#include <remotemedia/remotemedia.h>

typedef struct remote_place {
    rm_place_type row;          /* what a registry gets */
    rm_registry *registry;      /* the node types of the other machine */
    const char *machine;        /* its capabilities */
    atomic_bool is_closed;      /* it refuses nodes as they are opened */
    atomic_uint opened;         /* sessions there so far */
    atomic_uint sent, received; /* frames */
} remote_place;

void remote_place_init(remote_place *place, rm_registry *registry, const char *machine);

#endif
