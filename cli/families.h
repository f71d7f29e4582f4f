/* families.h — the numbers of a run that monitoring is given, whatever the way: Prometheus' text
 * (prometheus.c) or OTLP (otlp.c).
 *
 * Threads: any.
 */
#ifndef CLI_FAMILIES_H
#define CLI_FAMILIES_H

#include <stddef.h>

/* Of which objects a family has rows. */
typedef enum cli_scope { CLI_OF_NODE, CLI_OF_EDGE, CLI_OF_RUN } cli_scope;

typedef enum cli_family_kind { CLI_COUNTER, CLI_GAUGE, CLI_SUMMARY } cli_family_kind;

typedef struct cli_family {
    const char *name, *help; /* Prometheus' name, with the unit */
    cli_scope scope;
    cli_family_kind kind;
    const char *object; /* in the node, edge or metrics; NULL: that itself */
    const char *key;    /* in the object; NULL: a row for each key, "reason" */
    double unit;        /* of the number, in base units */
    const char *count;  /* CLI_SUMMARY: of the observations; "": in the node, "calls" */
} cli_family;

extern const cli_family cli_families[];
extern const size_t cli_family_count;

#endif
