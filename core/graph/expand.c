#include "graph/expand.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/near.h"
#include "graph/schema.h"

#define FILES_BYTES_MAX ((size_t)64 << 20) /* of all of them */
enum { ID_BYTES_MAX = 95, POINTER_BYTES = 256 };

typedef struct expanding {
    rmi_expansion *x;
    rmi_findings *findings;
    const char *folder;
    size_t file_bytes;
    json_t *nodes, *edges; /* flat */
    bool no_memory;
} expanding;

/* Which side of a graph: names of its ports are under `ports`. */
typedef struct side {
    const char *ports, *word, *end, *port; /* in the manifest, for people, in a connection */
    bool is_output;
} side;

static const side inputs = {"inputs", "input", "to", "to_port", false};
static const side outputs = {"outputs", "output", "from", "from_port", true};

bool rmi_is_graph_node(const json_t *node)
{
    const char *type = json_string_value(json_object_get(node, "node_type"));
    return type && strcmp(type, "graph") == 0;
}

/* ---- findings in a part */

__attribute__((format(printf, 5, 6))) static void tell(expanding *e, uint32_t part, rm_code code,
                                                       const char *pointer, const char *format, ...)
{
    rm_error error = RM_ERROR_INIT;
    char message[RM_ERROR_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    (void)rm_fail_as(&error, code, "%s", message);
    rmi_findings_add_in(e->findings, part, RM_SEVERITY_ERROR, pointer, &error);
}

typedef struct checking {
    expanding *e;
    uint32_t part;
} checking;

static void schema_found(void *context, const rmi_schema_finding *found)
{
    checking *c = context;
    rm_error error = RM_ERROR_INIT;
    (void)rm_fail_as(&error, found->code, "%s", found->message);
    rm_error_help(&error, "%s", found->help);
    rmi_findings_add_in(c->e->findings, c->part, found->severity, found->pointer, &error);
}

/* ---- files */

/* A path that climbs out of the folder that it is meant in. */
static bool climbs(const char *path)
{
    int depth = 0;
    while (*path && depth >= 0) {
        size_t length = strcspn(path, "/");
        if (length == 2 && strncmp(path, "..", 2) == 0) {
            depth--;
        } else if (length > 0 && !(length == 1 && path[0] == '.')) {
            depth++;
        }
        path += length + (path[length] == '/');
    }
    return depth < 0;
}

/* Of a file beside the part that names it. NULL: no memory. */
static char *path_beside(const rmi_expansion *x, uint32_t part, const char *file)
{
    while (part != 0 && !x->parts[part].file) {
        part = x->parts[part].parent;
    }
    const char *from = part != 0 ? x->parts[part].path : "";
    const char *slash = strrchr(from, '/');
    size_t folder = slash && file[0] != '/' ? (size_t)(slash - from) + 1 : 0;
    size_t bytes = folder + strlen(file) + 1;
    char *path = rmi_calloc(bytes, 1);
    if (path) {
        snprintf(path, bytes, "%.*s%s", (int)folder, from, file);
    }
    return path;
}

static rm_status read_text(expanding *e, int fd, rmi_part *part, rm_error *err)
{
    struct stat about;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        return rm_fail_as(err, RM_CODE_MANIFEST_VALUE, "'%.80s' is no file", part->file);
    }
    size_t bytes = (size_t)about.st_size;
    if (bytes > FILES_BYTES_MAX - e->file_bytes) {
        return rm_fail_as(err, RM_CODE_MANIFEST_TOO_LARGE,
                          "the manifests have more than 64 MiB with '%.80s'", part->file);
    }
    part->text = rmi_calloc(bytes + 1, 1);
    if (!part->text) {
        return rm_fail(err, RM_ENOMEM, "no memory for a manifest");
    }
    while (part->bytes < bytes) {
        ssize_t got = read(fd, part->text + part->bytes, bytes - part->bytes);
        if (got <= 0) {
            break; /* it became shorter */
        }
        part->bytes += (size_t)got;
    }
    e->file_bytes += part->bytes;
    return RM_OK;
}

