/* error.h — an error as a value.
 *
 *   deep down    return rm_fail(err, RM_EINVAL, "gain_db is %g, want -96 to +48", gain_db);
 *   with a code  return rm_fail_as(err, RM_CODE_PARAM_RANGE, "gain_db is %g, …", gain_db);
 *   on the way   rm_error_wrap(err, "node '%s'", id);
 *   user sees    node 'gain': gain_db is 60, want -96 to +48
 *
 * Ownership: a plain value, on the caller's stack; nothing to free, copied by assignment.
 * Threads: one thread at a time uses one rm_error.
 */
#ifndef REMOTEMEDIA_ERROR_H
#define REMOTEMEDIA_ERROR_H

#include <stdarg.h>
#include <stdint.h>

#include "error_codes.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RM_ERROR_MESSAGE_MAX = 768,
    RM_ERROR_HELP_MAX = 256,
    RM_ERROR_NODE_MAX = 96,
    RM_ERROR_INPUT_MAX = 160
};

/* Longer text is cut at a UTF-8 boundary. All texts end with NUL, "" where there is none. */
typedef struct rm_error {
    rm_status status;
    rm_code code;
    uint64_t item;                      /* the item that the node was working on, from 1; 0: none */
    char node[RM_ERROR_NODE_MAX];       /* id of the node that failed */
    char message[RM_ERROR_MESSAGE_MAX]; /* one line: the thing, the value, what was wanted */
    char help[RM_ERROR_HELP_MAX];       /* what would mend it: a command, a near name */
    char input[RM_ERROR_INPUT_MAX];     /* what the node was given: format, size, first bytes */
} rm_error;

#define RM_ERROR_INIT                          \
    {                                          \
        RM_OK, RM_CODE_NONE, 0, {0}, {0}, {0}, \
        {                                      \
            0                                  \
        }                                      \
    }

/* Writes the message, sets status and the code that stands for the status alone, and returns the
 * status. err may be NULL. Thread: any; no allocation. */
RM_API rm_status rm_fail(rm_error *err, rm_status status, const char *format, ...) RM_PRINTF(3, 4);

/* As rm_fail(), with a stable code; the status is the code's. */
RM_API rm_status rm_fail_as(rm_error *err, rm_code code, const char *format, ...) RM_PRINTF(3, 4);

/* As rm_fail(), for a failed call of the operating system: ": No such file or directory" follows
 * the message. ENOMEM gives RM_ENOMEM, ENOENT RM_ENOENT, other values RM_EIO. */
RM_API rm_status rm_fail_os(rm_error *err, int os_errno, const char *format, ...) RM_PRINTF(3, 4);

/* Puts "<context>: " before the message of an error that is set. err may be NULL. */
RM_API void rm_error_wrap(rm_error *err, const char *format, ...) RM_PRINTF(2, 3);

/* Sets what would mend it, once the error is set. err may be NULL. */
RM_API void rm_error_help(rm_error *err, const char *format, ...) RM_PRINTF(2, 3);

/* One line about a code ("" for an unknown one) and the status that goes with it (RM_EFAIL). */
RM_API const char *rm_code_meaning(rm_code code);
RM_API rm_status rm_code_status(rm_code code);

#ifdef __cplusplus
}
#endif
#endif
