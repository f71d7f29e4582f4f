/* checkpoint.h — when checkpoints of a session are made, and where it goes on from.
 *
 *     thread of its own, each interval, or rm_session_checkpoint()
 *        ─▶ every strand stops at its mailbox, between two calls     (the home strand last)
 *           where a node is within an item: hold.h, and again
 *        ─▶ rmi_snapshot_take() ─▶ all go on ─▶ rmi_checkpoint_write()
 *
 * No strand runs while the copy is made, so no barrier on links is needed: what is in their rings
 * is saved with the rest.
 *
 * Ownership: the session owns its rmi_checkpoints. Threads: as said at each function.
 */
#ifndef RMI_ENGINE_CHECKPOINT_H
#define RMI_ENGINE_CHECKPOINT_H

#include "engine/checkpoint_file.h"
#include "engine/session.h"

/* By options and manifest; leaves session->checkpoints NULL where they say nothing. Reads the
 * newest one of the folder. E0409, E0410. */
RM_MUST_USE rm_status rmi_checkpoints_new(rm_session *session, rm_error *err);
/* Before it starts: has it go on from the bytes of a file, and keep none. They are taken on
 * success, and are checked as it starts. */
RM_MUST_USE rm_status rmi_checkpoints_give(rm_session *session, rmi_bytes *file, rm_error *err);
void rmi_checkpoints_free(rmi_checkpoints *checkpoints);

/* As the session starts: before the nodes are opened, once they are, and at the end. */
RM_MUST_USE rm_status rmi_checkpoints_prepare(rm_session *session, rm_error *err);
RM_MUST_USE rm_status rmi_checkpoints_apply(rm_session *session, rm_error *err);
RM_MUST_USE rm_status rmi_checkpoints_start(rm_session *session, rm_error *err);

/* Home strand, as the session ends: no more are made; a run that has ended well needs none. */
void rmi_checkpoints_stop(rm_session *session);
void rmi_checkpoints_end(rm_session *session, rm_status result);

#endif
