/* library.h — a library that is loaded when it is asked for: a program without it does all the
 * rest.
 *
 * Ownership: who loads it closes it, by dlclose(), where nothing of it runs any more. Threads: any.
 */
#ifndef CLI_LIBRARY_H
#define CLI_LIBRARY_H

#include "cli.h"

typedef struct cli_function {
    const char *name;
    size_t offset; /* of the pointer to it, in the caller's table */
} cli_function;

typedef struct cli_library {
    const char *file;    /* as dlopen() takes it */
    const char *option;  /* what needs it, for the error */
    const char *install; /* the command that gives it */
    const cli_function *functions;
    size_t function_count;
} cli_library;

/* Fills the pointers of `table`. RM_CODE_DEPENDENCY_MISSING: it is not there, or lacks one;
 * *ret_handle may be set all the same. */
RM_MUST_USE rm_status cli_library_load(const cli_library *library, void *table, void **ret_handle,
                                       rm_error *err);
/* NULL: it is there, with all of the functions; else the command that gives it. */
const char *cli_library_missing(const cli_library *library);

#endif
