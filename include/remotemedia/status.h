/* status.h — what a function answers.
 *
 * Zero and above: it went well. Below zero: it failed, and the rm_error beside it (when one was
 * given) says what, where, and what would help. The values 0 to 4 and -1 to -6 are also what a
 * WASM guest returns, so they never change.
 */
#ifndef REMOTEMEDIA_STATUS_H
#define REMOTEMEDIA_STATUS_H

#include "macros.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rm_status {
    RM_OK = 0,          /* done; a node consumed its input */
    RM_MORE = 1,        /* call again before the next input */
    RM_PENDING = 2,     /* the work is out; rm_node_complete() ends it */
    RM_DONE = 3,        /* the end: no more input wanted, or no more output */
    RM_EAGAIN = 4,      /* nothing was done, try later: backpressure, not an error */
    RM_EINVAL = -1,     /* an argument, a value or a document is not acceptable */
    RM_ENOMEM = -2,     /* out of memory, or over a memory bound */
    RM_EFAIL = -3,      /* the operation failed */
    RM_ETRANSIENT = -4, /* it failed, and may go well if tried again */
    RM_ELIMIT = -5,     /* over a declared limit */
    RM_ECANCELED = -6,
    RM_EDEADLOCK = -7,    /* the graph cannot move: see the message for edge and input */
    RM_ENOENT = -8,       /* no such file, node, node type, port or module */
    RM_EIO = -9,          /* the operating system could not read or write */
    RM_EABI = -10,        /* a module was built for another version */
    RM_EUNSUPPORTED = -11 /* known, and not available in this build or on this machine */
} rm_status;

/* The name of a status, "RM_EINVAL" for one; "RM_UNKNOWN" for a value that is none. Static text.
 * Thread: any. */
RM_API const char *rm_status_name(rm_status status);

#ifdef __cplusplus
}
#endif
#endif
