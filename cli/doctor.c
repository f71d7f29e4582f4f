/* `remotemedia doctor`: what is installed, which modules load, what is missing and the command that
 * installs it. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exporter.h"
#include "otlp.h"

enum { FAILURES_MAX = 64, ROWS_MAX = 512, NAME_COLUMNS_MAX = 28 };

typedef enum row_state { ROW_OK, ROW_MISSING, ROW_BROKEN } row_state;

typedef struct row {
    row_state state;
    char name[96], detail[RM_ERROR_MESSAGE_MAX], help[RM_ERROR_HELP_MAX];
} row;

typedef struct section {
    const char *key, *title;
    size_t begin, end; /* of the rows */
} section;

typedef struct checkup {
    const cli *state;
    rm_registry *registry;
    json_t *machine; /* by schemas/capabilities.v1.json */
    size_t row_count, section_count;
    section section[8];
    row row[ROWS_MAX];
} checkup;

/* Node types whose module is built only where a library is there. */
static const struct {
    const char *type, *needs, *install;
} optional_modules[] = {
    {"audio.resample", "libsoxr", "apt-get install libsoxr-dev, and build again"},
    {"media.read", "FFmpeg's libraries",
     "apt-get install libavformat-dev libavcodec-dev libswresample-dev, and build again; or "
     "pip install 'remotemedia[media]'"},
    {"video.scale", "libyuv", "apt-get install libyuv-dev, and build again"},
    {"image.write", "libpng", "apt-get install libpng-dev, and build again"},
};

static row *add_row(checkup *c, row_state state, const char *name)
{
    static row lost;
    row *r = c->row_count < ROWS_MAX ? &c->row[c->row_count++] : &lost;
    *r = (row){.state = state};
    snprintf(r->name, sizeof r->name, "%s", name);
    c->section[c->section_count - 1].end = c->row_count;
    return r;
}

static void begin(checkup *c, const char *key, const char *title)
{
    c->section[c->section_count++] = (section){key, title, c->row_count, c->row_count};
}

/* ---- what is looked at */

static void check_program(checkup *c)
{
    const char *suffix = c->state->host ? c->state->host->version_suffix : NULL;
    bool hosts = c->state->host && c->state->host->run;
    begin(c, "program", "Program");
    row *r = add_row(c, ROW_OK, "remotemedia");
    snprintf(r->detail, sizeof r->detail, "%s%s%s", rm_version(), suffix ? ", " : "",
             suffix ? suffix : "");
    r = add_row(c, hosts ? ROW_OK : ROW_MISSING, "Python nodes");
    snprintf(r->detail, sizeof r->detail, "%s",
             hosts ? "run in this process"
                   : "this program cannot run them until worker processes exist");
    snprintf(r->help, sizeof r->help, "%s", hosts ? "" : "pip install remotemedia");
}

/* ---- the machine */

static void machine_row(checkup *c, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void machine_row(checkup *c, const char *name, const char *format, ...)
{
    row *r = add_row(c, ROW_OK, name);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->detail, sizeof r->detail, format, arguments);
    va_end(arguments);
}

static void show_memory(checkup *c)
{
    const json_t *total = json_object_get(c->machine, "memory_gb");
    const json_t *free_now = json_object_get(c->machine, "memory_available_gb");
    if (total && free_now) {
        machine_row(c, "memory", "%g GB, of which %g are available", json_number_value(total),
                    json_number_value(free_now));
    } else if (total) {
        machine_row(c, "memory", "%g GB", json_number_value(total));
    }
}

static void show_gpus(checkup *c)
{
    const json_t *list = json_object_get(c->machine, "gpu");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *gpu = json_array_get(list, i), *memory = json_object_get(gpu, "memory_gb");
        char size[48] = ", of unknown memory";
        if (memory) {
            snprintf(size, sizeof size, ", %g GB", json_number_value(memory));
        }
        machine_row(c, "GPU", "%s (%s)%s", json_string_value(json_object_get(gpu, "name")),
                    json_string_value(json_object_get(gpu, "type")), size);
    }
    if (json_array_size(list) == 0) {
        machine_row(c, "GPU", "none");
    }
}