static rm_status open_file(expanding *e, rmi_part *part, rm_error *err)
{
    char whole[4096];
    if (!e->folder) {
        return rm_fail_as(err, RM_CODE_MANIFEST_VALUE,
                          "graph is the file '%.80s', and this manifest is in no folder",
                          part->file);
    }
    if (part->file[0] != '/' && climbs(part->file)) {
        return rm_fail_as(err, RM_CODE_MANIFEST_VALUE,
                          "graph is '%.80s', want a file in the manifest's folder or below, or an "
                          "absolute path",
                          part->file);
    }
    bool is_absolute = part->path[0] == '/';
    int length = snprintf(whole, sizeof whole, "%s%s%s", is_absolute ? "" : e->folder,
                          is_absolute || !e->folder[0] ? "" : "/", part->path);
    int fd = length < (int)sizeof whole ? open(whole, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0) {
        return rm_fail_as(err, RM_CODE_MANIFEST_VALUE, "cannot open the graph '%.200s'", whole);
    }
    rm_status status = read_text(e, fd, part, err);
    close(fd);
    return status;
}

/* A file that is inside of itself would never end. */
static rm_status check_chain(const rmi_expansion *x, const rmi_part *part, rm_error *err)
{
    char chain[300];
    size_t used = (size_t)snprintf(chain, sizeof chain, "%.60s", part->path);
    for (uint32_t p = part->parent; p != 0; p = x->parts[p].parent) {
        const char *path = x->parts[p].path;
        if (path && used < sizeof chain) {
            used += (size_t)snprintf(chain + used, sizeof chain - used, " <- %.60s", path);
        }
        if (path && strcmp(path, part->path) == 0) {
            return rm_fail_as(err, RM_CODE_CONNECTION_CYCLE, "a graph is inside of itself: %s",
                              chain);
        }
    }
    return RM_OK;
}

static rm_status read_file(expanding *e, rmi_part *part, rm_error *err)
{
    json_error_t where;
    rm_status status = check_chain(e->x, part, err);
    if (status == RM_OK) {
        status = open_file(e, part, err);
    }
    if (status != RM_OK) {
        return status;
    }
    part->json = json_loadb(part->text, part->bytes, JSON_REJECT_DUPLICATES, &where);
    return part->json ? RM_OK
                      : rm_fail_as(err, RM_CODE_MANIFEST_SYNTAX,
                                   "%.80s, line %d, column %d: not valid JSON: %s", part->file,
                                   where.line, where.column, where.text);
}

/* ---- parts */

static rmi_part *add_part(expanding *e)
{
    rmi_expansion *x = e->x;
    if (x->part_count == x->part_capacity) {
        size_t capacity = x->part_capacity ? 2 * x->part_capacity : 4;
        rmi_part *grown = rmi_realloc(x->parts, capacity * sizeof *grown);
        if (!grown) {
            return NULL;
        }
        x->parts = grown;
        x->part_capacity = capacity;
    }
    rmi_part *part = &x->parts[x->part_count++];
    memset(part, 0, sizeof *part);
    return part;
}

/* Ids of the nodes that are at neither end of a connection: at `end`, "to" or "from". */
static json_t *loose_ends(const json_t *manifest, bool is_output)
{
    const json_t *nodes = json_object_get(manifest, "nodes");
    const json_t *list = json_object_get(manifest, "connections");
    json_t *loose = json_array(), *used = json_object();
    size_t count = json_array_size(nodes);
    for (size_t i = 0; i < count; i++) { /* what is a fallback is connected by that */
        const json_t *on_error = json_object_get(json_array_get(nodes, i), "on_error");
        const char *spare = json_string_value(json_object_get(on_error, "fallback"));
        if (spare) {
            json_object_set_new(used, spare, json_true());
        }
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *end = is_output ? "from" : "to";
        const json_t *id = json_object_get(json_array_get(list, i), end);
        json_object_set_new(used, json_string_value(id), json_true());
    }
    for (size_t i = 0; i < count; i++) {
        json_t *id = json_object_get(json_array_get(nodes, i), "id");
        bool chained = !list && i != (is_output ? count - 1 : 0);
        if (!chained && !json_object_get(used, json_string_value(id))) {
            json_array_append(loose, id);
        }
    }
    json_decref(used);
    return loose;
}

static bool copy_text(char **target, const char *text)
{
    *target = rmi_strdup(text);
    return *target != NULL;
}

