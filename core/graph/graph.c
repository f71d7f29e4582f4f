#include "graph/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/near.h"
#include "base/report.h"
#include "graph/edges.h"
#include "graph/expand.h"
#include "graph/route.h"
#include "graph/schema.h"

#define MANIFEST_BYTES_MAX ((size_t)64 << 20)
enum { POINTER_BYTES_MAX = 512 };

/* Features that this reader knows, for `requires`. */
static const char *const known_features[] = {"ports",        "policies", "on_error",
                                             "inputs",       "outputs",  "placement",
                                             "requirements", "when",     "graph"};

/* ---- findings */

rmi_findings rmi_findings_of(const rm_graph *graph, rm_report *report, rm_error *err)
{
    rmi_findings findings = {
        .report = report, .err = err, .expansion = graph->expansion, .flat = graph->expansion};
    rmi_locator_init(&findings.locator, graph->text, graph->bytes);
    return findings;
}

bool rmi_findings_are_full(const rmi_findings *findings)
{
    return findings->told >= (findings->report ? RMI_REPORT_FINDINGS_MAX : 1);
}

static void add_found(rmi_findings *findings, rm_severity severity, const char *pointer,
                      const rm_error *error)
{
    bool first = severity == RM_SEVERITY_ERROR && findings->errors == 0;
    uint32_t line = 0, column = 0;
    if (findings->locator.json && (first || !rmi_findings_are_full(findings))) {
        rmi_locate(&findings->locator, pointer, &line, &column);
    }
    rm_finding finding = {severity, error->code,    line,       column,
                          pointer,  error->message, error->help};
    rm_report_add(findings->report, &finding);
    findings->told++;
    findings->errors += severity == RM_SEVERITY_ERROR;
    if (first && findings->err) {
        *findings->err = *error;
        if (line) {
            rm_error_wrap(findings->err, "line %u, column %u", line, column);
        }
    }
}

/* Goes out of the part: a pointer into the manifest around it; what is in a file is told in words.
 */
static void leave_part(const rmi_part *part, char *pointer, size_t size, rm_error *error)
{
    char around[POINTER_BYTES_MAX];
    if (part->file) {
        rmi_locator locator;
        uint32_t line = 0, column = 0;
        rmi_locator_init(&locator, part->text, part->bytes);
        rmi_locate(&locator, pointer, &line, &column);
        rm_error_wrap(error, "%.80s, line %u, column %u", part->file, line, column);
    }
    snprintf(around, sizeof around, "%s%s", part->pointer, part->file ? "" : pointer);
    snprintf(pointer, size, "%s", around);
}

void rmi_findings_add_in(rmi_findings *findings, uint32_t part, rm_severity severity,
                         const char *pointer, const rm_error *error)
{
    char place[POINTER_BYTES_MAX];
    rm_error told = *error;
    snprintf(place, sizeof place, "%s", pointer);
    while (part != 0) {
        const rmi_part *inner = &findings->expansion->parts[part];
        leave_part(inner, place, sizeof place, &told);
        part = inner->parent;
    }
    add_found(findings, severity, place, &told);
}

void rmi_findings_add(rmi_findings *findings, rm_severity severity, const char *pointer,
                      const rm_error *error)
{
    char place[POINTER_BYTES_MAX];
    if (!findings->flat) {
        add_found(findings, severity, pointer, error);
        return;
    }
    uint32_t part = rmi_expansion_locate(findings->expansion, pointer, place, sizeof place);
    rmi_findings_add_in(findings, part, severity, place, error);
}

