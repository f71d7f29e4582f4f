/* `remotemedia run --watch`: runs the same command line without --watch as a child, again whenever
 * the manifest, a file that a source reads, or a local Python module changes.
 *
 * A child, so that each run begins anew: imported modules too, and a crash is only its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"

enum {
    FILES_MAX = 256,
    WORDS_MAX = 1024,
    COMMAND_BYTES_MAX = 1 << 20,
    LOOK_MS = 200,
    GRACE_LOOKS = 50
};

extern char **environ;

typedef struct watched {
    char *path;
    struct timespec changed;
    off_t bytes;
    ino_t inode;
} watched;

typedef struct watch {
    cli *state;
    const cli_arguments *arguments;
    watched file[FILES_MAX];
    size_t file_count;
    char *command; /* the words of the child, each ended by NUL */
    char *word[WORDS_MAX + 1];
} watch;

/* ---- which files */

static void look_at(watched *file)
{
    struct stat about = {0};
    (void)stat(file->path, &about); /* zeros where it is not there */
    file->changed = about.st_mtim;
    file->bytes = about.st_size;
    file->inode = about.st_ino;
}

static void add_file(watch *w, const char *path)
{
    for (size_t i = 0; i < w->file_count; i++) {
        if (strcmp(w->file[i].path, path) == 0) {
            return;
        }
    }
    char *copy = w->file_count < FILES_MAX ? strdup(path) : NULL;
    if (copy) {
        w->file[w->file_count].path = copy;
        look_at(&w->file[w->file_count++]);
    }
}

/* "my.nodes:Upper" is in my/nodes.py or my/nodes/__init__.py here. */
static void add_module(watch *w, const char *code)
{
    char path[512];
    size_t length = strcspn(code, ":");
    if (code[length] != ':' || length > 400) {
        return;
    }
    snprintf(path, sizeof path, "%.*s", (int)length, code);
    for (char *c = path; *c; c++) {
        *c = *c == '.' ? '/' : *c;
    }
    const char *ends[] = {".py", "/__init__.py"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path + length, sizeof path - length, "%s", ends[i]);
        if (access(path, F_OK) == 0) {
            add_file(w, path);
        }
    }
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

static void add_graph(watch *w, const rm_graph *graph)
{
    for (size_t i = 0; i < rm_graph_node_count(graph); i++) {
        rm_graph_node node;
        rm_graph_node_at(graph, i, &node);
        json_t *params = json_loads(node.params_json, 0, NULL);
        const char *path = json_string_value(json_object_get(params, "path"));
        struct stat about;
        if (path && !is_fed(graph, i) && stat(path, &about) == 0 && S_ISREG(about.st_mode)) {
            add_file(w, path);
        }
        add_module(w, node.node_type);
        json_decref(params);
    }
    char *text = NULL;
    if (rm_graph_to_json(graph, &text, NULL) == RM_OK) {
        json_t *manifest = json_loads(text, 0, NULL), *node;
        size_t i;
        json_array_foreach(json_object_get(manifest, "nodes"), i, node)
        {
            const char *code = json_string_value(json_object_get(node, "code"));
            add_module(w, code ? code : "");
        }
        json_decref(manifest);
        rm_free(text);
    }
}

static void forget_files(watch *w)
{
    for (size_t i = 0; i < w->file_count; i++) {
        free(w->file[i].path);
    }
    w->file_count = 0;
}

/* Anew for each run: the manifest may name others now. */
static void collect_files(watch *w)
{
    cli_pipeline pipeline;
    const char *text = w->arguments->operand[0];
    forget_files(w);
    rm_status status = cli_pipeline_read(w->state, text, CLI_TO_LOOK, &pipeline, NULL);
    if (pipeline.is_file) {
        add_file(w, text);
    }
    for (unsigned i = 0; status == RM_OK && (text = cli_value_at(w->arguments, "input", i)); i++) {
        const char *equals = strchr(text, '=');
        bool named = equals && access(text, F_OK) != 0;
        add_file(w, named ? equals + 1 : text);
    }
    if (status == RM_OK) {
        add_graph(w, pipeline.graph);
    }
    cli_pipeline_release(&pipeline);
}

