#include "engine/fetch.h"

#include "engine/session.h"

enum { LINE_BYTES = 64, NODES_MAX = 16 };

/* To be written, or it would have to be asked for once more. */
static inline void fetch(const void *memory, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += LINE_BYTES) {
        __builtin_prefetch((const char *)memory + at, 1);
    }
    __builtin_prefetch((const char *)memory + bytes - 1, 1); /* it begins within a line */
}

static uint16_t count_nodes(const rmi_strand *strand)
{
    return strand->node_count < NODES_MAX ? strand->node_count : NODES_MAX;
}

void rmi_fetch_nodes(const rmi_strand *strand)
{
    for (uint16_t i = 0; i < count_nodes(strand); i++) {
        fetch(strand->nodes[i], offsetof(rmi_node, current));
    }
}

void rmi_fetch_behind_nodes(const rmi_strand *strand)
{
    for (uint16_t i = 0; i < count_nodes(strand); i++) {
        const rmi_node *node = strand->nodes[i];
        __builtin_prefetch(&node->pub.type->process);
        __builtin_prefetch(node->one_out.direct, 1);
    }
}

/* What a source is told by, and looks at before it is called. */
static void fetch_source(const rmi_node *node)
{
    fetch(&node->in, offsetof(rmi_node, errors) - offsetof(rmi_node, in));
    fetch(&node->ready_message,
          offsetof(rmi_node, complete_status) - offsetof(rmi_node, ready_message));
    __builtin_prefetch(node->one_out.edges);
    if (node->one_out.direct) {
        __builtin_prefetch(&node->one_out.direct->load, 1);
    }
}

static void fetch_sources(const rmi_strand *strand)
{
    for (uint16_t i = 0; i < count_nodes(strand); i++) {
        if (strand->nodes[i]->is_source) {
            fetch_source(strand->nodes[i]);
        }
    }
}

/* The free packet of the smallest class: what live objects travel in. */
static void fetch_packet(const rmi_pool *pool)
{
    if (pool->free[0]) {
        fetch(pool->free[0], sizeof(rm_packet));
    }
}

static void fetch_strand(const rmi_strand *strand)
{
    fetch(strand, offsetof(rmi_strand, error));
    fetch(&strand->controls, sizeof *strand - offsetof(rmi_strand, controls));
}

static void fetch_behind_strand(const rmi_strand *strand)
{
    fetch(strand->nodes, strand->node_count * sizeof *strand->nodes);
    __builtin_prefetch(strand->ready, 1);
    __builtin_prefetch(strand->pool->free, 1);
    fetch(&strand->pool->arrived, sizeof *strand->pool - offsetof(rmi_pool, arrived));
}

void rm_session_fetch(const rm_session *session, unsigned turns)
{
    const rmi_strand *home = turns < RM_FETCH_TURNS - 1 ? session->strands[0] : NULL;
    switch (turns) {
    case RM_FETCH_TURNS: fetch(session, offsetof(rm_session, plan)); break;
    case 5: __builtin_prefetch(session->strands); break;
    case 4: fetch_strand(home); break;
    case 3: fetch_behind_strand(home); break;
    case 2:
        rmi_fetch_nodes(home);
        fetch_packet(home->pool);
        break;
    case 1:
        rmi_fetch_behind_nodes(home);
        fetch_sources(home);
        break;
    default: break;
    }
}