__attribute__((format(printf, 4, 5))) static void add(rmi_findings *findings, rm_code code,
                                                      const char *pointer, const char *format, ...)
{
    rm_error error = RM_ERROR_INIT;
    char message[RM_ERROR_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    (void)rm_fail_as(&error, code, "%s", message);
    rmi_findings_add(findings, RM_SEVERITY_ERROR, pointer, &error);
}

static void schema_found(void *context, const rmi_schema_finding *found)
{
    rm_error error = RM_ERROR_INIT;
    (void)rm_fail_as(&error, found->code, "%s", found->message);
    rm_error_help(&error, "%s", found->help);
    rmi_findings_add(context, found->severity, found->pointer, &error);
}

/* ---- nodes */

static void check_requires(const json_t *manifest, rmi_findings *findings)
{
    const json_t *list = json_object_get(manifest, "requires");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *feature = json_string_value(json_array_get(list, i));
        bool known = false;
        for (size_t k = 0; k < RMI_COUNT(known_features); k++) {
            known |= strcmp(known_features[k], feature) == 0;
        }
        if (!known) {
            char pointer[32];
            snprintf(pointer, sizeof pointer, "/requires/%zu", i);
            rm_error error = RM_ERROR_INIT;
            (void)rm_fail_as(&error, RM_CODE_MANIFEST_REQUIRES,
                             "the manifest requires '%.60s', which this version does not know",
                             feature);
            rm_error_help(&error, "a newer RemoteMedia may know it");
            rmi_findings_add(findings, RM_SEVERITY_ERROR, pointer, &error);
        }
    }
}

static int compare_ids(const void *a, const void *b, void *graph)
{
    const rmi_graph_node *nodes = ((const rm_graph *)graph)->nodes;
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    int order = strcmp(nodes[left].id, nodes[right].id);
    return order ? order : left < right ? -1 : left > right;
}

