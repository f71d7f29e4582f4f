/* report.h — a list of findings about a document: each with place, text and what mends it.
 *
 * Ownership: the report owns its texts; they live until the next add, clear or free.
 * Threads: one thread at a time. Bounds: 1,000 findings; further ones are counted only.
 */
#ifndef REMOTEMEDIA_REPORT_H
#define REMOTEMEDIA_REPORT_H

#include <stddef.h>

#include "error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rm_severity { RM_SEVERITY_ERROR = 1, RM_SEVERITY_WARNING } rm_severity;

typedef struct rm_finding {
    rm_severity severity;
    rm_code code;
    uint32_t line, column; /* from 1, column in characters; 0: no place */
    const char *pointer;   /* JSON Pointer, RFC 6901; "" for the whole document */
    const char *message;   /* one line */
    const char *help;      /* what mends it, or "" */
} rm_finding;

typedef struct rm_report rm_report;

/* An empty report. free: NULL is fine. clear: as new. Fails with RM_ENOMEM. */
RM_API RM_MUST_USE rm_status rm_report_new(rm_report **ret_report, rm_error *err);
RM_API void rm_report_free(rm_report *report);
RM_API void rm_report_clear(rm_report *report);

/* Copies the finding. Without memory it is counted only. report may be NULL. */
RM_API void rm_report_add(rm_report *report, const rm_finding *finding);

/* Findings in the order they were added; at() borrows one, index below the count. */
RM_API size_t rm_report_count(const rm_report *report);       /* kept ones */
RM_API size_t rm_report_error_count(const rm_report *report); /* errors, kept or not */
RM_API const rm_finding *rm_report_at(const rm_report *report, size_t index);

#ifdef __cplusplus
}
#endif
#endif