/* In JSON it is an object of its own, the rows are for people. */
static void check_machine(checkup *c)
{
    char *text = NULL;
    rm_error err = RM_ERROR_INIT;
    begin(c, NULL, "Machine");
    if (rm_machine_probe(NULL, c->registry, &text, &err) != RM_OK) {
        row *r = add_row(c, ROW_MISSING, "machine");
        snprintf(r->detail, sizeof r->detail, "%s", err.message);
        return;
    }
    c->machine = json_loads(text, 0, NULL);
    rm_free(text);
    const json_t *cpu = json_object_get(c->machine, "cpu");
    const char *arch = json_string_value(json_object_get(cpu, "arch"));
    machine_row(c, "processor", "%s, cores: %lld", arch ? arch : "unknown",
                (long long)json_integer_value(json_object_get(cpu, "cores")));
    show_memory(c);
    show_gpus(c);
    const json_t *unknown = json_object_get(c->machine, "unknown");
    for (size_t i = 0; i < json_array_size(unknown); i++) {
        row *r = add_row(c, ROW_MISSING, "not known");
        snprintf(r->detail, sizeof r->detail, "%s", json_string_value(json_array_get(unknown, i)));
    }
}

/* How many modules of a folder have loaded. */
static size_t count_from(const rm_registry *registry, const char *folder)
{
    size_t count = 0, length = strlen(folder);
    for (size_t i = 0; i < rm_registry_count(registry); i++) {
        const char *origin = rm_registry_origin(registry, rm_registry_at(registry, i));
        count += strncmp(origin, folder, length) == 0 && origin[length] == '/';
    }
    return count;
}

static void check_folder(checkup *c, const char *folder)
{
    struct stat about;
    if (stat(folder, &about) != 0 || !S_ISDIR(about.st_mode)) {
        row *r = add_row(c, ROW_MISSING, folder);
        snprintf(r->detail, sizeof r->detail, "no such folder");
        return;
    }
    row *r = add_row(c, ROW_OK, folder);
    size_t count = count_from(c->registry, folder);
    snprintf(r->detail, sizeof r->detail, "%zu node type%s", count, count == 1 ? "" : "s");
}

/* Of the environment, and those that modules came from all the same. */
static void check_folders(checkup *c)
{
    const char *path = getenv("REMOTEMEDIA_MODULE_PATH");
    char *names = path && *path ? strdup(path) : NULL, *rest = names, folder[512];
    begin(c, "module_path", "Module path");
    size_t first = c->row_count;
    for (char *name; rest && (name = strsep(&rest, ":"));) {
        if (*name) {
            check_folder(c, name);
        }
    }
    free(names);
    for (size_t i = 0; i < rm_registry_count(c->registry); i++) {
        const char *origin = rm_registry_origin(c->registry, rm_registry_at(c->registry, i));
        const char *slash = strrchr(origin, '/');
        snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - origin) : 0, origin);
        bool known = folder[0] == '\0';
        for (size_t k = first; k < c->row_count; k++) {
            known |= strcmp(c->row[k].name, folder) == 0;
        }
        if (!known) {
            check_folder(c, folder);
        }
    }
    if (first == c->row_count) {
        row *r = add_row(c, ROW_MISSING, "no folder with modules");
        snprintf(r->detail, sizeof r->detail,
                 "neither beside the library nor in "
                 "REMOTEMEDIA_MODULE_PATH");
    }
}

static void module_failed(void *context, const char *path, const rm_error *why)
{
    checkup *c = context;
    const char *slash = strrchr(path, '/');
    row *r = add_row(c, ROW_BROKEN, slash ? slash + 1 : path);
    snprintf(r->detail, sizeof r->detail, "%s", why->message);
    snprintf(r->help, sizeof r->help, "%s", why->help);
}

static bool has_type(const rm_registry *registry, const char *name)
{
    bool found = false;
    for (size_t i = 0; i < rm_registry_count(registry); i++) {
        found |= strcmp(rm_registry_at(registry, i)->name, name) == 0;
    }
    return found;
}

