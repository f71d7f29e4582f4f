/* From an operand of the command line to a graph and a plan. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

/* ---- reading */

typedef struct text_file {
    char *data;
    size_t bytes, capacity;
} text_file;

static rm_status grow(text_file *file, rm_error *err)
{
    size_t capacity = file->capacity ? 2 * file->capacity : 65536;
    char *grown = realloc(file->data, capacity);
    if (!grown) {
        return rm_fail(err, RM_ENOMEM, "no memory to read a manifest");
    }
    file->data = grown;
    file->capacity = capacity;
    return RM_OK;
}

static rm_status read_all(int fd, const char *name, text_file *file, rm_error *err)
{
    struct stat about;
    if (fstat(fd, &about) != 0) {
        return rm_fail_os(err, errno, "cannot read manifest '%s'", name);
    }
    uint64_t bytes = S_ISREG(about.st_mode) ? (uint64_t)about.st_size : 0;
    for (;;) {
        if (bytes > CLI_MANIFEST_BYTES_MAX) {
            rm_status status = rm_fail_as(
                err, RM_CODE_MANIFEST_TOO_LARGE, "manifest '%s' has %llu bytes%s, want at most %zu",
                name, (unsigned long long)bytes, S_ISREG(about.st_mode) ? "" : " and more",
                CLI_MANIFEST_BYTES_MAX);
            rm_error_help(err, "is it the media? a manifest names the files that its nodes read");
            return status;
        }
        if (file->bytes == file->capacity && grow(file, err) != RM_OK) {
            return RM_ENOMEM;
        }
        ssize_t got = read(fd, file->data + file->bytes, file->capacity - file->bytes);
        if (got < 0 && errno != EINTR) {
            return rm_fail_os(err, errno, "cannot read manifest '%s'", name);
        }
        if (got == 0) {
            return RM_OK;
        }
        file->bytes += got > 0 ? (size_t)got : 0;
        bytes = bytes > file->bytes ? bytes : file->bytes;
    }
}

/* A word that cannot be a file name that is meant: it has a '!' or a space, or is a bare node type.
 */
static bool is_inline(const char *text)
{
    if (access(text, F_OK) == 0) {
        return false;
    }
    if (strpbrk(text, "! \t\n")) {
        return true;
    }
    size_t length = strlen(text);
    bool has_suffix = length > 5 && strcmp(text + length - 5, ".json") == 0;
    return !has_suffix &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_.:ABCDEFGHIJKLMNOPQRSTUVWXYZ") ==
               length;
}

static rm_status read_graph(cli_pipeline *pipeline, const char *text, rm_error *err)
{
    bool is_stdin = strcmp(text, "-") == 0;
    if (!is_stdin && is_inline(text)) {
        pipeline->source = "pipeline";
        return rm_graph_parse_inline(text, &pipeline->graph, err);
    }
    pipeline->source = is_stdin ? "stdin" : text;
    pipeline->is_file = !is_stdin;
    int fd = is_stdin ? STDIN_FILENO : open(text, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return rm_fail_os(err, errno, "cannot open manifest '%s'", text);
    }
    text_file file = {0};
    rm_status status = read_all(fd, pipeline->source, &file, err);
    if (!is_stdin) {
        close(fd);
    }
    if (status == RM_OK) {
        const char *slash = is_stdin ? NULL : strrchr(text, '/');
        char *folder = strndup(text, slash ? (size_t)(slash - text) + 1 : 0);
        status = rm_graph_parse_in(file.data, file.bytes, folder ? folder : "", &pipeline->graph,
                                   pipeline->report, err);
        free(folder);
        if (status != RM_OK) {
            (void)rm_graph_check_nodes(file.data, file.bytes, pipeline->registry, pipeline->report);
        }
    }
    free(file.data);
    return status;
}

rm_status cli_registry_new(const cli *state, rm_registry **ret_registry, rm_error *err)
{
    rm_status status = rm_registry_new(ret_registry, err);
    if (status == RM_OK && state->host && state->host->setup_registry) {
        status = state->host->setup_registry(state->host->context, *ret_registry, err);
        if (status != RM_OK) {
            rm_registry_free(*ret_registry);
            *ret_registry = NULL;
        }
    }
    return status;
}

rm_status cli_pipeline_read(const cli *state, const char *text, cli_purpose purpose,
                            cli_pipeline *ret_pipeline, rm_error *err)
{
    cli_pipeline *p = ret_pipeline;
    memset(p, 0, sizeof *p);
    p->source = text;
    rm_status status = cli_registry_new(state, &p->registry, err);
    if (status == RM_OK) {
        status = rm_report_new(&p->report, err);
    }
    if (status == RM_OK && !(state->host && state->host->setup_registry)) {
        status = cli_python_tier_new(purpose, &p->python, err);
        if (status == RM_OK) {
            status = cli_python_tier_add(p->python, p->registry, err);
        }
    }
    return status == RM_OK ? read_graph(p, text, err) : status;
}

