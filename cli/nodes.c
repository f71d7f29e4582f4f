/* `remotemedia nodes [TYPE]`: what node types there are, and all about one of them. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const char *const kind_names[] = {"",     "boolean", "integer", "number",
                                         "text", "choice",  "JSON"};

/* ---- all types, native ones and those of the catalog, by name */

typedef struct type_list {
    size_t count;
    const rm_node_type *type[4096];
} type_list;

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const rm_node_type *const *)a)->name, (*(const rm_node_type *const *)b)->name);
}

static bool holds(const type_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->type[i]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void add(type_list *list, const rm_node_type *type)
{
    /* rm.input and rm.output are the plan's own. */
    if (strncmp(type->name, "rm.", 3) != 0 && !holds(list, type->name) &&
        list->count < sizeof list->type / sizeof *list->type) {
        list->type[list->count++] = type;
    }
}

static void collect(rm_registry *registry, type_list *list)
{
    const rm_node_type *type;
    rm_registry_load_all(registry, NULL, NULL); /* `doctor` tells of those that fail */
    for (size_t i = 0; i < rm_registry_count(registry); i++) {
        add(list, rm_registry_at(registry, i));
    }
    for (size_t i = 0; (type = cli_catalog_at(i)); i++) {
        add(list, type);
    }
    qsort(list->type, list->count, sizeof *list->type, by_name);
}

/* ---- JSON */

static json_t *ports_json(const rm_port *ports, bool outputs)
{
    json_t *list = json_array();
    for (const rm_port *p = ports; p && p->name; p++) {
        json_t *port = json_pack("{s:s, s:s?, s:s?, s:s?}", "name", p->name, "formats", p->formats,
                                 "same_as", p->same_as, "summary", p->summary);
        if (outputs) {
            json_object_set_new(port, "emit_max", json_integer(p->emit_max ? p->emit_max : 1));
        }
        json_array_append_new(list, port);
    }
    return list;
}

static json_t *choices_json(const char *choices)
{
    json_t *list = json_array();
    while (choices && *choices) {
        size_t length = strcspn(choices, "|");
        json_array_append_new(list, json_stringn(choices, length));
        choices += length + (choices[length] == '|');
    }
    return list;
}

static void set_bound(json_t *param, const char *key, double bound)
{
    if (isfinite(bound)) {
        json_object_set_new(param, key, json_real(bound));
    }
}

static json_t *params_json(const rm_param *params)
{
    json_t *list = json_array();
    for (const rm_param *p = params; p && p->name; p++) {
        json_t *preset =
            p->default_json ? json_loads(p->default_json, JSON_DECODE_ANY, NULL) : NULL;
        json_t *param = json_pack("{s:s, s:s, s:o?, s:s?, s:b, s:b, s:s?}", "name", p->name, "kind",
                                  kind_names[p->kind], "default", preset, "unit", p->unit,
                                  "required", (p->flags & RM_PARAM_REQUIRED) != 0, "live",
                                  (p->flags & RM_PARAM_LIVE) != 0, "summary", p->summary);
        if (p->min != 0 || p->max != 0) {
            set_bound(param, "min", p->min);
            set_bound(param, "max", p->max);
        }
        if (p->kind == RM_PARAM_ENUM) {
            json_object_set_new(param, "choices", choices_json(p->choices));
        }
        json_array_append_new(list, param);
    }
    return list;
}

static json_t *type_json(const rm_registry *registry, const rm_node_type *type)
{
    bool is_python = (type->flags & RM_NODE_PYTHON) != 0;
    json_t *json = json_pack(
        "{s:s, s:s?, s:s, s:s, s:o, s:o, s:o, s:s?}", "type", type->name, "summary", type->summary,
        "language", is_python ? "Python" : "native", "origin",
        is_python ? "remotemedia (Python wheel)" : rm_registry_origin(registry, type), "inputs",
        ports_json(type->inputs, false), "outputs", ports_json(type->outputs, true), "params",
        params_json(type->params), "example", type->example);
    json_t *needs = is_python ? json_object_get(cli_catalog_entry(type->name), "requires") : NULL;
    if (needs) {
        json_object_set(json, "requires", needs);
    }
    char *schema = NULL;
    if (rm_node_type_schema(type, &schema, NULL) == RM_OK) {
        json_object_set_new(json, "schema", json_loads(schema, 0, NULL));
        rm_free(schema);
    }
    return json;
}

/* ---- text */

/* Of a paragraph: what is longer is hard to read. */
static unsigned text_width(void)
{
    unsigned width = cli_width(STDOUT_FILENO);
    return width > 100 ? 100 : width;
}

static void print_ports(bool color, const char *title, const rm_port *ports)
{
    if (!ports || !ports[0].name) {
        return;
    }
    printf("\n%s%s%s\n", cli_paint(color, CLI_BOLD), title, cli_reset(color));
    for (const rm_port *p = ports; p->name; p++) {
        printf("  %s%-14s%s", cli_paint(color, CLI_CYAN), p->name, cli_reset(color));
        if (p->same_as) {
            printf("the format of '%s'", p->same_as);
        } else {
            printf("%s", p->formats ? p->formats : "any");
        }
        if (p->emit_max > 1) {
            printf("  (up to %u packets a call)", p->emit_max);
        }
        printf("\n");
        if (p->summary) {
            printf("%16s", "");
            cli_print_wrapped(stdout, p->summary, 16, text_width());
        }
    }
}

static void print_bounds(const rm_param *p)
{
    if (isinf(p->max)) {
        printf(", %.15g or more", p->min);
    } else if (isinf(p->min)) {
        printf(", %.15g or less", p->max);
    } else if (p->min != 0 || p->max != 0) {
        printf(", %.15g to %.15g", p->min, p->max);
    }
}

static void print_param(bool color, const rm_param *p)
{
    printf("  %s%-17s%s %s", cli_paint(color, CLI_CYAN), p->name, cli_reset(color),
           kind_names[p->kind]);
    if (p->kind == RM_PARAM_ENUM) {
        printf(" %s", p->choices);
    }
    if (p->unit) {
        printf(", %s", p->unit);
    }
    print_bounds(p);
    if (p->default_json) {
        printf(", default %s", p->default_json);
    }
    printf("%s%s\n", p->flags & RM_PARAM_REQUIRED ? ", required" : "",
           p->flags & RM_PARAM_LIVE ? ", may change while it runs" : "");
    if (p->summary) {
        printf("%20s", "");
        cli_print_wrapped(stdout, p->summary, 20, text_width());
    }
}

static void print_requires(bool color, const char *name)
{
    const json_t *needs = json_object_get(cli_catalog_entry(name), "requires");
    if (json_array_size(needs) == 0) {
        return;
    }
    printf("\n%sNeeds%s\n", cli_paint(color, CLI_BOLD), cli_reset(color));
    for (size_t i = 0; i < json_array_size(needs); i++) {
        const json_t *item = json_array_get(needs, i);
        const json_t *module = json_object_get(item, "module");
        const json_t *install = json_object_get(item, "install");
        if (json_is_string(item)) {
            printf("  %s\n", json_string_value(item));
        } else {
            printf("  %s%-18s%s%s\n", cli_paint(color, CLI_CYAN),
                   json_string_value(module) ? json_string_value(module) : "", cli_reset(color),
                   json_string_value(install) ? json_string_value(install) : "");
        }
    }
}

static void print_type(bool color, const rm_registry *registry, const rm_node_type *type)
{
    bool is_python = (type->flags & RM_NODE_PYTHON) != 0;
    printf("%s%s%s  %s\n", cli_paint(color, CLI_BOLD), type->name, cli_reset(color),
           type->summary ? type->summary : "");
    printf("%s%s%s%s\n", cli_paint(color, CLI_DIM),
           is_python ? "Python, from the wheel" : "native, ",
           is_python ? "" : rm_registry_origin(registry, type), cli_reset(color));
    print_ports(color, "Inputs", type->inputs);
    print_ports(color, "Outputs", type->outputs);
    if (type->params && type->params[0].name) {
        printf("\n%sParameters%s\n", cli_paint(color, CLI_BOLD), cli_reset(color));
    }
    for (const rm_param *p = type->params; p && p->name; p++) {
        print_param(color, p);
    }
    if (is_python) {
        print_requires(color, type->name);
    }
    if (type->example) {
        printf("\n%sExample%s\n  remotemedia run '%s'\n", cli_paint(color, CLI_BOLD),
               cli_reset(color), type->example);
    }
}

static void print_list(bool color, const type_list *list)
{
    int width = 12;
    for (size_t i = 0; i < list->count; i++) {
        int length = (int)strlen(list->type[i]->name);
        width = length > width ? length : width;
    }
    /* A line a type for programs that read it. */
    unsigned columns = isatty(STDOUT_FILENO) ? text_width() : UINT_MAX;
    for (size_t i = 0; i < list->count; i++) {
        const rm_node_type *type = list->type[i];
        char text[512];
        snprintf(text, sizeof text, "%s%s", type->summary ? type->summary : "",
                 type->flags & RM_NODE_PYTHON ? " (Python)" : "");
        printf("%s%-*s%s  ", cli_paint(color, CLI_BOLD), width, type->name, cli_reset(color));
        cli_print_wrapped(stdout, text, (unsigned)width + 2, columns);
    }
}

/* ---- the command */

static int show_all(const cli *state, rm_registry *registry)
{
    type_list *list = calloc(1, sizeof *list);
    if (!list) {
        rm_error err = RM_ERROR_INIT;
        (void)rm_fail(&err, RM_ENOMEM, "no memory for a list of node types");
        return cli_fail(state, &err, CLI_FAILED);
    }
    collect(registry, list);
    if (state->json) {
        json_t *json = json_array();
        for (size_t i = 0; i < list->count; i++) {
            json_array_append_new(json, type_json(registry, list->type[i]));
        }
        cli_print_json(json_pack("{s:o}", "nodes", json), 2);
    } else if (list->count == 0) {
        printf(
            "no node types are installed; `remotemedia doctor` shows where they are looked for\n");
    } else {
        print_list(state->color_out, list);
    }
    free(list);
    return CLI_OK;
}

static int show_one(const cli *state, rm_registry *registry, const char *name)
{
    rm_error err = RM_ERROR_INIT;
    const rm_node_type *type = NULL;
    rm_status status = rm_registry_find(registry, name, &type, &err);
    if (status == RM_ENOENT) {
        type = cli_catalog_find(name);
    }
    if (!type) {
        cli_near near = {.wanted = name};
        const rm_node_type *candidate;
        for (size_t i = 0; (candidate = cli_catalog_at(i)); i++) {
            cli_near_try(&near, candidate->name);
        }
        if (near.best && strncmp(err.help, "did you mean", 12) != 0) {
            rm_error_help(&err, "did you mean '%s'?", near.best);
        }
        return cli_fail(state, &err, status == RM_ENOENT ? CLI_USAGE : CLI_FAILED);
    }
    if (state->json) {
        return cli_print_json(type_json(registry, type), 2);
    }
    print_type(state->color_out, registry, type);
    return CLI_OK;
}

int cli_nodes(cli *state, const cli_arguments *arguments)
{
    rm_error err = RM_ERROR_INIT;
    rm_registry *registry = NULL;
    if (cli_registry_new(state, &registry, &err) != RM_OK) {
        return cli_fail(state, &err, CLI_FAILED);
    }
    int code = arguments->operand_count ? show_one(state, registry, arguments->operand[0])
                                        : show_all(state, registry);
    rm_registry_free(registry);
    return code;
}
