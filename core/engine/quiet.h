/* quiet.h — a session in which nothing can move any more is found, and cured or ended.
 *
 *     a strand has nothing to do ─▶ rmi_strand_rest() ─▶ sleeps … ─▶ rmi_strand_rise() ─▶ steps
 *                                        │
 *                  the last of all strands to rest tells the home strand, which looks:
 *                    is anything out, or does anything come by itself?        it goes on waiting
 *                    a node waits for memory that caches hold                 they give it back
 *                    a node waits for memory that queues hold                 E0407
 *                    an edge is full, its consumer waits for another input    it grows, or E0403
 *
 * A strand that rests touches nothing of its own until it has risen, which takes the session's
 * lock. So who holds the lock while all of them rest may look at, and change, all of the session.
 * Only the home strand does: its owner may use its pool without a lock meanwhile.
 *
 * Threads: each function by the strand's thread, but as said.
 */
#ifndef RMI_ENGINE_QUIET_H
#define RMI_ENGINE_QUIET_H

#include "engine/session.h"

/* After rmi_parking_prepare(), where there is no work, or the strand has finished. True: there is
 * work now, do not sleep. */
bool rmi_strand_rest(rmi_strand *strand);

/* Before it touches anything again. */
void rmi_strand_rise(rmi_strand *strand);

/* A node of the strand waits for memory: other strands give back what they keep in reserve. */
void rmi_strand_ask_for_memory(rmi_strand *strand);

/* The session's owner waits for memory: RM_EAGAIN; RM_EDEADLOCK where it was found that none will
 * come. Thread: any. */
rm_status rmi_owner_asks_for_memory(rm_session *session);

#endif
