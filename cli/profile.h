/* profile.h — what a run's numbers say about where its time went.
 *
 *     metrics of a run ──cli_profile_report()──▶ report (JSON) ──▶ cli_profile_print(),
 * cli_flame_write()
 *
 * A *lane* is what works on one thing at a time: a strand, or a node whose work is done elsewhere
 * (a coroutine, another thread). The mean number of packets in a queue is the sum of their waits
 * over the time of the run (Little's law); `fill` is its part of the room.
 *
 * Threads: any, one at a time.
 */
#ifndef CLI_PROFILE_H
#define CLI_PROFILE_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>
#include <remotemedia/error.h>

/* `run`: elapsed_ns, nodes, edges and memory as rm_session_metrics() has them; and, where known,
 * pipeline, media_ns, cpu_ns (of the process), and of a node `cheaper`, the parameter that trades
 * quality for time. Returns a new object, or NULL without memory:
 *
 *   elapsed_ns, cpu_ns, media_ns, speed
 *   lanes      the busiest first: name, busy (0 to 1), work_ns, nodes
 *   nodes      the one that works most first: id, type, strand, lane, items, work_ns, work (of the
 *              run's time), share (of the nodes' time), item_ns, wait_ns (mean), fill
 *   queues     from, to, state ("full", "busy", "empty", "direct"), mean, fill, capacity, drops
 *   critical_path  the ids of the chain from a source to a sink with the most work and the fullest
 *              queues
 *   findings   rule, text, and node, from and to, or lane */
json_t *cli_profile_report(const json_t *run);

/* The nodes' working time as an SVG: lanes, in them their nodes, above each its type or class. */
RM_MUST_USE rm_status cli_flame_write(const char *file, const json_t *report, rm_error *err);

void cli_profile_print(FILE *out, bool color, const json_t *report);

#endif
