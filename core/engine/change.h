/* change.h — a change on its way into a session.
 *
 *     manifest (edited) ─▶ plan ─▶ matched with what runs ─▶ heirs of edges that go ─▶ tables
 *                          change_plan.c                     change_heirs.c
 *     pause ─▶ ready? ─▶ nodes that go give what they hold back ─▶ room ─▶ visits ─▶ exchange ─▶
 * resume change_exchange.c                                           change_visits.c
 *
 * A node of the new plan is the old one (kept), a new one in the place of an old one (both set), or
 * new. An edge of the new plan is an old one that is kept with its queue, or new. An old edge that
 * is not kept has an heir, a new edge that its packets go to: behind the same consumer where that
 * is kept, else before what takes its place. Without an heir it has to be empty.
 */
#ifndef RMI_ENGINE_CHANGE_H
#define RMI_ENGINE_CHANGE_H

#include <jansson.h>

#include <remotemedia/change.h>

#include "engine/session.h"
#include "graph/plan.h"

#define RMI_NONE UINT32_MAX

typedef struct rmi_new_node {
    rmi_node *old;  /* NULL: it is new */
    rmi_node *node; /* that is there after the change */
    void *params; /* a kept node's new parameters, once exchanged its old ones; NULL: as they are */
    bool is_open; /* a new one that was opened */
} rmi_new_node;

/* What is queued on an old edge goes to a new one too. Behind a node that fed several and goes
 * there are several. */
typedef struct rmi_bequest {
    uint32_t old_edge, heir;
} rmi_bequest;

typedef struct rmi_new_edge {
    rmi_edge *edge;
    bool is_made;   /* by this change */
    bool has_front; /* the first packet of its producer's outbox is not for it */
} rmi_new_edge;

/* What the host does to a node that stays. */
typedef struct rmi_visit {
    char *id;
    rmi_node *node; /* once it is planned */
    rm_status (*call)(void *context, rm_error *err);
    void (*undo)(void *context); /* NULL: nothing */
    void *context;
} rmi_visit;

/* Whether an old node begins items while the change waits for its moment. */
typedef enum rmi_held { RMI_NOT_HELD = 0, RMI_HELD, RMI_HELD_FOR_GOOD } rmi_held;

/* What a strand has after the change. */
typedef struct rmi_strand_tables {
    rmi_node **nodes, **timers;
    rmi_link **links_in, **links_out;
    uint64_t *ready;
    uint16_t node_count, link_in_count, link_out_count;
} rmi_strand_tables;

struct rm_change {
    rm_session *session;
    json_t *manifest;
    uint32_t version; /* of the session's graph that it began with */
    rmi_visit *visits;
    uint32_t visit_count;

    /* Once it is planned. */
    rm_plan *plan;
    rmi_new_node *nodes; /* as in the plan */
    rmi_new_edge *edges; /* as in the plan */
    uint32_t *place;     /* of each old node in the plan; RMI_NONE: it goes */
    uint32_t *heir; /* of each old edge the first one; of one that is kept itself. RMI_NONE: none */
    rmi_bequest *bequests; /* of the edges that are not kept */
    uint32_t bequest_count, bequest_capacity;
    uint8_t *holds;  /* of each old node, rmi_held */
    bool *drains;    /* of each old node: a part of one in copies, which comes to rest as a whole */
    bool *goes_on;   /* of each old node: what a split gave comes by it, and has to come out */
    bool is_holding; /* they are told */
    uint64_t calls;  /* of all nodes, by the last try */
    bool has_passed; /* it let each that is on hold begin an item */
    bool is_prepared; /* what is new is made and open */
    rmi_node **new_nodes;
    rmi_edge **new_edges;
    rmi_strand_tables tables[RMI_SESSION_STRANDS_MAX];
};

/* Where an old edge leads to. */
static inline rmi_node *rmi_edge_consumer(const rmi_edge *edge)
{
    return edge->link ? edge->link->receiving->to : edge->to;
}

/* The old node goes, or another one takes its place. */
static inline bool rmi_change_is_kept(const rm_change *change, const rmi_node *old)
{
    uint32_t place = change->place[old->index];
    return place != RMI_NONE && change->nodes[place].node == old;
}

/* The node at that place of the new plan is one that runs. */
static inline bool rmi_change_keeps(const rm_change *change, size_t index)
{
    const rmi_new_node *fresh = &change->nodes[index];
    return fresh->node && fresh->node == fresh->old;
}

static inline bool rmi_change_edge_is_kept(const rm_change *change, uint32_t old_edge)
{
    uint32_t heir = change->heir[old_edge];
    return heir != RMI_NONE && !change->edges[heir].is_made;
}

/* change_plan.c: plans the new graph, and finds what of it runs. */
RM_MUST_USE rm_status rmi_change_plan(rm_change *change, rm_error *err);
/* Makes and opens what is new in it. */
RM_MUST_USE rm_status rmi_change_prepare(rm_change *change, rm_error *err);
/* Closes what was opened. */
void rmi_change_forget(rm_change *change);
/* It has happened: what was made is the session's. */
void rmi_change_settle(rm_change *change);

/* change_copies.c: of a node in several copies all parts stay, or none does. */
void rmi_change_match_copies(rm_change *change);
/* Between parts of one that comes to rest: empty, as the change is made. */
bool rmi_change_is_inside(const rm_change *change, uint32_t old_edge);
/* Counts and times of those that come where a node was in copies or will be. */
void rmi_change_continue_copies(const rm_change *change);

/* change_heirs.c: heirs of the edges that go. */
RM_MUST_USE rm_status rmi_change_find_heirs(rm_change *change, rm_error *err);
/* Both lead to the same port of a node that stays. */
bool rmi_change_leads_alike(const rm_change *change, uint32_t old_edge, uint32_t new_edge);

/* change_ready.c: is it the moment? RM_EAGAIN: not yet. */
RM_MUST_USE rm_status rmi_change_check(rm_change *change, rm_error *err);
/* The part of it that what nodes hold back may have changed. */
RM_MUST_USE rm_status rmi_change_check_edges(const rm_change *change, rm_error *err);
uint32_t rmi_change_queued_on(const rmi_edge *edge);
rm_packet *rmi_change_queued_at(const rmi_edge *edge, uint32_t index);
/* The first packet of the node's outbox is on this edge already. */
bool rmi_change_has_front(const rmi_node *node, const rmi_edge *edge);
/* It is not: the nodes that go get no new items. The session is paused. */
void rmi_change_hold(rm_change *change);
/* They get them again. */
void rmi_change_release(rm_change *change);

/* change_visits.c: takes a copy of the id. */
RM_MUST_USE rm_status rmi_change_add_visit(rm_change *change, const rmi_visit *visit,
                                           rm_error *err);
/* Their nodes, once it is planned. RM_EINVAL: one does not stay. */
RM_MUST_USE rm_status rmi_change_find_visits(rm_change *change, rm_error *err);
bool rmi_change_visits(const rm_change *change, const rmi_node *node);
/* The last that can fail: those before it are undone then. */
RM_MUST_USE rm_status rmi_change_visit(const rm_change *change, rm_error *err);
void rmi_change_free_visits(rm_change *change);

/* change_exchange.c: the session is paused. RM_EAGAIN: not now. */
RM_MUST_USE rm_status rmi_change_exchange(rm_change *change, rm_error *err);
/* The session goes on: closes the old nodes and tells of the change. */
void rmi_change_finish(rm_change *change);

#endif
