/* harness.h — tests one node as a black box, with a clock that the test moves.
 *
 *     rm_harness_push() ─▶ [ the node, on a real strand ] ─▶ rm_harness_pull()
 *
 * Each input and output port of the node is open to the test. Nothing runs but in
 * rm_harness_run(); no threads, no real time.
 *
 * Ownership: packets pulled belong to the caller. Threads: one thread.
 */
#ifndef REMOTEMEDIA_HARNESS_H
#define REMOTEMEDIA_HARNESS_H

#include "session.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rm_harness rm_harness;

/* Opens one node of this type with these parameters (a JSON object; NULL: {}). */
RM_API RM_MUST_USE rm_status rm_harness_new(const rm_node_type *type, const char *params_json,
                                            rm_harness **ret_harness, rm_error *err);
/* As rm_harness_new(), finding the type by name in the module path. */
RM_API RM_MUST_USE rm_status rm_harness_load(const char *node_type, const char *params_json,
                                             rm_harness **ret_harness, rm_error *err);
RM_API void rm_harness_free(rm_harness *harness);

/* A packet to push, as rm_packet_new(). */
RM_API RM_MUST_USE rm_status rm_harness_packet_new(rm_harness *harness, uint64_t payload_bytes,
                                                   rm_packet **ret_packet);
/* An audio packet with header filled and samples copied (interleaved; bytes = frames × channels ×
 * sample size; NULL: left as they are). format: its member audio; rate_hz also gives the duration.
 */
RM_API RM_MUST_USE rm_status rm_harness_audio_new(rm_harness *harness, const rm_format_line *format,
                                                  uint32_t frames, const void *samples,
                                                  int64_t pts_ns, rm_packet **ret_packet);

/* Takes the packet. RM_EAGAIN: the port's edge is full, the packet stays the caller's. */
RM_API RM_MUST_USE rm_status rm_harness_push(rm_harness *harness, uint32_t input,
                                             rm_packet *packet);
RM_API void rm_harness_end(rm_harness *harness, uint32_t input);

/* Runs until nothing can move at this time. RM_PENDING: waits for input, room, a timer or work that
 * is out. RM_DONE: the node has ended. Below 0: the error. */
RM_API rm_status rm_harness_run(rm_harness *harness, rm_error *err);
/* As rm_harness_run(), calling the node at most `calls` times. */
RM_API rm_status rm_harness_step(rm_harness *harness, uint32_t calls, rm_error *err);
RM_API void rm_harness_advance(rm_harness *harness, int64_t by_ns);

/* RM_EAGAIN: nothing there. RM_DONE: ended. */
RM_API RM_MUST_USE rm_status rm_harness_pull(rm_harness *harness, uint32_t output,
                                             rm_packet **ret_packet);

/* The session under it, for interrupt, swap, metrics. */
RM_API rm_session *rm_harness_session(rm_harness *harness);

#ifdef __cplusplus
}
#endif
#endif
