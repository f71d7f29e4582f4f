/* `remotemedia top`: the pipelines that run on this machine, as a table that goes on. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "live.h"

enum {
    ANSWER_MS = 500,
    ANSWER_ONCE_MS = 2000,
    EACH_MS = 1000,
    NAME_COLUMNS = 20,
    TYPE_COLUMNS = 18,
    ROW_BYTES = 512
};

/* The rows that fit; more of them are counted. */
typedef struct screen {
    bool color;
    unsigned columns, rows, used, hidden;
} screen;

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static bool is_hidden(const json_t *node)
{
    return strncmp(text(node, "type"), "rm.", 3) == 0;
}

static double sum_ns(const json_t *node)
{
    return number(json_object_get(node, "time"), "sum_ns");
}

/* ---- numbers that come of two answers */

/* The same of the answers before; NULL: there was none. */
static const json_t *find_node(const json_t *list, const char *id)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        if (strcmp(text(one, "id"), id) == 0) {
            return one;
        }
    }
    return NULL;
}

static const json_t *find_run(const json_t *list, const json_t *wanted)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        if (number(one, "pid") == number(wanted, "pid") &&
            number(one, "run") == number(wanted, "run")) {
            return one;
        }
    }
    return NULL;
}

static double work_of(const json_t *node)
{
    double items = number(node, "items");
    return items > 0 ? items : number(node, "emitted");
}

/* Items a second between the two answers, or since the begin. */
static double rate_of(const json_t *node, const json_t *node_before, double elapsed_ns,
                      double elapsed_before_ns)
{
    double ns = elapsed_ns - elapsed_before_ns;
    double items = work_of(node) - (node_before ? work_of(node_before) : 0);
    return ns > 0 ? items * 1e9 / ns : 0;
}

/* What waits before the node, and what may. */
static void queue_before(const json_t *edges, const char *id, double *ret_queued,
                         double *ret_capacity, double *ret_drops)
{
    *ret_queued = *ret_capacity = *ret_drops = 0;
    for (size_t i = 0; i < json_array_size(edges); i++) {
        const json_t *edge = json_array_get(edges, i);
        if (strcmp(text(edge, "to"), id) == 0) {
            *ret_queued += number(edge, "queued");
            *ret_capacity += number(edge, "capacity");
            *ret_drops += number(edge, "drops");
        }
    }
}

/* ---- drawing */

static void put_row(screen *s, cli_style style, bool styled, const char *row)
{
    char line[ROW_BYTES] = "";
    if (s->used >= s->rows) {
        s->hidden++;
        return;
    }
    s->used++;
    (void)cli_append(line, sizeof line, row, s->columns);
    bool color = s->color && styled;
    printf("%s%s%s\n", cli_paint(color, style), line, cli_reset(color));
}

static const char *cell(char *buffer, size_t size, const char *value, unsigned columns)
{
    char line[ROW_BYTES] = "";
    unsigned width = cli_append(line, sizeof line, value, columns);
    snprintf(buffer, size, "%s%*s", line, (int)(columns - width), "");
    return buffer;
}

static void put_node(screen *s, const json_t *node, const json_t *edges, double total_ns,
                     double rate)
{
    char id[128], type[128], row[ROW_BYTES], items[32], each[32], p99[32], wait[32];
    double queued, capacity, drops, errors = number(node, "errors");
    queue_before(edges, text(node, "id"), &queued, &capacity, &drops);
    const json_t *time = json_object_get(node, "time"), *waits = json_object_get(node, "waiting");
    snprintf(row, sizeof row, "  %s %s %-8s %9s %9s %5.0f/%-5.0f %5.1f %% %9s %9s %6.0f %6.0f",
             cell(id, sizeof id, text(node, "id"), NAME_COLUMNS),
             cell(type, sizeof type, text(node, "type"), TYPE_COLUMNS), text(node, "state"),
             cli_count(work_of(node), items, sizeof items), cli_count(rate, each, sizeof each),
             queued, capacity, total_ns > 0 ? sum_ns(node) / total_ns * 100 : 0.0,
             cli_duration(number(time, "p99_ns"), p99, sizeof p99),
             cli_duration(number(waits, "p99_ns"), wait, sizeof wait), drops, errors);
    put_row(s, CLI_YELLOW, errors > 0 || drops > 0, row);
}

static void put_headline(screen *s, const json_t *run)
{
    char row[ROW_BYTES], elapsed[32], bytes[32], rss[32];
    const json_t *metrics = json_object_get(run, "metrics");
    if (strcmp(text(run, "state"), "more") == 0) {
        snprintf(row, sizeof row, "%.0f  and %.0f more", number(run, "pid"), number(run, "count"));
    } else if (!metrics) {
        snprintf(row, sizeof row, "%.0f  %s: it does not answer, a node is in a call that lasts",
                 number(run, "pid"), text(run, "state"));
    } else {
        const json_t *memory = json_object_get(metrics, "memory");
        const json_t *process = json_object_get(metrics, "process");
        snprintf(row, sizeof row, "%.0f  %.200s  %s  %s  buffers %s  process %s",
                 number(run, "pid"), text(run, "pipeline"), text(run, "state"),
                 cli_duration(number(metrics, "elapsed_ns"), elapsed, sizeof elapsed),
                 cli_bytes(number(memory, "bytes"), bytes, sizeof bytes),
                 cli_bytes(number(process, "rss_bytes"), rss, sizeof rss));
    }
    put_row(s, CLI_BOLD, true, row);
}