/* What the manifest around it says of the part: where it stands, and its text. */
static rm_status fill_part(expanding *e, rmi_part *part, const json_t *node, size_t index,
                           rm_error *err)
{
    const rmi_part *around = &e->x->parts[part->parent];
    json_t *given = json_object_get(node, "graph");
    char pointer[48], prefix[ID_BYTES_MAX * 2];
    snprintf(pointer, sizeof pointer, "/nodes/%zu/graph", index);
    snprintf(prefix, sizeof prefix, "%.90s%.95s__", around->prefix, part->id);
    if (!copy_text(&part->pointer, pointer) || !copy_text(&part->prefix, prefix)) {
        return rm_fail(err, RM_ENOMEM, "no memory for a graph");
    }
    if (!json_is_string(given)) {
        part->json = json_incref(given);
        return RM_OK;
    }
    part->path = path_beside(e->x, part->parent, json_string_value(given));
    if (!part->path || !copy_text(&part->file, json_string_value(given))) {
        return rm_fail(err, RM_ENOMEM, "no memory for a graph");
    }
    return read_file(e, part, err);
}

/* False: the part cannot be looked into; that was told. */
static bool check_part(expanding *e, uint32_t number)
{
    unsigned before = e->findings->errors;
    checking context = {e, number};
    rmi_part *part = &e->x->parts[number];
    rm_error error = RM_ERROR_INIT;
    if (rmi_schema_check_manifest(part->json, schema_found, &context, &error) != RM_OK) {
        e->no_memory = true;
        return false;
    }
    if (e->findings->errors != before) {
        return false;
    }
    part->inlets = loose_ends(part->json, false);
    part->outlets = loose_ends(part->json, true);
    e->no_memory |= !part->inlets || !part->outlets;
    return !e->no_memory;
}

static void expand_part(expanding *e, uint32_t number);

static void expand_node(expanding *e, uint32_t around, const json_t *node, size_t index)
{
    char pointer[48];
    rm_error error = RM_ERROR_INIT;
    const char *id = json_string_value(json_object_get(node, "id"));
    uint32_t level = e->x->parts[around].level + 1;
    snprintf(pointer, sizeof pointer, "/nodes/%zu", index);
    if (!json_object_get(node, "graph")) {
        tell(e, around, RM_CODE_MANIFEST_MISSING, pointer,
             "node '%s' is a graph, and lacks the field \"graph\" that says which", id);
        return;
    }
    if (json_integer_value(json_object_get(node, "parallel")) > 1) {
        char field[64];
        snprintf(field, sizeof field, "%s/parallel", pointer);
        tell(e, around, RM_CODE_MANIFEST_VALUE, field,
             "node '%s' is a graph, which runs once: give parallel to nodes in it", id);
        return;
    }
    if (level > RMI_EXPAND_LEVELS_MAX) {
        tell(e, around, RM_CODE_MANIFEST_TOO_LARGE, pointer,
             "node '%s' is a graph in more than %d others", id, RMI_EXPAND_LEVELS_MAX);
        return;
    }
    rmi_part *part = add_part(e);
    if (!part) {
        e->no_memory = true;
        return;
    }
    uint32_t number = (uint32_t)e->x->part_count - 1;
    part->parent = around;
    part->level = level;
    part->id = id;
    rm_status status = fill_part(e, part, node, index, &error);
    if (status == RM_ENOMEM) {
        e->no_memory = true;
    } else if (status != RM_OK) {
        snprintf(pointer, sizeof pointer, "/nodes/%zu/graph", index);
        rmi_findings_add_in(e->findings, around, RM_SEVERITY_ERROR, pointer, &error);
    } else if (check_part(e, number)) {
        expand_part(e, number);
    }
}

/* ---- nodes */

/* An id of another node of the part, where a field holds one. */
static void rename_reference(json_t *node, const char *field, const char *member,
                             const char *prefix)
{
    json_t *object = json_object_get(node, field);
    const char *id = json_string_value(json_object_get(object, member));
    if (id && json_is_object(object)) {
        json_t *copy = json_copy(object);
        json_object_set_new(copy, member, json_sprintf("%s%s", prefix, id));
        json_object_set_new(node, field, copy);
    }
}

