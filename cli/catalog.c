/* Python node types as this program knows them: from the wheel's catalog, embedded as JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "catalog_json.h" /* static const char catalog_json[] */
#include "cli.h"

enum { TYPE_NAME_BYTES = 256, CATALOG_TYPES_MAX = 256, OWNED_MAX = 4096 };

/* A node type made at run time, with what it points to. */
typedef struct made_type {
    char name[TYPE_NAME_BYTES]; /* of the node\'s own code */
    rm_node_type type;
    rm_port inputs[RM_PORTS_MAX + 1], outputs[RM_PORTS_MAX + 1];
    rm_param params[64];
} made_type;

static struct {
    json_t *root; /* NULL: not read yet */
    size_t count;
    made_type *types[CATALOG_TYPES_MAX];
} catalog;

static rm_status cannot_run(const char *id, const char *what, rm_error *err)
{
    rm_status status = rm_fail_as(
        err, RM_CODE_TIER_MISSING,
        "node '%.80s' (%.80s) is Python code, and this program cannot run Python nodes until "
        "worker processes exist",
        id, what);
    rm_error_help(err, "run it with the `remotemedia` command of the Python wheel: "
                       "`pip install remotemedia`");
    return status;
}

static rm_status refuse(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    return cannot_run(node->id, node->type->name, err);
}

/* ---- JSON to tables; texts are borrowed from the JSON or kept until the process ends */

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* [[name, formats], …] or [{name, formats, summary}, …]. */
static void read_ports(const json_t *list, rm_port *ports)
{
    for (size_t i = 0; i < json_array_size(list) && i < RM_PORTS_MAX; i++) {
        const json_t *item = json_array_get(list, i);
        if (json_is_array(item)) {
            ports[i].name = json_string_value(json_array_get(item, 0));
            ports[i].formats = json_string_value(json_array_get(item, 1));
        } else if (json_is_string(item)) {
            ports[i].name = json_string_value(item);
        } else {
            ports[i].name = text_of(item, "name");
            ports[i].formats = text_of(item, "formats");
            ports[i].summary = text_of(item, "summary");
        }
    }
}

/* "a|b", or a list of texts, which is joined. */
static const char *read_choices(const json_t *choices)
{
    char joined[512] = "";
    for (size_t i = 0; i < json_array_size(choices); i++) {
        size_t used = strlen(joined);
        snprintf(joined + used, sizeof joined - used, "%s%s", used ? "|" : "",
                 json_string_value(json_array_get(choices, i)));
    }
    return json_is_array(choices) ? strdup(joined) : json_string_value(choices);
}

static uint32_t kind_of(const char *name)
{
    static const char *const kinds[] = {"", "bool", "int", "float", "string", "enum", "json"};
    for (uint32_t i = 1; name && i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i], name) == 0) {
            return i;
        }
    }
    return RM_PARAM_JSON;
}

/* Of one bound alone the other side is open. */
static void read_bounds(const json_t *item, rm_param *p)
{
    const json_t *min = json_object_get(item, "min"), *max = json_object_get(item, "max");
    bool is_bound = json_is_number(min) || json_is_number(max);
    p->min = json_is_number(min) ? json_number_value(min) : is_bound ? -INFINITY : 0;
    p->max = json_is_number(max) ? json_number_value(max) : is_bound ? INFINITY : 0;
}

static void read_params(const json_t *list, made_type *made)
{
    size_t count = 0;
    for (; count < json_array_size(list) && count < 63; count++) {
        const json_t *item = json_array_get(list, count);
        const json_t *preset = json_object_get(item, "default");
        rm_param *p = &made->params[count];
        p->name = text_of(item, "name");
        p->kind = kind_of(text_of(item, "kind"));
        p->flags = (json_is_true(json_object_get(item, "required")) ? RM_PARAM_REQUIRED : 0u) |
                   (json_is_true(json_object_get(item, "live")) ? RM_PARAM_LIVE : 0u);
        p->offset = count * sizeof(double);
        p->default_json = preset && !json_is_null(preset)
                              ? json_dumps(preset, JSON_ENCODE_ANY | JSON_COMPACT)
                              : NULL;
        read_bounds(item, p);
        p->unit = text_of(item, "unit");
        p->choices = read_choices(json_object_get(item, "choices"));
        p->summary = text_of(item, "summary");
    }
    made->type.params = json_is_array(list) ? made->params : NULL;
    made->type.params_size = (count + 1) * sizeof(double);
}

static made_type *made_type_new(const char *name)
{
    made_type *made = calloc(1, sizeof *made);
    if (made) {
        made->type = (rm_node_type){.struct_size = sizeof made->type,
                                    .name = name,
                                    .flags = RM_NODE_PYTHON,
                                    .inputs = made->inputs,
                                    .outputs = made->outputs,
                                    .process = refuse};
    }
    return made;
}

static void read_catalog(void)
{
    if (catalog.root) {
        return;
    }
    const char *name;
    json_t *entry;
    catalog.root = json_loads(catalog_json, 0, NULL);
    json_object_foreach(catalog.root, name, entry)
    {
        made_type *made = catalog.count < CATALOG_TYPES_MAX ? made_type_new(name) : NULL;
        if (!made) {
            return;
        }
        made->type.summary = text_of(entry, "summary");
        made->type.example = text_of(entry, "example");
        read_ports(json_object_get(entry, "inputs"), made->inputs);
        read_ports(json_object_get(entry, "outputs"), made->outputs);
        read_params(json_object_get(entry, "params"), made);
        catalog.types[catalog.count++] = made;
    }
}

