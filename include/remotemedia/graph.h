/* graph.h — from text to a checked graph, and from there to a plan. Pure functions: nothing opens.
 *
 *     manifest.json ──rm_graph_parse()──▶ graph ──rm_graph_plan()──▶ plan ──▶ rm_session_open()
 *     a ! b ! c ────rm_graph_parse_inline()──▲
 *
 * Ownership: graph and plan are immutable; a plan keeps its graph alive. Threads: any thread may
 * read one; freeing is the owner's.
 * Bounds: a manifest of 64 MiB, 512 levels deep, 1,000 nodes, 10,000 connections; graphs in graphs
 * 8 levels deep, all of them together within these bounds.
 */
#ifndef REMOTEMEDIA_GRAPH_H
#define REMOTEMEDIA_GRAPH_H

#include "registry.h"
#include "report.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rm_graph rm_graph;
typedef struct rm_plan rm_plan;

/* Parses and checks a manifest v1 (schemas/manifest.v1.json): everything that can be said without
 * knowing the node types. All findings go to `report` (may be NULL), the first error to err as
 * well, as "line 3, column 5: …". */
RM_API RM_MUST_USE rm_status rm_graph_parse(const char *json, size_t bytes, rm_graph **ret_graph,
                                            rm_report *report, rm_error *err);

/* The same of a manifest that may name files: nodes of the type "graph" are put into the graph
 * around them, wherever their manifests stand. folder: where relative paths begin; "": the working
 * folder; NULL: there are no files, as for rm_graph_parse(). Reads files. */
RM_API RM_MUST_USE rm_status rm_graph_parse_in(const char *json, size_t bytes, const char *folder,
                                               rm_graph **ret_graph, rm_report *report,
                                               rm_error *err);

/* For a manifest that rm_graph_parse() refused: what can be said all the same about the types and
 * the parameters of its nodes is added to `report`, so that a user sees all mistakes at once.
 * RM_OK: nothing to add. Thread: the registry's. */
RM_API rm_status rm_graph_check_nodes(const char *json, size_t bytes, rm_registry *registry,
                                      rm_report *report);

/* The shorthand 'media.read path=a.wav ! audio.level ! json.write path=-': node types joined by
 * '!', each followed by parameters name=value. A value is a JSON value or else a string; quotes as
 * in JSON. id=NAME names a node. E0111 with the column. */
RM_API RM_MUST_USE rm_status rm_graph_parse_inline(const char *text, rm_graph **ret_graph,
                                                   rm_error *err);

/* Replaces parameter `name` of node `id` (the value is a JSON value or else a string) and returns a
 * new graph. E0108 with a near name as help. */
RM_API RM_MUST_USE rm_status rm_graph_set_param(const rm_graph *graph, const char *id,
                                                const char *name, const char *value,
                                                rm_graph **ret_graph, rm_error *err);

/* The graph as a manifest, indented by 2; the caller frees it by rm_free(). */
RM_API RM_MUST_USE rm_status rm_graph_to_json(const rm_graph *graph, char **ret_json,
                                              rm_error *err);
RM_API void rm_graph_free(rm_graph *graph);

typedef struct rm_graph_node {
    const char *id, *name, *node_type, *params_json;
    uint32_t line, column; /* in the manifest; 0: made inline */
} rm_graph_node;

typedef struct rm_graph_edge {
    uint32_t from_node, from_port, to_node, to_port; /* ports: index, resolved by the plan */
    /* As written. NULL: the first input; the first output of a kind that the input takes. */
    const char *from_port_name, *to_port_name;
    uint32_t capacity_packets, capacity_packets_max; /* 16 and 1,024 where nothing is said */
    uint64_t capacity_bytes;                         /* 0: no bound in bytes */
    const char *policy;                              /* "block", … */
    int64_t capacity_ns;    /* of the durations of what is queued; 0: no bound in time */
    const char *when_json;  /* which packets go over it; NULL: all */
    int64_t latency_ns_max; /* how long a packet may be queued; 0: no budget */
} rm_graph_edge;

/* What the manifest holds. Texts and JSON are borrowed from the graph; index: below the count.
 * Thread: any. */