static bool has_changed(watch *w)
{
    bool any = false;
    for (size_t i = 0; i < w->file_count; i++) {
        watched now = {.path = w->file[i].path}, *before = &w->file[i];
        look_at(&now);
        any |= now.bytes != before->bytes || now.inode != before->inode ||
               now.changed.tv_sec != before->changed.tv_sec ||
               now.changed.tv_nsec != before->changed.tv_nsec;
    }
    return any;
}

/* ---- the child */

/* This process's own command line, without --watch. */
static rm_status read_command(watch *w, rm_error *err)
{
    size_t bytes = 0, count = 0;
    w->command = malloc(COMMAND_BYTES_MAX);
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || !w->command) {
        int failed = errno;
        if (fd >= 0) {
            close(fd);
        }
        return rm_fail_os(err, failed, "--watch cannot read its own command line");
    }
    for (ssize_t got; bytes < COMMAND_BYTES_MAX - 1 &&
                      (got = read(fd, w->command + bytes, COMMAND_BYTES_MAX - 1 - bytes)) > 0;) {
        bytes += (size_t)got;
    }
    close(fd);
    w->command[bytes] = '\0';
    for (size_t at = 0; at < bytes && count < WORDS_MAX; at += strlen(w->command + at) + 1) {
        char *word = w->command + at;
        if (strcmp(word, "--watch") != 0 && strcmp(word, "-w") != 0) {
            w->word[count++] = word;
        }
    }
    return RM_OK;
}

static rm_status start_child(watch *w, pid_t *ret_child, rm_error *err)
{
    char program[512];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    int failed = posix_spawn(ret_child, program, NULL, NULL, w->word, environ);
    return failed ? rm_fail_os(err, failed, "--watch cannot start '%s'", program) : RM_OK;
}

/* The exit code; -1: it still runs. A signal's death counts as a failure. */
static int poll_child(pid_t child)
{
    int how;
    if (waitpid(child, &how, WNOHANG) != child) {
        return -1;
    }
    return WIFEXITED(how) ? WEXITSTATUS(how) : CLI_FAILED;
}

static void wait_a_little(void)
{
    struct pollfd signals = {cli_signals_fd(), POLLIN, 0};
    (void)poll(&signals, 1, LOOK_MS);
    cli_signals_drain();
}

static int stop_child(pid_t child)
{
    int code;
    kill(child, SIGTERM);
    for (int looks = 0; (code = poll_child(child)) < 0; looks++) {
        if (looks == GRACE_LOOKS) {
            kill(child, SIGKILL);
        }
        wait_a_little();
    }
    return code;
}

static void say(const watch *w, const char *what)
{
    if (!w->state->json) {
        fprintf(stderr, "%s%s%s\n", cli_paint(w->state->color_err, CLI_DIM), what,
                cli_reset(w->state->color_err));
    }
}

/* ---- the command */

static int watch_on(watch *w, rm_error *err)
{
    int code = CLI_OK;
    while (!cli_signals_ended_by()) {
        pid_t child = 0;
        collect_files(w);
        if (start_child(w, &child, err) != RM_OK) {
            return cli_fail(w->state, err, CLI_FAILED);
        }
        int ended = -1;
        while (!has_changed(w) && !cli_signals_ended_by()) {
            if (ended < 0 && (ended = poll_child(child)) >= 0) {
                code = ended;
                say(w, "waiting for a change; Ctrl-C ends");
            }
            wait_a_little();
        }
        if (ended < 0) {
            code = stop_child(child);
        }
        if (!cli_signals_ended_by()) {
            say(w, "changed, running again");
        }
    }
    return code;
}

int cli_watch(cli *state, const cli_arguments *arguments)
{
    rm_error err = RM_ERROR_INIT;
    if (strcmp(arguments->operand[0], "-") == 0) {
        return cli_fail_usage(state, "give the manifest as a file",
                              "--watch cannot watch a manifest from stdin");
    }
    watch *w = calloc(1, sizeof *w);
    rm_status status = w ? RM_OK : rm_fail(&err, RM_ENOMEM, "no memory for --watch");
    if (w) {
        w->state = state;
        w->arguments = arguments;
        status = read_command(w, &err);
    }
    if (status == RM_OK) {
        status = cli_signals_start(&err);
    }
    if (status == RM_OK) {
        cli_signals_catch(true);
    }
    int code = status == RM_OK ? watch_on(w, &err) : cli_fail(state, &err, CLI_FAILED);
    cli_signals_stop();
    if (w) {
        forget_files(w);
        free(w->command);
    }
    free(w);
    return code;
}