static void add_node(expanding *e, uint32_t number, const json_t *node, size_t index)
{
    rmi_expansion *x = e->x;
    const char *prefix = x->parts[number].prefix;
    const char *id = json_string_value(json_object_get(node, "id"));
    char pointer[48];
    snprintf(pointer, sizeof pointer, "/nodes/%zu", index);
    if (x->node_count == RMI_GRAPH_NODES_MAX) {
        tell(e, number, RM_CODE_MANIFEST_TOO_LARGE, pointer,
             "the graphs have more than %d nodes together", RMI_GRAPH_NODES_MAX);
        return;
    }
    if (strlen(prefix) + strlen(id) > ID_BYTES_MAX) {
        tell(e, number, RM_CODE_MANIFEST_VALUE, pointer,
             "the id '%s%s' has more than %d characters", prefix, id, ID_BYTES_MAX);
        return;
    }
    json_t *copy = json_copy((json_t *)(uintptr_t)node);
    json_object_set_new(copy, "id", json_sprintf("%s%s", prefix, id));
    rename_reference(copy, "placement", "with", prefix);
    rename_reference(copy, "on_error", "fallback", prefix);
    e->no_memory |= json_array_append_new(e->nodes, copy) != 0;
    x->nodes[x->node_count++] = (rmi_origin){number, (uint32_t)index};
}

/* ---- connections */

/* The part that a node of a part is; 0: it is no graph. */
static uint32_t part_of(const rmi_expansion *x, uint32_t around, const char *id)
{
    for (uint32_t p = 1; p < x->part_count; p++) {
        if (x->parts[p].parent == around && strcmp(x->parts[p].id, id) == 0) {
            return p;
        }
    }
    return 0;
}

typedef struct asked {
    uint32_t part;       /* where it is asked */
    const char *pointer; /* of what asks, there */
    const side *side;
} asked;

static void resolve(expanding *e, const asked *who, uint32_t around, const char *id,
                    const char *port, json_t *ends);

static void resolve_named(expanding *e, const asked *who, uint32_t part, const char *port,
                          json_t *ends)
{
    const json_t *named = json_object_get(e->x->parts[part].json, who->side->ports);
    const json_t *entry = json_object_get(named, port);
    if (entry) {
        resolve(e, who, part, json_string_value(json_object_get(entry, "node")),
                json_string_value(json_object_get(entry, "port")), ends);
        return;
    }
    rmi_near near = {.wanted = port};
    const char *name;
    json_t *ignored;
    json_object_foreach((json_t *)(uintptr_t)named, name, ignored)
    {
        rmi_near_try(&near, name);
    }
    rm_error error = RM_ERROR_INIT;
    (void)rm_fail_as(&error, RM_CODE_CONNECTION_DANGLING, "graph '%s' has no %s '%.60s'",
                     e->x->parts[part].id, who->side->word, port);
    const char *best = rmi_near_result(&near);
    if (best) {
        rm_error_help(&error, "did you mean '%s'?", best);
    }
    rmi_findings_add_in(e->findings, who->part, RM_SEVERITY_ERROR, who->pointer, &error);
}

/* Those that it names, else the nodes that nothing feeds, or that feed nothing. */
static void resolve_all(expanding *e, const asked *who, uint32_t part, json_t *ends)
{
    const rmi_part *inner = &e->x->parts[part];
    json_t *named = json_object_get(inner->json, who->side->ports), *entry;
    const json_t *loose = who->side->is_output ? inner->outlets : inner->inlets;
    const char *name;
    if (json_object_size(named) > 0) {
        json_object_foreach(named, name, entry)
        {
            resolve_named(e, who, part, name, ends);
        }
        return;
    }
    for (size_t i = 0; i < json_array_size(loose); i++) {
        resolve(e, who, part, json_string_value(json_array_get(loose, i)), NULL, ends);
    }
}

/* Appends [id, port] of the flat nodes that are meant by a node of a part and its port. */
static void resolve(expanding *e, const asked *who, uint32_t around, const char *id,
                    const char *port, json_t *ends)
{
    uint32_t part = part_of(e->x, around, id);
    if (json_array_size(ends) > RMI_GRAPH_EDGES_MAX) {
        return; /* the connections will be too many */
    }
    if (part == 0) {
        json_t *name = json_sprintf("%s%s", e->x->parts[around].prefix, id);
        json_t *end = json_pack("[o, s?]", name, port);
        e->no_memory |= json_array_append_new(ends, end) != 0;
    } else if (!e->x->parts[part].inlets) {
        return; /* what is wrong in it was told */
    } else if (port) {
        resolve_named(e, who, part, port, ends);
    } else {
        resolve_all(e, who, part, ends);
    }
}

