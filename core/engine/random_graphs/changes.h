/* changes.h — random changes of a graph that runs, none of which changes what arrives: nodes that
 * pass numbers on come and go, and any node is replaced by one that goes on with its state.
 */
#ifndef RANDOM_GRAPHS_CHANGES_H
#define RANDOM_GRAPHS_CHANGES_H

#include <jansson.h>

#include "engine/session.h"

typedef struct changes {
    rm_session *session;
    uint64_t random; /* state of what is drawn */
    bool threads;    /* nobody ends the work that is out while a change is made */
    uint32_t tried, made, next_id;
    json_t *refused; /* why: texts */
} changes;

/* Describes a change of the graph as it is, and commits it. */
void changes_make_one(changes *c);

#endif
