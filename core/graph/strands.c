/* Which node lives on which strand. A boundary stands only where a node blocks or is heavy: a hop
 * within a strand costs nanoseconds, one to another thread a wake. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "graph/parallel.h"
#include "graph/plan.h"

enum {
    BLOCKING_STRANDS_MAX = 60, /* the rest is for heavy nodes */
    MEDIA_THREADS_MAX = 32,
    FEW_PROCESSORS = 2
};

/* Strands 1 to first - 1 have one node that blocks, or one copy, each. */
typedef struct strands {
    rm_plan *plan;
    uint32_t first;  /* strand of a media thread */
    uint64_t shared; /* the strands of sources that a heavy node shares, a bit each */
    uint32_t processors, asked_for; /* media threads; 0: it is left to us */
} strands;

static uint32_t at_most(uint32_t value, uint32_t limit)
{
    return value < limit ? value : limit;
}

static strands strands_of(rm_plan *plan, const rm_plan_options *options)
{
    strands s = {.plan = plan,
                 .first = 1,
                 .asked_for = at_most(options->media_threads, MEDIA_THREADS_MAX),
                 .processors = options->processors};
    long online = s.processors ? 0 : sysconf(_SC_NPROCESSORS_ONLN);
    s.processors += online > 0 ? (uint32_t)online : 0;
    return s;
}

static uint32_t media_threads(const strands *s)
{
    bool few = s->processors <= FEW_PROCESSORS;
    uint32_t own = few ? 1 : at_most(s->processors - 1, MEDIA_THREADS_MAX);
    return s->asked_for ? s->asked_for : own;
}

/* Its own, and what would hold of it if it fell back to this machine. */
static uint32_t flags_of(const rmi_plan_node *node)
{
    const rm_node_type *other = node->fallback.type;
    uint32_t both = RM_NODE_BLOCKS | RM_NODE_HEAVY | RM_NODE_PYTHON;
    both &= other ? other->flags : 0;
    return node->pub.type->flags | both;
}

static bool is_copy(const rmi_plan_node *node)
{
    /* Those of Python are on the home strand; what they do is in processes of their own. */
    return node->pub.copy && node->pub.copies > 1 && !(flags_of(node) & RM_NODE_PYTHON);
}

static bool is_heavy_only(const rmi_plan_node *node)
{
    uint32_t flags = flags_of(node) & (RM_NODE_HEAVY | RM_NODE_BLOCKS | RM_NODE_PYTHON);
    return flags == RM_NODE_HEAVY;
}

/* One that the rest of its strand cannot make late: it waits for nobody. */
static bool is_patient_source(const rmi_plan_node *node)
{
    const rm_port *inputs = node->pub.type->inputs;
    return !(inputs && inputs[0].name) && !(flags_of(node) & RM_NODE_LIVE);
}

/* ---- who feeds whom */

/* The strand that alone feeds a node: 0 where nothing does, or more than one. */
static uint32_t fed_by(const rm_plan *plan, uint32_t index)
{
    uint32_t strand = 0;
    for (size_t e = 0; e < plan->edge_count; e++) {
        const rm_plan_edge *edge = &plan->edges[e].pub;
        if (edge->to_node == index) {
            uint32_t from = plan->nodes[edge->from_node]->pub.strand;
            if (from == 0 || (strand && from != strand)) {
                return 0;
            }
            strand = from;
        }
    }
    return strand;
}

/* True where a node that blocks gives it something. */
static bool is_behind_blocking(const rm_plan *plan, uint32_t index)
{
    bool found = false;
    for (size_t e = 0; e < plan->edge_count; e++) {
        const rm_plan_edge *edge = &plan->edges[e].pub;
        found |= edge->to_node == index && flags_of(plan->nodes[edge->from_node]) & RM_NODE_BLOCKS;
    }
    return found;
}

/* ---- one kind of node after the other */

static void place_those_that_block(strands *s)
{
    for (size_t i = 0; i < s->plan->node_count; i++) {
        rmi_plan_node *node = s->plan->nodes[i];
        uint32_t flags = flags_of(node) & (RM_NODE_BLOCKS | RM_NODE_PYTHON);
        if ((is_copy(node) || flags == RM_NODE_BLOCKS) && s->first < BLOCKING_STRANDS_MAX) {
            node->pub.strand = s->first++;
        }
    }
}