static void set_end(json_t *edge, const side *at, const json_t *end)
{
    json_t *port = json_array_get(end, 1);
    json_object_set(edge, at->end, json_array_get(end, 0));
    if (json_is_string(port)) {
        json_object_set(edge, at->port, port);
    } else {
        json_object_del(edge, at->port);
    }
}

static void add_edge(expanding *e, const asked *who, const json_t *given, const json_t *from,
                     const json_t *to)
{
    rmi_expansion *x = e->x;
    if (x->edge_count == RMI_GRAPH_EDGES_MAX) {
        tell(e, who->part, RM_CODE_MANIFEST_TOO_LARGE, who->pointer,
             "the graphs have more than %d connections together", RMI_GRAPH_EDGES_MAX);
        return;
    }
    unsigned long index = strtoul(who->pointer + strlen("/connections/"), NULL, 10);
    json_t *edge = json_copy((json_t *)(uintptr_t)given);
    set_end(edge, &outputs, from);
    set_end(edge, &inputs, to);
    e->no_memory |= json_array_append_new(e->edges, edge) != 0;
    x->edges[x->edge_count++] = (rmi_origin){who->part, (uint32_t)index};
}

static void add_edges(expanding *e, uint32_t part, const json_t *given, size_t index)
{
    char pointer[48];
    snprintf(pointer, sizeof pointer, "/connections/%zu", index);
    json_t *from = json_array(), *to = json_array();
    asked leaves = {part, pointer, &outputs}, reaches = {part, pointer, &inputs};
    resolve(e, &leaves, part, json_string_value(json_object_get(given, "from")),
            json_string_value(json_object_get(given, "from_port")), from);
    resolve(e, &reaches, part, json_string_value(json_object_get(given, "to")),
            json_string_value(json_object_get(given, "to_port")), to);
    unsigned before = e->findings->errors;
    for (size_t i = 0; i < json_array_size(from); i++) {
        for (size_t k = 0; k < json_array_size(to) && e->findings->errors == before; k++) {
            add_edge(e, &leaves, given, json_array_get(from, i), json_array_get(to, k));
        }
    }
    json_decref(from);
    json_decref(to);
}

static void expand_edges(expanding *e, uint32_t part)
{
    const json_t *manifest = e->x->parts[part].json;
    const json_t *list = json_object_get(manifest, "connections");
    const json_t *nodes = json_object_get(manifest, "nodes");
    for (size_t i = 0; i < json_array_size(list) && e->findings->errors == 0; i++) {
        add_edges(e, part, json_array_get(list, i), i);
    }
    for (size_t i = 1; !list && i < json_array_size(nodes) && e->findings->errors == 0; i++) {
        json_t *chained =
            json_pack("{s:O, s:O}", "from", json_object_get(json_array_get(nodes, i - 1), "id"),
                      "to", json_object_get(json_array_get(nodes, i), "id"));
        add_edges(e, part, chained, i - 1);
        json_decref(chained);
    }
}

/* ---- the whole */

static void expand_part(expanding *e, uint32_t number)
{
    const json_t *nodes = json_object_get(e->x->parts[number].json, "nodes");
    for (size_t i = 0; i < json_array_size(nodes) && !e->no_memory; i++) {
        const json_t *node = json_array_get(nodes, i);
        if (e->x->node_count == RMI_GRAPH_NODES_MAX && e->findings->errors) {
            return;
        }
        if (rmi_is_graph_node(node)) {
            expand_node(e, number, node, i);
        } else {
            add_node(e, number, node, i);
        }
    }
    expand_edges(e, number);
}

/* Ports of the outer graph lead to nodes of the flat one. */
static void expand_endpoints(expanding *e, json_t *flat, const side *at)
{
    json_t *given = json_object_get(flat, at->ports), *endpoint;
    json_t *made = given ? json_object() : NULL;
    const char *name;
    json_object_foreach(given, name, endpoint)
    {
        char pointer[POINTER_BYTES];
        json_t *ends = json_array();
        snprintf(pointer, sizeof pointer, "/%s/%.100s", at->ports, name);
        asked who = {0, pointer, at};
        resolve(e, &who, 0, json_string_value(json_object_get(endpoint, "node")),
                json_string_value(json_object_get(endpoint, "port")), ends);
        if (json_array_size(ends) != 1 && e->findings->errors == 0) {
            tell(e, 0, RM_CODE_CONNECTION_DANGLING, pointer,
                 "'%.60s' is %zu ports of a graph, want one: name it by \"port\"", name,
                 json_array_size(ends));
        }
        const json_t *end = json_array_get(ends, 0);
        json_object_set_new(
            made, name,
            json_pack("{s:O, s:O*}", "node", json_array_get(end, 0), "port",
                      json_is_string(json_array_get(end, 1)) ? json_array_get(end, 1) : NULL));
        json_decref(ends);
    }
    if (made) {
        json_object_set_new(flat, at->ports, made);
    }
}