static void check_modules(checkup *c)
{
    begin(c, "native_nodes", "Native nodes");
    rm_registry_load_all(c->registry, module_failed, c);
    for (size_t i = 0; i < rm_registry_count(c->registry); i++) {
        const rm_node_type *type = rm_registry_at(c->registry, i);
        if (strncmp(type->name, "rm.", 3) != 0 && !(type->flags & RM_NODE_PYTHON)) {
            row *r = add_row(c, ROW_OK, type->name);
            snprintf(r->detail, sizeof r->detail, "%s", type->summary ? type->summary : "");
        }
    }
    for (size_t i = 0; i < sizeof optional_modules / sizeof *optional_modules; i++) {
        if (!has_type(c->registry, optional_modules[i].type)) {
            row *r = add_row(c, ROW_MISSING, optional_modules[i].type);
            snprintf(r->detail, sizeof r->detail, "needs %s", optional_modules[i].needs);
            snprintf(r->help, sizeof r->help, "%s", optional_modules[i].install);
        }
    }
}

/* A plan of this one node asks the host for it, and with it for what it needs. */
static void check_python_node(checkup *c, const rm_node_type *type)
{
    rm_error err = RM_ERROR_INIT;
    rm_graph *graph = NULL;
    rm_plan *plan = NULL;
    rm_report *report = NULL;
    row *r = add_row(c, ROW_OK, type->name);
    snprintf(r->detail, sizeof r->detail, "%s", type->summary ? type->summary : "");
    rm_plan_options options = {.struct_size = sizeof options, .python_host = 1};
    rm_status status = rm_report_new(&report, &err);
    if (status == RM_OK) {
        status = rm_graph_parse_inline(type->name, &graph, &err);
    }
    if (status == RM_OK) {
        status = rm_graph_plan(graph, c->registry, &options, &plan, report, &err);
    }
    for (size_t i = 0; report && i < rm_report_count(report); i++) {
        const rm_finding *finding = rm_report_at(report, i);
        if (finding->code == RM_CODE_DEPENDENCY_MISSING || finding->code == RM_CODE_PYTHON_IMPORT) {
            r->state = finding->code == RM_CODE_PYTHON_IMPORT ? ROW_BROKEN : ROW_MISSING;
            snprintf(r->detail, sizeof r->detail, "%s", finding->message);
            snprintf(r->help, sizeof r->help, "%s", finding->help);
        }
    }
    rm_plan_free(plan);
    rm_graph_free(graph);
    rm_report_free(report);
}

static void check_python_nodes(checkup *c)
{
    const rm_node_type *type;
    if (!cli_catalog_at(0) || !c->state->host || !c->state->host->run) {
        return;
    }
    begin(c, "python_nodes", "Python nodes");
    for (size_t i = 0; (type = cli_catalog_at(i)); i++) {
        check_python_node(c, type);
    }
}

/* A library that is loaded when an option asks for it. missing: what would give it; NULL: there. */
static void add_loaded(checkup *c, const char *library, const char *option, const char *missing)
{
    row *r = add_row(c, missing ? ROW_MISSING : ROW_OK, library);
    snprintf(r->detail, sizeof r->detail, "%s %s it", option, missing ? "needs" : "uses");
    snprintf(r->help, sizeof r->help, "%s", missing ? missing : "");
}

static void check_tools(checkup *c)
{
    const char *path = getenv("PATH");
    char *names = strdup(path ? path : ""), *rest = names, file[1024] = "";
    bool found = false;
    begin(c, "tools", "Tools");
    for (char *name; names && !found && (name = strsep(&rest, ":"));) {
        snprintf(file, sizeof file, "%s/dot", *name ? name : ".");
        found = access(file, X_OK) == 0;
    }
    free(names);
    row *r = add_row(c, found ? ROW_OK : ROW_MISSING, "Graphviz");
    snprintf(r->detail, sizeof r->detail, "%s", found ? file : "graph --format svg needs it");
    snprintf(r->help, sizeof r->help, "%s", found ? "" : "apt-get install graphviz");
    add_loaded(c, "libmicrohttpd", "run --metrics-port", cli_exporter_missing());
    add_loaded(c, "libcurl", "run --otlp", cli_otlp_missing());
}