/* The node on a strand before `first`. */
static const rmi_plan_node *owner_of(const strands *s, uint32_t strand)
{
    size_t i = 0;
    while (s->plan->nodes[i]->pub.strand != strand) {
        i++;
    }
    return s->plan->nodes[i];
}

/* With few processors a thread more does not make it faster, and costs a wake a packet. */
static void share_threads_of_sources(strands *s)
{
    for (uint32_t i = 0; i < s->plan->node_count; i++) {
        rmi_plan_node *node = s->plan->nodes[i];
        uint32_t strand = fed_by(s->plan, i);
        bool may = strand && !node->pub.strand && is_heavy_only(node) && !(s->shared >> strand & 1);
        if (may && is_patient_source(owner_of(s, strand))) {
            node->pub.strand = strand;
            s->shared |= 1ull << strand;
        }
    }
}

/* The heavy ones that are left, in turn. */
static void place_on_media_threads(strands *s)
{
    uint32_t media = at_most(media_threads(s), RMI_PLAN_STRANDS_MAX - s->first), turn = 0;
    for (size_t i = 0; i < s->plan->node_count && media; i++) {
        rmi_plan_node *node = s->plan->nodes[i];
        if (!node->pub.strand && is_heavy_only(node)) {
            node->pub.strand = s->first + turn++ % media;
        }
    }
    s->plan->strand_count = s->first + at_most(turn, media);
}

/* A light node that one such thread feeds stays there: the home thread need not wake for it. Not
 * behind a node that blocks: what is queued would wait out its call. */
static void keep_light_nodes_there(strands *s)
{
    enum { OTHERS = RM_NODE_BLOCKS | RM_NODE_HEAVY | RM_NODE_PYTHON };
    for (uint32_t i = 0; i < s->plan->node_count; i++) {
        rmi_plan_node *node = s->plan->nodes[i];
        uint32_t strand = fed_by(s->plan, i);
        bool may = strand >= s->first || s->shared >> strand & 1;
        if (may && !node->pub.strand && !(flags_of(node) & OTHERS) &&
            node->pub.type != &rmi_output_type && !is_behind_blocking(s->plan, i)) {
            node->pub.strand = strand;
        }
    }
}

/* ---- reasons */

static const char *why_there(const strands *s, const rmi_plan_node *node)
{
    uint32_t flags = flags_of(node), strand = node->pub.strand;
    if (is_copy(node) && strand && strand < s->first) {
        return "a thread of its own";
    }
    if (flags & RM_NODE_PYTHON) {
        return node->pub.type->flags & RM_NODE_PYTHON
                   ? "Python: on the home strand, where the interpreter is"
                   : "it may fall back to Python: on the home strand, where the interpreter is";
    }
    if (flags & RM_NODE_BLOCKS) {
        return strand ? "its calls may block: a thread of its own"
                      : "its calls may block, and every thread has such a node already: on the "
                        "home strand";
    }
    if (flags & RM_NODE_HEAVY) {
        return strand < s->first ? "heavy, but there are few processors: on the thread of the "
                                   "source that feeds it, which saves a wake"
                                 : "heavy: on a media thread";
    }
    return strand ? "light, and one media thread feeds it: it stays there, which saves a wake"
                  : "light: on the home strand, a hop costs nanoseconds";
}

static void explain(const strands *s)
{
    for (size_t i = 0; i < s->plan->node_count; i++) {
        rmi_plan_node *node = s->plan->nodes[i];
        size_t used = strlen(node->reason);
        snprintf(node->reason + used, sizeof node->reason - used, "%s%s", used ? "; " : "",
                 why_there(s, node));
    }
}

void rmi_plan_place_on_strands(rm_plan *plan, const rm_plan_options *options)
{
    strands s = strands_of(plan, options);
    place_those_that_block(&s);
    if (!s.asked_for && s.processors <= FEW_PROCESSORS) {
        share_threads_of_sources(&s);
    }
    place_on_media_threads(&s);
    keep_light_nodes_there(&s);
    explain(&s);
    for (size_t e = 0; e < plan->edge_count; e++) {
        rm_plan_edge *edge = &plan->edges[e].pub;
        edge->is_link =
            plan->nodes[edge->from_node]->pub.strand != plan->nodes[edge->to_node]->pub.strand;
    }
}
