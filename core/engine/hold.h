/* hold.h — nodes that begin no item, so that work that is out comes back and none follows it.
 *
 *     rmi_hold_begin() ─▶ each node goes on to the end of its item, and stays there
 *                         (one whose input is full takes from it, if who feeds it is on hold, too:
 *                         that one may be within an item and need room)
 *     rmi_hold_end()   ─▶ all go on
 *
 * Strands learn of it by their mailboxes. Nothing of it is on the way of a call while nothing is on
 * hold.
 *
 * Threads: any, but for rmi_hold_keeps(), the strand's.
 */
#ifndef RMI_ENGINE_HOLD_H
#define RMI_ENGINE_HOLD_H

#include "engine/session.h"

/* wanted: which nodes; NULL: all of the session. It is called on threads of strands, not always the
 * node's, under the session's lock, and the last time before rmi_hold_end() returns. One hold for a
 * purpose. */
void rmi_hold_begin(rm_session *session, rmi_hold_for purpose, rmi_hold_wanted wanted,
                    const void *context);
/* Each node that is on hold may begin one item: nothing moves any more, and one is within its own.
 */
void rmi_hold_pass(rm_session *session);
void rmi_hold_end(rm_session *session, rmi_hold_for purpose);

/* The node, on hold and about to be run, stays where it is. */
bool rmi_hold_keeps(rmi_node *node);

#endif
