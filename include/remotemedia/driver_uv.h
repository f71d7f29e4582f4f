/* driver_uv.h — runs a session on a libuv loop, beside whatever else lives there.
 *
 *     uv loop ─▶ one slice of the session ─▶ the loop's other handles ─▶ the next slice …
 *             ◀─ another thread's wake (uv_async_t), the session's next timer (uv_timer_t)
 *
 * In a library of its own, libremotemedia-uv (pkg-config remotemedia-uv), so that libremotemedia
 * needs no libuv. The session is an RM_DRIVER_CALLER one whose owner is the loop's thread: push to
 * it and pull from it there, and learn of output, room and the end by options.on_event.
 *
 * Ownership: the driver owns its session and its handles; the loop and the plan are the caller's
 * and outlive it. Threads: all functions by the loop's thread.
 */
#ifndef REMOTEMEDIA_DRIVER_UV_H
#define REMOTEMEDIA_DRIVER_UV_H

#include "session.h"

#ifdef __cplusplus
extern "C" {
#endif

struct uv_loop_s; /* uv_loop_t of <uv.h> */

typedef struct rm_uv_driver rm_uv_driver;

/* Opens a session as rm_session_open() and has the loop step it. options may be NULL; its driver,
 * wake and wake_context are the driver's own and must be 0. Until the session has ended it keeps
 * the loop alive. After a failure too the loop needs one more turn, to let go of its handles.
 * Thread: loop. */
RM_API RM_MUST_USE rm_status rm_uv_open(const rm_plan *plan, const rm_session_options *options,
                                        struct uv_loop_s *loop, rm_uv_driver **ret_driver,
                                        rm_error *err);

/* The session: for push, pull, end, interrupt, cancel, swap, metrics; never for step or free.
 * Thread: loop. */
RM_API rm_session *rm_uv_session(rm_uv_driver *driver);

/* Ends and frees the session and the driver once the loop comes round: `closed` (may be NULL) is
 * called then, the last thing that happens. May be called from within on_event. NULL is fine.
 * Thread: loop. */
RM_API void rm_uv_close(rm_uv_driver *driver, void (*closed)(void *context), void *context);

#ifdef __cplusplus
}
#endif
#endif
