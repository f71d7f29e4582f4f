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
    uint32_t late, of_copies;  /* made after they had waited; that changed the number of copies */
    struct rm_change *waiting; /* for its moment, with nodes on hold; NULL: none */
    uint32_t waits;            /* times that it was told so */
    uint32_t rests;            /* of these, that nothing else moved any more */
    bool is_of_copies;
    char why[300];
    json_t *refused; /* why: texts */
} changes;

/* Describes a change of the graph as it is, and commits it; commits one again that waits, or gives
 * it up. */
void changes_make_one(changes *c);
/* Nothing moves any more: is it for a change that waits? That is made now, or was never to be. */
bool changes_go_on(changes *c);
/* Forgets one that waits; before the session goes. */
void changes_give_up(changes *c);

#endif