RM_API const char *rm_graph_name(const rm_graph *graph);
RM_API size_t rm_graph_node_count(const rm_graph *graph);
RM_API size_t rm_graph_edge_count(const rm_graph *graph);
RM_API void rm_graph_node_at(const rm_graph *graph, size_t index, rm_graph_node *ret_node);
RM_API void rm_graph_edge_at(const rm_graph *graph, size_t index, rm_graph_edge *ret_edge);

typedef struct rm_plan_options {
    size_t struct_size;
    int python_host;        /* the caller runs Python: its nodes live on the caller's strand */
    uint32_t media_threads; /* strands for heavy native nodes; 0: one less than the processors, at
                             * least 1; of up to 2 processors a heavy node that a source with a
                             * thread of its own feeds shares that thread */
    /* What this machine has, as rm_machine_probe() gives it; NULL: it is looked at, once a node
     * requires something. */
    const char *machine_json;
    uint32_t processors; /* that threads are planned for; 0: as many as are online */
} rm_plan_options;

/* Finds every node type, checks parameters, resolves ports, fixes the format of each edge
 * (inserting converters), chooses for each node a place, a tier and a strand, and keeps the reason
 * of each choice. E0202: nothing can run a node. REMOTEMEDIA_PYTHON_RUNTIME names the tier of
 * Python nodes that name none; REMOTEMEDIA_ENABLE_FALLBACK=0 forbids that another tier or place
 * steps in. All findings go to report, the first error to err too. options may be NULL. The
 * registry must outlive the plan. */
RM_API RM_MUST_USE rm_status rm_graph_plan(const rm_graph *graph, rm_registry *registry,
                                           const rm_plan_options *options, rm_plan **ret_plan,
                                           rm_report *report, rm_error *err);
RM_API void rm_plan_free(rm_plan *plan);

typedef struct rm_plan_node {
    const char *id;
    const rm_node_type *type;
    uint32_t strand, rank; /* rank: place in topological order */
    int inserted;          /* the plan put it there: a converter, the ends of copies */
    const char *tier;      /* "native", "cpython" */
    const char *reason;    /* of its placement */
    const char *params_json;
    const char *node_json; /* its entry in the manifest; NULL: it has none */
    const char *place;     /* "local", or another one of the registry */
    /* Takes its place if that refuses the node as a session opens; NULL: nothing does. */
    const rm_node_type *fallback;
    /* Of a node that runs in several copies: its id in the manifest; NULL: it is none. The copies
     * are numbered from 1, what gives them their items and gathers what they emit has copy 0. */
    const char *part_of;
    uint32_t copy, copies;
} rm_plan_node;

typedef struct rm_plan_edge {
    uint32_t from_node, from_port, to_node, to_port;
    const rm_format *format; /* kind any: not known before it runs */
    uint32_t capacity_packets, capacity_packets_max;
    uint64_t capacity_bytes;
    const char *policy;
    int is_link;        /* crosses strands */
    const char *reason; /* of its format, and of the converter before it */
    int64_t capacity_ns;
    const char *when_json;  /* which packets go over it; NULL: all */
    int64_t latency_ns_max; /* how long a packet may be queued; 0: no budget */
} rm_plan_edge;

/* How old a packet may be when a sink has it, from where it entered; ns. 0: no budget. */
RM_API int64_t rm_plan_latency_ns_max(const rm_plan *plan);

/* Nodes in rank order. Borrowed from the plan. */
RM_API size_t rm_plan_node_count(const rm_plan *plan);
RM_API size_t rm_plan_edge_count(const rm_plan *plan);
RM_API size_t rm_plan_strand_count(const rm_plan *plan); /* strand 0 is the home strand */
RM_API void rm_plan_node_at(const rm_plan *plan, size_t index, rm_plan_node *ret_node);
RM_API void rm_plan_edge_at(const rm_plan *plan, size_t index, rm_plan_edge *ret_edge);

/* The plan as JSON, for `explain` and tests; the caller frees it by rm_free(). */
RM_API RM_MUST_USE rm_status rm_plan_to_json(const rm_plan *plan, char **ret_json, rm_error *err);

#ifdef __cplusplus
}
#endif
#endif