rm_status cli_pipeline_machine(cli_pipeline *pipeline, const cli_arguments *arguments,
                               rm_error *err)
{
    const char *path = cli_value(arguments, "machine");
    json_error_t where;
    if (!path) {
        return RM_OK;
    }
    json_t *file = json_load_file(path, 0, &where);
    const json_t *machine = json_object_get(file, "machine");
    machine = machine ? machine : file;
    pipeline->machine_json = json_is_object(machine) ? json_dumps(machine, 0) : NULL;
    json_decref(file);
    if (pipeline->machine_json) {
        return RM_OK;
    }
    rm_status status = rm_fail_as(err, RM_CODE_USAGE, "--machine '%.80s' describes no machine: %s",
                                  path, file ? "it is not an object" : where.text);
    rm_error_help(err, "`remotemedia doctor --json` on a machine describes it");
    return status;
}

rm_status cli_pipeline_plan(const cli *state, cli_pipeline *pipeline, rm_error *err)
{
    rm_plan_options options = {.struct_size = sizeof options,
                               .python_host = state->host && state->host->run,
                               .machine_json = pipeline->machine_json};
    cli_python_tier_set_graph(pipeline->python, pipeline->graph);
    return rm_graph_plan(pipeline->graph, pipeline->registry, &options, &pipeline->plan,
                         pipeline->report, err);
}

void cli_pipeline_release(cli_pipeline *pipeline)
{
    rm_plan_free(pipeline->plan);
    rm_graph_free(pipeline->graph);
    rm_report_free(pipeline->report);
    rm_registry_free(pipeline->registry);
    cli_python_tier_free(pipeline->python);
    free(pipeline->machine_json);
    memset(pipeline, 0, sizeof *pipeline);
}

/* ---- changing parameters */

static rm_status set_param(cli_pipeline *pipeline, const char *id, const char *name,
                           const char *value, rm_error *err)
{
    rm_graph *changed = NULL;
    rm_status status = rm_graph_set_param(pipeline->graph, id, name, value, &changed, err);
    if (status == RM_OK) {
        rm_graph_free(pipeline->graph);
        pipeline->graph = changed;
    }
    return status;
}

rm_status cli_pipeline_set(cli_pipeline *pipeline, const char *assignment, rm_error *err)
{
    const char *equals = strchr(assignment, '=');
    const char *dot = equals ? memrchr(assignment, '.', (size_t)(equals - assignment)) : NULL;
    if (!dot || dot == assignment || dot + 1 == equals) {
        rm_status status =
            rm_fail_as(err, RM_CODE_USAGE, "--set '%.80s' is not NODE.PARAM=VALUE", assignment);
        rm_error_help(err, "for example: --set resample.rate_hz=8000");
        return status;
    }
    char *id = strndup(assignment, (size_t)(dot - assignment));
    char *name = strndup(dot + 1, (size_t)(equals - dot - 1));
    rm_status status = id && name ? set_param(pipeline, id, name, equals + 1, err)
                                  : rm_fail(err, RM_ENOMEM, "no memory for --set");
    free(id);
    free(name);
    return status;
}

static bool is_fed(const rm_graph *graph, size_t node)
{
    rm_graph_edge edge;
    for (size_t i = 0; i < rm_graph_edge_count(graph); i++) {
        rm_graph_edge_at(graph, i, &edge);
        if (edge.to_node == node) {
            return true;
        }
    }
    return false;
}

/* By its type; a node that has a path in the manifest will take another. */
static bool takes_path(cli_pipeline *pipeline, const rm_graph_node *node)
{
    const rm_node_type *type = NULL;
    if (rm_registry_find(pipeline->registry, node->node_type, &type, NULL) != RM_OK) {
        type = cli_catalog_find(node->node_type);
    }
    for (const rm_param *p = type ? type->params : NULL; p && p->name; p++) {
        if (strcmp(p->name, "path") == 0) {
            return true;
        }
    }
    json_t *params = json_loads(node->params_json, 0, NULL);
    bool has = json_object_get(params, "path") != NULL;
    json_decref(params);
    return has;
}

/* As JSON text, so that a file called 1 stays text. */
static rm_status set_path(cli_pipeline *pipeline, const char *id, const char *path, rm_error *err)
{
    json_t *json = json_string(path);
    char *text = json ? json_dumps(json, JSON_ENCODE_ANY) : NULL;
    json_decref(json);
    if (!text) {
        return rm_fail_as(err, RM_CODE_USAGE, "--input '%.80s' is not UTF-8", path);
    }
    rm_status status = set_param(pipeline, id, "path", text, err);
    free(text);
    return status;
}

rm_status cli_pipeline_input(cli_pipeline *pipeline, const char *text, rm_error *err)
{
    rm_graph_node node;
    const char *equals = strchr(text, '=');
    size_t count = rm_graph_node_count(pipeline->graph);
    for (size_t i = 0; equals && i < count; i++) {
        rm_graph_node_at(pipeline->graph, i, &node);
        size_t length = (size_t)(equals - text);
        if (strlen(node.id) == length && memcmp(node.id, text, length) == 0) {
            return set_path(pipeline, node.id, equals + 1, err);
        }
    }
    for (size_t i = 0; i < count; i++) {
        rm_graph_node_at(pipeline->graph, i, &node);
        if (!is_fed(pipeline->graph, i) && takes_path(pipeline, &node)) {
            return set_path(pipeline, node.id, text, err);
        }
    }
    rm_status status =
        rm_fail_as(err, RM_CODE_USAGE,
                   "--input '%.80s': no source of this pipeline has a parameter `path`", text);
    rm_error_help(err,
                  "begin the pipeline with media.read or wav.read, or use --set NODE.PARAM=VALUE");
    return status;
}