static void put_run(screen *s, const json_t *run, const json_t *run_before)
{
    const json_t *metrics = json_object_get(run, "metrics");
    const json_t *before = json_object_get(run_before, "metrics");
    const json_t *nodes = json_object_get(metrics, "nodes");
    double total_ns = 0;
    put_headline(s, run);
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        total_ns += is_hidden(node) ? 0 : sum_ns(node);
    }
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        const json_t *same = find_node(json_object_get(before, "nodes"), text(node, "id"));
        double rate = rate_of(node, same, number(metrics, "elapsed_ns"),
                              same ? number(before, "elapsed_ns") : 0);
        if (!is_hidden(node)) {
            put_node(s, node, json_object_get(metrics, "edges"), total_ns, rate);
        }
    }
}

static void put_runs(screen *s, const json_t *runs, const json_t *runs_before)
{
    char row[ROW_BYTES];
    size_t count = json_array_size(runs);
    if (count == 0) {
        put_row(s, CLI_BOLD, false, "no pipeline is running");
        return;
    }
    snprintf(row, sizeof row, "  %-*s %-*s %-8s %9s %9s %5s/%-5s %7s %9s %9s %6s %6s", NAME_COLUMNS,
             "NODE", TYPE_COLUMNS, "TYPE", "STATE", "ITEMS", "/S", "QUEUE", "MAX", "SHARE", "P99",
             "WAIT P99", "DROPS", "ERRORS");
    put_row(s, CLI_DIM, true, row);
    for (size_t i = 0; i < count; i++) {
        const json_t *run = json_array_get(runs, i);
        put_run(s, run, find_run(runs_before, run));
    }
}

/* ---- the table that goes on */

static volatile sig_atomic_t ended;

static void end(int signal_number)
{
    (void)signal_number;
    ended = 1;
}

static unsigned rows_of_terminal(void)
{
    const char *lines = getenv("LINES");
    unsigned rows = cli_height(STDOUT_FILENO);
    return lines && *lines ? (unsigned)strtoul(lines, NULL, 10) : rows;
}

/* True: a q, or the end of stdin. */
static bool wait_for_key(void)
{
    int64_t until_ns = cli_now_ns() + EACH_MS * (int64_t)1000000;
    while (!ended) {
        int64_t left_ns = until_ns - cli_now_ns();
        struct pollfd in = {STDIN_FILENO, POLLIN, 0};
        int ready = left_ns > 0 ? poll(&in, 1, (int)(left_ns / 1000000) + 1) : 0;
        char key;
        if (ready == 0) {
            return false;
        }
        if (ready > 0 && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q')) {
            return true;
        }
    }
    return true;
}

static void draw_until_end(const cli *state)
{
    json_t *before = NULL;
    bool over = false;
    while (!over) {
        json_t *runs = cli_live_ask_all(ANSWER_MS);
        unsigned rows = rows_of_terminal();
        screen s = {.color = state->color_out,
                    .columns = cli_width(STDOUT_FILENO),
                    .rows = rows > 2 ? rows - 2 : 1};
        fputs("\033[H\033[J", stdout);
        put_runs(&s, runs, before);
        if (s.hidden) {
            printf("%u more rows", s.hidden);
        }
        fflush(stdout);
        json_decref(before);
        before = runs;
        over = wait_for_key();
    }
    json_decref(before);
}

/* The terminal as it was, on each way out but SIGKILL. */
static int watch_runs(const cli *state)
{
    struct termios is, raw;
    struct sigaction ends = {.sa_handler = end}, before_int, before_term;
    bool keys = tcgetattr(STDIN_FILENO, &is) == 0;
    ended = 0;
    sigaction(SIGINT, &ends, &before_int);
    sigaction(SIGTERM, &ends, &before_term);
    if (keys) {
        raw = is;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    fputs("\033[?1049h\033[?25l", stdout);
    draw_until_end(state);
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    if (keys) {
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &is);
    }
    sigaction(SIGINT, &before_int, NULL);
    sigaction(SIGTERM, &before_term, NULL);
    return CLI_OK;
}

int cli_top(cli *state, const cli_arguments *arguments)
{
    bool once = cli_has(arguments, "once") || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO);
    if (state->json) {
        return cli_print_json(json_pack("{s:o}", "pipelines", cli_live_ask_all(ANSWER_ONCE_MS)), 2);
    }
    if (!once) {
        return watch_runs(state);
    }
    json_t *runs = cli_live_ask_all(ANSWER_ONCE_MS);
    screen s = {.color = state->color_out, .columns = 200, .rows = UINT16_MAX};
    put_runs(&s, runs, NULL);
    json_decref(runs);
    return CLI_OK;
}