/* What a reader must know, and packages, count for the whole. */
static void gather(expanding *e, json_t *flat, const char *field)
{
    json_t *list = json_array();
    for (size_t p = 0; p < e->x->part_count; p++) {
        json_t *own = json_object_get(e->x->parts[p].json, field);
        e->no_memory |= own && json_array_extend(list, own) != 0;
    }
    if (json_array_size(list) > 0) {
        json_object_set(flat, field, list);
    }
    json_decref(list);
}

static json_t *flatten(expanding *e, json_t *manifest)
{
    json_t *flat = json_copy(manifest);
    expand_part(e, 0);
    json_object_set(flat, "nodes", e->nodes);
    json_object_set(flat, "connections", e->edges);
    expand_endpoints(e, flat, &inputs);
    expand_endpoints(e, flat, &outputs);
    gather(e, flat, "requires");
    gather(e, flat, "packages");
    if (e->x->node_count == 0 && e->findings->errors == 0) {
        tell(e, 0, RM_CODE_MANIFEST_VALUE, "/nodes", "the graphs have no nodes");
    }
    return flat;
}

static bool has_graph_node(const json_t *manifest)
{
    const json_t *nodes = json_object_get(manifest, "nodes");
    bool found = false;
    for (size_t i = 0; i < json_array_size(nodes) && !found; i++) {
        found = rmi_is_graph_node(json_array_get(nodes, i));
    }
    return found;
}

rm_status rmi_graph_expand(rm_graph *graph, const char *folder, rmi_findings *findings)
{
    if (!has_graph_node(graph->manifest)) {
        return RM_OK;
    }
    graph->expansion = RMI_NEW(rmi_expansion);
    expanding e = {.x = graph->expansion,
                   .findings = findings,
                   .folder = folder,
                   .nodes = json_array(),
                   .edges = json_array()};
    rmi_part *outer = e.x ? add_part(&e) : NULL;
    json_t *flat = NULL;
    if (outer && copy_text(&outer->prefix, "")) {
        outer->json = json_incref(graph->manifest);
        findings->expansion = e.x;
        flat = flatten(&e, graph->manifest);
        findings->flat = true;
    }
    json_decref(e.nodes);
    json_decref(e.edges);
    if (!flat || e.no_memory) {
        json_decref(flat);
        return RM_ENOMEM;
    }
    json_decref(graph->manifest);
    graph->manifest = flat;
    return RM_OK;
}

void rmi_expansion_free(rmi_expansion *x)
{
    for (size_t i = 0; x && i < x->part_count; i++) {
        rmi_part *part = &x->parts[i];
        rmi_free(part->prefix);
        rmi_free(part->pointer);
        rmi_free(part->file);
        rmi_free(part->path);
        rmi_free(part->text);
        json_decref(part->json);
        json_decref(part->inlets);
        json_decref(part->outlets);
    }
    if (x) {
        rmi_free(x->parts);
    }
    rmi_free(x);
}

uint32_t rmi_expansion_locate(const rmi_expansion *x, const char *pointer, char *ret_pointer,
                              size_t size)
{
    static const char nodes[] = "/nodes/", edges[] = "/connections/";
    bool is_node = strncmp(pointer, nodes, strlen(nodes)) == 0;
    bool is_edge = strncmp(pointer, edges, strlen(edges)) == 0;
    const char *list = is_node ? nodes : edges;
    char *rest;
    snprintf(ret_pointer, size, "%s", pointer);
    if (!is_node && !is_edge) {
        return 0;
    }
    unsigned long index = strtoul(pointer + strlen(list), &rest, 10);
    if (index >= (is_node ? x->node_count : x->edge_count)) {
        return 0;
    }
    rmi_origin origin = is_node ? x->nodes[index] : x->edges[index];
    snprintf(ret_pointer, size, "%s%u%s", list, origin.index, rest);
    return origin.part;
}