/* ---- what is told */

static size_t count_state(const checkup *c, row_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < c->row_count; i++) {
        count += c->row[i].state == state;
    }
    return count;
}

static void print_row(bool color, const row *r, unsigned columns)
{
    static const char *const marks[] = {"✓", "–", "✗"}, *const plain[] = {"ok", "- ", "X "};
    static const cli_style styles[] = {CLI_GREEN, CLI_YELLOW, CLI_RED};
    unsigned indent = columns + (cli_is_utf8() ? 6 : 7);
    printf("  %s%s%s %-*s  ", cli_paint(color, styles[r->state]),
           (cli_is_utf8() ? marks : plain)[r->state], cli_reset(color), (int)columns, r->name);
    if (strlen(r->name) > columns) {
        printf("\n%*s", (int)indent, "");
    }
    cli_print_wrapped(stdout, r->detail, indent, cli_width(STDOUT_FILENO));
    if (r->help[0]) {
        printf("%*s%s", (int)indent, "", cli_paint(color, CLI_CYAN));
        cli_print_wrapped(stdout, r->help, indent, cli_width(STDOUT_FILENO));
        printf("%s", cli_reset(color));
    }
}

static void print_text(const checkup *c)
{
    bool color = c->state->color_out;
    for (size_t s = 0; s < c->section_count; s++) {
        const section *part = &c->section[s];
        unsigned columns = 14;
        for (size_t i = part->begin; i < part->end; i++) {
            unsigned length = (unsigned)strlen(c->row[i].name);
            columns = length > columns && length <= NAME_COLUMNS_MAX ? length : columns;
        }
        printf("%s%s%s%s\n", s ? "\n" : "", cli_paint(color, CLI_BOLD), part->title,
               cli_reset(color));
        for (size_t i = part->begin; i < part->end; i++) {
            print_row(color, &c->row[i], columns);
        }
    }
    size_t missing = count_state(c, ROW_MISSING), broken = count_state(c, ROW_BROKEN);
    printf("\n%zu broken, %zu missing%s\n", broken, missing,
           missing && !broken ? "; what is there works" : "");
}

static json_t *report_json(const checkup *c)
{
    static const char *const names[] = {"ok", "missing", "broken"};
    json_t *json = json_pack("{s:b}", "ok", count_state(c, ROW_BROKEN) == 0);
    json_object_set(json, "machine", c->machine ? c->machine : json_null());
    for (size_t s = 0; s < c->section_count; s++) {
        if (!c->section[s].key) {
            continue;
        }
        json_t *list = json_array();
        for (size_t i = c->section[s].begin; i < c->section[s].end; i++) {
            const row *r = &c->row[i];
            json_array_append_new(list, json_pack("{s:o, s:s, s:o, s:o}", "name",
                                                  cli_text_json(r->name), "state", names[r->state],
                                                  "detail", cli_text_json(r->detail), "help",
                                                  cli_text_json(r->help)));
        }
        json_object_set_new(json, c->section[s].key, list);
    }
    return json;
}

int cli_doctor(cli *state, const cli_arguments *arguments)
{
    (void)arguments;
    rm_error err = RM_ERROR_INIT;
    checkup *c = calloc(1, sizeof *c);
    rm_status status = c ? RM_OK : rm_fail(&err, RM_ENOMEM, "no memory for a check");
    if (status == RM_OK) {
        c->state = state;
        status = cli_registry_new(state, &c->registry, &err);
    }
    if (status != RM_OK) {
        free(c);
        return cli_fail(state, &err, CLI_FAILED);
    }
    check_program(c);
    check_modules(c);
    check_machine(c);
    check_python_nodes(c);
    check_folders(c);
    check_tools(c);
    int code = count_state(c, ROW_BROKEN) ? CLI_FAILED : CLI_OK;
    if (state->json) {
        cli_print_json(report_json(c), 2);
    } else {
        print_text(c);
    }
    rm_registry_free(c->registry);
    json_decref(c->machine);
    free(c);
    return code;
}
