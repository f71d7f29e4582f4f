/* needs.h — what a node needs against what a machine has, both by schemas/capabilities.v1.json. */
#ifndef RMI_GRAPH_NEEDS_H
#define RMI_GRAPH_NEEDS_H

#include <jansson.h>
#include <stdbool.h>

enum { RMI_NEEDS_TEXT_BYTES = 256 };

/* What a need comes to at a machine. */
typedef struct rmi_needs_answer {
    char reason[RMI_NEEDS_TEXT_BYTES]; /* why not, or what there is to be said of it; "": nothing */
    char change[RMI_NEEDS_TEXT_BYTES]; /* not met: what would have to be different */
} rmi_needs_answer;

/* True: the machine has all of it; a GPU that is not `required` may be missing, and one whose
 * memory is not known is taken to have enough. needs that is no object needs nothing. */
bool rmi_needs_are_met(const json_t *needs, const json_t *machine, rmi_needs_answer *ret_answer);

/* True: it needs codecs or features, which only loaded modules tell. */
bool rmi_needs_ask_for_modules(const json_t *needs);

#endif