size_t rmi_graph_find(const rm_graph *graph, const char *id)
{
    size_t low = 0, high = graph->node_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(graph->nodes[graph->by_id[middle]].id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < graph->node_count && strcmp(graph->nodes[graph->by_id[low]].id, id) == 0;
    return found ? graph->by_id[low] : SIZE_MAX;
}

/* Of a node in a file: where that file is named. */
static void locate_node(const rm_graph *graph, size_t index, rmi_locator *locator,
                        rmi_graph_node *node)
{
    char pointer[POINTER_BYTES_MAX], place[POINTER_BYTES_MAX];
    uint32_t part = 0;
    snprintf(place, sizeof place, "/nodes/%zu", index);
    if (graph->expansion) {
        snprintf(pointer, sizeof pointer, "%s", place);
        part = rmi_expansion_locate(graph->expansion, pointer, place, sizeof place);
    }
    while (part != 0) {
        const rmi_part *inner = &graph->expansion->parts[part];
        rm_error ignored = RM_ERROR_INIT;
        leave_part(inner, place, sizeof place, &ignored);
        part = inner->parent;
    }
    rmi_locate(locator, place, &node->line, &node->column);
}

static rm_status read_node(rm_graph *graph, json_t *json, size_t index, rmi_locator *locator)
{
    rmi_graph_node *node = &graph->nodes[index];
    node->json = json;
    node->id = json_string_value(json_object_get(json, "id"));
    node->node_type = json_string_value(json_object_get(json, "node_type"));
    const json_t *params = json_object_get(json, "params");
    char *dump = json_is_object(params) ? json_dumps(params, JSON_COMPACT) : NULL;
    node->params_json = rmi_strdup(dump ? dump : "{}");
    free(dump);
    if (!node->params_json) {
        return RM_ENOMEM;
    }
    if (locator->json) {
        locate_node(graph, index, locator, node);
    }
    graph->by_id[index] = (uint32_t)index;
    graph->node_count = index + 1;
    return RM_OK;
}

static rm_status read_nodes(rm_graph *graph, rmi_findings *findings)
{
    const json_t *list = json_object_get(graph->manifest, "nodes");
    size_t count = json_array_size(list);
    rmi_locator locator;
    rmi_locator_init(&locator, graph->text, graph->bytes);
    graph->nodes = rmi_calloc(count, sizeof *graph->nodes);
    graph->by_id = rmi_calloc(count, sizeof *graph->by_id);
    if (!graph->nodes || !graph->by_id) {
        return RM_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        rm_status status = read_node(graph, json_array_get(list, i), i, &locator);
        if (status != RM_OK) {
            return status;
        }
    }
    qsort_r(graph->by_id, count, sizeof *graph->by_id, compare_ids, graph);
    for (size_t i = 0; i < count; i++) {
        size_t twin = rmi_graph_find(graph, graph->nodes[i].id);
        if (twin != i) {
            char pointer[48];
            snprintf(pointer, sizeof pointer, "/nodes/%zu/id", i);
            add(findings, RM_CODE_MANIFEST_DUPLICATE, pointer,
                "node %zu has the id '%s', which node %zu has already", i + 1, graph->nodes[i].id,
                twin + 1);
        }
    }
    return RM_OK;
}

/* ---- edges */

static size_t resolve_end(const rm_graph *graph, const char *id, const char *pointer,
                          const char *role, rmi_findings *findings)
{
    size_t index = rmi_graph_find(graph, id);
    if (index != SIZE_MAX) {
        return index;
    }
    rm_error error = RM_ERROR_INIT;
    rmi_near near = {.wanted = id};
    for (size_t i = 0; i < graph->node_count && !rmi_findings_are_full(findings); i++) {
        rmi_near_try(&near, graph->nodes[i].id);
    }
    (void)rm_fail_as(&error, RM_CODE_CONNECTION_DANGLING,
                     "%s names node '%.60s', which does not exist", role, id);
    const char *best = rmi_near_result(&near);
    if (best) {
        rm_error_help(&error, "did you mean '%s'?", best);
    }
    rmi_findings_add(findings, RM_SEVERITY_ERROR, pointer, &error);
    return SIZE_MAX;
}

static void read_capacity(const json_t *capacity, rm_graph_edge *edge)
{
    const json_t *packets =
        json_is_object(capacity) ? json_object_get(capacity, "packets") : capacity;
    const json_t *most = json_object_get(capacity, "grow_max");
    edge->capacity_packets = packets ? (uint32_t)json_integer_value(packets) : 16;
    edge->capacity_bytes = (uint64_t)json_integer_value(json_object_get(capacity, "bytes"));
    edge->capacity_ns =
        (int64_t)(json_number_value(json_object_get(capacity, "duration_ms")) * 1e6);
    edge->capacity_packets_max = most ? (uint32_t)json_integer_value(most) : 1024;
    if (edge->capacity_packets_max < edge->capacity_packets) {
        edge->capacity_packets_max = edge->capacity_packets;
    }
}

/* NULL: every packet goes over the edge, or that was reported. */
static const char *read_when(json_t *when, size_t index, rmi_findings *findings)
{
    RMI_AUTO(rmi_route) route = NULL;
    rm_error error = RM_ERROR_INIT;
    if (!when) {
        return NULL;
    }
    if (rmi_route_new(when, &route, &error) != RM_OK) {
        char pointer[48];
        snprintf(pointer, sizeof pointer, "/connections/%zu/when", index);
        rmi_findings_add(findings, RM_SEVERITY_ERROR, pointer, &error);
        return NULL;
    }
    char *dump = json_dumps(when, JSON_COMPACT);
    char *copy = dump ? rmi_strdup(dump) : NULL;
    free(dump);
    if (!copy) {
        (void)rm_fail(&error, RM_ENOMEM, "no memory for a graph");
        rmi_findings_add(findings, RM_SEVERITY_ERROR, "", &error);
    }
    return copy;
}

static void read_edge(rm_graph *graph, const json_t *json, size_t index, rmi_findings *findings)
{
    char pointer[48];
    snprintf(pointer, sizeof pointer, "/connections/%zu/from", index);
    size_t from = resolve_end(graph, json_string_value(json_object_get(json, "from")), pointer,
                              "connection 'from'", findings);
    snprintf(pointer, sizeof pointer, "/connections/%zu/to", index);
    size_t to = resolve_end(graph, json_string_value(json_object_get(json, "to")), pointer,
                            "connection 'to'", findings);
    if (from == SIZE_MAX || to == SIZE_MAX) {
        return;
    }
    if (from == to) {
        add(findings, RM_CODE_CONNECTION_CYCLE, pointer, "node '%s' is connected to itself",
            graph->nodes[to].id);
        return;
    }
    const char *policy = json_string_value(json_object_get(json, "policy"));
    rm_graph_edge *edge = &graph->edges[graph->edge_count++];
    *edge = (rm_graph_edge){.from_node = (uint32_t)from, .to_node = (uint32_t)to};
    edge->from_port_name = json_string_value(json_object_get(json, "from_port"));
    edge->to_port_name = json_string_value(json_object_get(json, "to_port"));
    edge->policy = policy ? policy : "block";
    read_capacity(json_object_get(json, "capacity"), edge);
    edge->latency_ns_max =
        (int64_t)(json_number_value(json_object_get(json, "latency_ms_max")) * 1e6);
    edge->when_json = read_when(json_object_get(json, "when"), index, findings);
}

static rm_status read_edges(rm_graph *graph, rmi_findings *findings)
{
    const json_t *list = json_object_get(graph->manifest, "connections");
    size_t count = list ? json_array_size(list) : graph->node_count;
    graph->edges = rmi_calloc(count, sizeof *graph->edges);
    if (!graph->edges) {
        return RM_ENOMEM;
    }
    for (size_t i = 0; list && i < count; i++) {
        read_edge(graph, json_array_get(list, i), i, findings);
    }
    for (size_t i = 1; !list && i < count; i++) {
        rm_graph_edge *edge = &graph->edges[graph->edge_count++];
        *edge = (rm_graph_edge){.from_node = (uint32_t)i - 1, .to_node = (uint32_t)i};
        edge->policy = "block";
        read_capacity(NULL, edge);
    }
    return RM_OK;
}

/* Depth-first; a node met again while it is being walked closes a cycle, which is printed. */
typedef struct cycle_search {
    const rm_graph *graph;
    const rmi_edge_index *outgoing;
    uint8_t *colour; /* 0 new, 1 being walked, 2 done */
    uint32_t *path;
    size_t depth;
    rmi_findings *findings;
    bool found;
} cycle_search;

static void report_cycle(cycle_search *search, uint32_t again)
{
    char names[256] = "";
    bool inside = false;
    for (size_t i = 0; i <= search->depth; i++) {
        uint32_t node = i < search->depth ? search->path[i] : again;
        inside |= node == again;
        size_t used = strlen(names);
        if (inside) {
            snprintf(names + used, sizeof names - used, "%s%s", used ? " -> " : "",
                     search->graph->nodes[node].id);
        }
    }
    add(search->findings, RM_CODE_CONNECTION_CYCLE, "/connections",
        "the connections form a cycle: %s", names);
    search->found = true;
}

static void walk(cycle_search *search, uint32_t node)
{
    search->colour[node] = 1;
    search->path[search->depth++] = node;
    const rmi_edge_index *outgoing = search->outgoing;
    for (uint32_t i = outgoing->start[node]; i < outgoing->start[node + 1] && !search->found; i++) {
        const rm_graph_edge *edge = &search->graph->edges[outgoing->edge[i]];
        if (search->colour[edge->to_node] == 1) {
            report_cycle(search, edge->to_node);
        } else if (search->colour[edge->to_node] == 0) {
            walk(search, edge->to_node);
        }
    }
    search->depth--;
    search->colour[node] = 2;
}

static uint32_t source_of(const void *edges, size_t index)
{
    return ((const rm_graph_edge *)edges)[index].from_node;
}

static rm_status check_cycles(const rm_graph *graph, rmi_findings *findings)
{
    RMI_AUTO_EDGE_INDEX outgoing = {0};
    RMI_AUTO_MEMORY uint8_t *colour = rmi_calloc(graph->node_count, 1);
    RMI_AUTO_MEMORY uint32_t *path = rmi_calloc(graph->node_count + 1, sizeof *path);
    rm_status status = rmi_edge_index_init(&outgoing, graph->node_count, graph->edge_count,
                                           source_of, graph->edges);
    if (!colour || !path || status != RM_OK) {
        return RM_ENOMEM;
    }
    cycle_search search = {graph, &outgoing, colour, path, 0, findings, false};
    for (uint32_t i = 0; i < graph->node_count && !search.found; i++) {
        if (colour[i] == 0) {
            walk(&search, i);
        }
    }
    return RM_OK;
}

static void check_endpoints(const rm_graph *graph, const char *field, rmi_findings *findings)
{
    const char *name;
    json_t *endpoint;
    json_object_foreach(json_object_get(graph->manifest, field), name, endpoint)
    {
        char pointer[160];
        snprintf(pointer, sizeof pointer, "/%s/%.100s/node", field, name);
        (void)resolve_end(graph, json_string_value(json_object_get(endpoint, "node")), pointer,
                          field, findings);
    }
}

/* ---- the whole */

static rm_status build(rm_graph *graph, const char *folder, rmi_findings *findings)
{
    rm_status status =
        rmi_schema_check_manifest(graph->manifest, schema_found, findings, findings->err);
    if (status != RM_OK || findings->errors) {
        return status;
    }
    status = rmi_graph_expand(graph, folder, findings);
    if (status != RM_OK || findings->errors) {
        return status == RM_OK ? RM_OK : rm_fail(findings->err, status, "no memory for a graph");
    }
    check_requires(graph->manifest, findings);
    status = read_nodes(graph, findings);
    if (status == RM_OK) {
        status = read_edges(graph, findings);
    }
    if (status == RM_OK) {
        check_endpoints(graph, "inputs", findings);
        check_endpoints(graph, "outputs", findings);
        status = check_cycles(graph, findings);
    }
    return status == RM_OK ? RM_OK : rm_fail(findings->err, status, "no memory for a graph");
}

rm_status rmi_graph_from_json(json_t *manifest, const rmi_source *source, rm_graph **ret_graph,
                              rm_report *report, rm_error *err)
{
    const char *text = source ? source->text : NULL;
    size_t bytes = source ? source->bytes : 0;
    RMI_AUTO(rm_graph) graph = RMI_NEW(rm_graph);
    if (graph) {
        atomic_init(&graph->refs, 1);
        graph->manifest = json_incref(manifest);
        graph->bytes = bytes;
        graph->text = text ? rmi_strndup(text, bytes) : NULL;
    }
    if (!graph || (text && !graph->text)) {
        return rm_fail(err, RM_ENOMEM, "no memory for a graph");
    }
    rm_error first = RM_ERROR_INIT;
    rmi_findings findings = rmi_findings_of(graph, report, &first);
    rm_status status = build(graph, source ? source->folder : NULL, &findings);
    if (status == RM_OK && findings.errors == 0) {
        *ret_graph = RMI_TAKE(graph);
        return RM_OK;
    }
    if (err) {
        *err = first;
    }
    return first.status;
}

rm_status rmi_graph_of_nodes(const char *json, size_t bytes, rm_graph **ret_graph, rm_error *err)
{
    RMI_AUTO(rm_graph) graph = RMI_NEW(rm_graph);
    if (!graph || !(graph->text = rmi_strndup(json, bytes))) {
        return rm_fail(err, RM_ENOMEM, "no memory for a graph");
    }
    atomic_init(&graph->refs, 1);
    graph->bytes = bytes;
    graph->manifest = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, NULL);
    const json_t *list = json_object_get(graph->manifest, "nodes");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *node = json_array_get(list, i), *params = json_object_get(node, "params");
        if (rmi_is_graph_node(node) || !json_is_string(json_object_get(node, "id")) ||
            !json_is_string(json_object_get(node, "node_type")) ||
            (params && !json_is_object(params))) {
            return RM_EINVAL; /* the parser has said so, or it has nodes that are not here */
        }
    }
    rmi_findings silent = rmi_findings_of(graph, NULL, NULL);
    if (json_array_size(list) == 0 || json_array_size(list) > RMI_GRAPH_NODES_MAX) {
        return RM_EINVAL;
    }
    if (read_nodes(graph, &silent) != RM_OK) {
        return rm_fail(err, RM_ENOMEM, "no memory for a graph");
    }
    *ret_graph = RMI_TAKE(graph);
    return RM_OK;
}