const rm_node_type *cli_catalog_at(size_t index)
{
    read_catalog();
    return index < catalog.count ? &catalog.types[index]->type : NULL;
}

const rm_node_type *cli_catalog_find(const char *name)
{
    const rm_node_type *type;
    for (size_t i = 0; (type = cli_catalog_at(i)); i++) {
        if (strcmp(type->name, name) == 0) {
            return type;
        }
    }
    return NULL;
}

const json_t *cli_catalog_entry(const char *name)
{
    read_catalog();
    return json_object_get(catalog.root, name);
}

/* ---- the tier */

struct cli_python_tier {
    rm_tier_type tier;
    cli_purpose purpose;
    const rm_graph *graph;
    json_t *manifest; /* for its inputs and outputs */
};

static void add_port(rm_port *ports, const char *name)
{
    size_t i = 0;
    while (i < RM_PORTS_MAX && ports[i].name) {
        if (strcmp(ports[i].name, name) == 0) {
            return;
        }
        i++;
    }
    if (i < RM_PORTS_MAX) {
        ports[i].name = name;
    }
}

static void add_endpoints(const json_t *endpoints, const char *id, rm_port *ports,
                          const char *unnamed)
{
    const char *key;
    json_t *endpoint;
    json_object_foreach((json_t *)(uintptr_t)endpoints, key, endpoint)
    {
        const char *node = text_of(endpoint, "node"), *port = text_of(endpoint, "port");
        if (node && strcmp(node, id) == 0) {
            add_port(ports, port ? port : unnamed);
        }
    }
}

/* The ports of the user's own code are taken from how the graph uses it. */
static void use_ports(const cli_python_tier *tier, const char *id, made_type *made)
{
    rm_graph_edge edge;
    rm_graph_node node;
    for (size_t i = 0; tier->graph && i < rm_graph_edge_count(tier->graph); i++) {
        rm_graph_edge_at(tier->graph, i, &edge);
        rm_graph_node_at(tier->graph, edge.to_node, &node);
        if (strcmp(node.id, id) == 0) {
            add_port(made->inputs, edge.to_port_name ? edge.to_port_name : "input");
        }
        rm_graph_node_at(tier->graph, edge.from_node, &node);
        if (strcmp(node.id, id) == 0) {
            add_port(made->outputs, edge.from_port_name ? edge.from_port_name : "output");
        }
    }
    add_endpoints(json_object_get(tier->manifest, "inputs"), id, made->inputs, "input");
    add_endpoints(json_object_get(tier->manifest, "outputs"), id, made->outputs, "output");
}

static rm_status make_type(void *context, const rm_node_spec *spec, const rm_node_type **ret_type,
                           rm_error *err)
{
    const cli_python_tier *tier = context;
    const rm_node_type *known = cli_catalog_find(spec->node_type);
    bool is_code = spec->code || spec->instance || strchr(spec->node_type, ':');
    if (!known && !is_code) {
        return RM_ENOENT;
    }
    if (tier->purpose == CLI_TO_RUN) {
        return cannot_run(spec->id, spec->code ? spec->code : spec->node_type, err);
    }
    if (known && !is_code) {
        *ret_type = known;
        return RM_OK;
    }
    made_type *made = made_type_new("");
    if (!made) {
        return rm_fail(err, RM_ENOMEM, "no memory for a node type");
    }
    snprintf(made->name, sizeof made->name, "%s", spec->node_type);
    made->type.name = made->name;
    use_ports(tier, spec->id, made);
    made->type.user = made;
    *ret_type = &made->type;
    return RM_OK;
}

static void release_type(void *context, const rm_node_type *type)
{
    (void)context;
    free(type->user); /* NULL in the catalog's */
}

rm_status cli_python_tier_new(cli_purpose purpose, cli_python_tier **ret_tier, rm_error *err)
{
    cli_python_tier *tier = calloc(1, sizeof *tier);
    if (!tier) {
        return rm_fail(err, RM_ENOMEM, "no memory for a tier");
    }
    tier->purpose = purpose;
    tier->tier = (rm_tier_type){.struct_size = sizeof tier->tier,
                                .name = "cpython",
                                .summary = "Python nodes, which this program knows but cannot run",
                                .make_type = make_type,
                                .release_type = release_type,
                                .context = tier};
    *ret_tier = tier;
    return RM_OK;
}

void cli_python_tier_free(cli_python_tier *tier)
{
    if (tier) {
        json_decref(tier->manifest);
        free(tier);
    }
}

void cli_python_tier_set_graph(cli_python_tier *tier, const rm_graph *graph)
{
    char *text = NULL;
    if (!tier) {
        return;
    }
    tier->graph = graph;
    json_decref(tier->manifest);
    tier->manifest = NULL;
    if (rm_graph_to_json(graph, &text, NULL) == RM_OK) {
        tier->manifest = json_loads(text, 0, NULL);
        rm_free(text);
    }
}

rm_status cli_python_tier_add(cli_python_tier *tier, rm_registry *registry, rm_error *err)
{
    return rm_registry_add_tier(registry, &tier->tier, err);
}