static bool is_blank(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (!strchr(" \t\r\n", text[i]) || text[i] == '\0') {
            return false;
        }
    }
    return true;
}

static rm_status syntax_error(const json_error_t *where, bool blank, rm_report *report,
                              rm_error *err)
{
    rm_error error = RM_ERROR_INIT;
    enum json_error_code code = json_error_code(where);
    if (code == json_error_out_of_memory) {
        return rm_fail(err, RM_ENOMEM, "no memory to read a manifest");
    }
    if (code == json_error_stack_overflow) {
        (void)rm_fail_as(&error, RM_CODE_MANIFEST_TOO_LARGE,
                         "the manifest is nested deeper than 2,048 levels");
    } else if (blank) {
        (void)rm_fail_as(&error, RM_CODE_MANIFEST_SYNTAX,
                         "the manifest is empty, want a JSON object");
        rm_error_help(&error, "the least is {\"version\": \"v1\", \"nodes\": [{\"id\": …, "
                              "\"node_type\": …}]}");
    } else {
        (void)rm_fail_as(&error,
                         code == json_error_duplicate_key ? RM_CODE_MANIFEST_DUPLICATE
                                                          : RM_CODE_MANIFEST_SYNTAX,
                         "the manifest is not valid JSON: %s", where->text);
    }
    uint32_t line = where->line > 0 ? (uint32_t)where->line : 1;
    uint32_t column = where->column > 0 ? (uint32_t)where->column : 1;
    rm_finding finding = {RM_SEVERITY_ERROR, error.code, line, column, "",
                          error.message,     error.help};
    rm_report_add(report, &finding);
    rm_error_wrap(&error, "line %u, column %u", line, column);
    if (err) {
        *err = error;
    }
    return error.status;
}

rm_status rm_graph_parse(const char *json, size_t bytes, rm_graph **ret_graph, rm_report *report,
                         rm_error *err)
{
    return rm_graph_parse_in(json, bytes, NULL, ret_graph, report, err);
}

rm_status rm_graph_parse_in(const char *json, size_t bytes, const char *folder,
                            rm_graph **ret_graph, rm_report *report, rm_error *err)
{
    json_error_t where;
    if (bytes > MANIFEST_BYTES_MAX) {
        rm_status status =
            rm_fail_as(err, RM_CODE_MANIFEST_TOO_LARGE,
                       "the manifest has %zu bytes, want at most %zu", bytes, MANIFEST_BYTES_MAX);
        rm_finding finding = {RM_SEVERITY_ERROR,
                              RM_CODE_MANIFEST_TOO_LARGE,
                              0,
                              0,
                              "",
                              "the manifest is over 64 MiB",
                              ""};
        rm_report_add(report, &finding);
        return status;
    }
    json_t *manifest = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, &where);
    if (!manifest) {
        return syntax_error(&where, is_blank(json, bytes), report, err);
    }
    rmi_source source = {json, bytes, folder};
    rm_status status = rmi_graph_from_json(manifest, &source, ret_graph, report, err);
    json_decref(manifest);
    return status;
}

rm_graph *rmi_graph_ref(const rm_graph *graph)
{
    rm_graph *shared = (rm_graph *)(uintptr_t)graph;
    atomic_fetch_add(&shared->refs, 1);
    return shared;
}

void rm_graph_free(rm_graph *graph)
{
    if (!graph || atomic_fetch_sub(&graph->refs, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        rmi_free(graph->nodes[i].params_json);
    }
    for (size_t i = 0; i < graph->edge_count; i++) {
        rmi_free((void *)(uintptr_t)graph->edges[i].when_json);
    }
    rmi_free(graph->nodes);
    rmi_free(graph->edges);
    rmi_free(graph->by_id);
    rmi_free(graph->text);
    rmi_expansion_free(graph->expansion);
    json_decref(graph->manifest);
    rmi_free(graph);
}

/* ---- reading it */

const char *rm_graph_name(const rm_graph *graph)
{
    const char *name =
        json_string_value(json_object_get(json_object_get(graph->manifest, "metadata"), "name"));
    return name ? name : "pipeline";
}

size_t rm_graph_node_count(const rm_graph *graph)
{
    return graph->node_count;
}

size_t rm_graph_edge_count(const rm_graph *graph)
{
    return graph->edge_count;
}

void rm_graph_node_at(const rm_graph *graph, size_t index, rm_graph_node *ret_node)
{
    const rmi_graph_node *node = &graph->nodes[index];
    const char *name = json_string_value(json_object_get(node->json, "name"));
    *ret_node = (rm_graph_node){.id = node->id,
                                .name = name ? name : node->id,
                                .node_type = node->node_type,
                                .params_json = node->params_json,
                                .line = node->line,
                                .column = node->column};
}

void rm_graph_edge_at(const rm_graph *graph, size_t index, rm_graph_edge *ret_edge)
{
    *ret_edge = graph->edges[index];
}

rm_status rm_graph_to_json(const rm_graph *graph, char **ret_json, rm_error *err)
{
    char *dump = json_dumps(graph->manifest, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    char *copy = dump ? rmi_strdup(dump) : NULL;
    free(dump);
    if (!copy) {
        return rm_fail(err, RM_ENOMEM, "no memory for a manifest");
    }
    *ret_json = copy;
    return RM_OK;
}
