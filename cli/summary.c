/* What a run did: a table of its nodes with their shares of the time, the same as JSON, and the
 * live graph that SIGUSR1 asks for. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run.h"

enum { BAR_COLUMNS = 20, ID_COLUMNS_MAX = 28, TYPE_COLUMNS_MAX = 24, NODES_SHOWN_MAX = 200 };

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

/* The plan's own nodes at the graph's ends, and the ones that this program added. */
static bool is_hidden(const json_t *node)
{
    return strncmp(text(node, "type"), "rm.", 3) == 0;
}

static double sum_ns(const json_t *node)
{
    return number(json_object_get(node, "time"), "sum_ns");
}

static double total_ns(const json_t *nodes)
{
    double total = 0;
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        total += is_hidden(node) ? 0 : sum_ns(node);
    }
    return total;
}

static double speed_of(const rm_cli_run *run)
{
    return run->position_ns > 0 && run->elapsed_ns > 0
               ? (double)run->position_ns / (double)run->elapsed_ns
               : 0;
}

/* ---- JSON */

json_t *cli_summary_json(const rm_cli_run *run, int exit_code, const rm_error *error)
{
    static const char *const outcomes[] = {"done", "canceled", "failed"};
    json_t *json = json_pack("{s:b, s:s, s:i, s:o, s:I, s:I}", "ok", exit_code == CLI_OK, "outcome",
                             outcomes[run->outcome], "exit_code", exit_code, "pipeline",
                             cli_text_json(run->pipeline.source), "elapsed_ns",
                             (json_int_t)run->elapsed_ns, "packets", (json_int_t)run->packets);
    bool has_time = run->position_ns != RM_TIME_NONE;
    json_object_set_new(json, "media_ns", has_time ? json_integer(run->position_ns) : json_null());
    json_object_set_new(json, "speed", has_time ? json_real(speed_of(run)) : json_null());
    json_t *nodes = json_object_get(run->metrics, "nodes"), *shown = json_array();
    double total = total_ns(nodes);
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        json_t *node = json_array_get(nodes, i);
        if (!is_hidden(node)) {
            json_object_set_new(node, "share", json_real(total > 0 ? sum_ns(node) / total : 0));
            json_array_append(shown, node);
        }
    }
    json_object_set_new(json, "nodes", shown);
    json_object_set(json, "edges", json_object_get(run->metrics, "edges"));
    json_object_set(json, "memory", json_object_get(run->metrics, "memory"));
    if (run->outcome != CLI_DONE) {
        json_object_set_new(json, "error", cli_error_json(error));
    }
    return json;
}

/* ---- the table */

static unsigned columns_of(const json_t *nodes, const char *key, unsigned least, unsigned most)
{
    unsigned columns = least;
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        unsigned length = is_hidden(node) ? 0 : (unsigned)strlen(text(node, key));
        columns = length > columns ? length : columns;
    }
    return columns > most ? most : columns;
}

static void print_cell(FILE *out, const char *value, unsigned columns)
{
    char cell[512] = "";
    unsigned width = cli_append(cell, sizeof cell, value, columns);
    fprintf(out, "%s%*s", cell, (int)(columns - width), "");
}

static void print_bar(FILE *out, bool color, double part, unsigned columns)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    bool utf8 = cli_is_utf8();
    unsigned units = (unsigned)(part * columns * 8 + 0.5);
    fputs(cli_paint(color, CLI_CYAN), out);
    for (unsigned i = 0; i < units / 8; i++) {
        fputs(utf8 ? "█" : "#", out);
    }
    fputs(utf8 ? eighths[units % 8] : "", out);
    fputs(cli_reset(color), out);
}

/* "2 errors, 1 skipped": only what there was. */
static void print_errors(const json_t *node, bool color)
{
    double errors = number(node, "errors");
    if (errors <= 0) {
        return;
    }
    fprintf(stderr, "  %s%.0f error%s", cli_paint(color, CLI_YELLOW), errors,
            errors == 1 ? "" : "s");
    if (number(node, "skipped") > 0) {
        fprintf(stderr, ", %.0f skipped", number(node, "skipped"));
    }
    if (number(node, "retries") > 0) {
        fprintf(stderr, ", %.0f tried again", number(node, "retries"));
    }
    fputs(cli_reset(color), stderr);
}

static void print_row(const rm_cli_run *run, const json_t *node, const unsigned columns[3],
                      double total)
{
    char items[32], time[32];
    bool color = run->state->color_err;
    double part = total > 0 ? sum_ns(node) / total : 0;
    double count = number(node, "items") > 0 ? number(node, "items") : number(node, "emitted");
    fprintf(stderr, "  ");
    print_cell(stderr, text(node, "id"), columns[0]);
    fprintf(stderr, "  %s", cli_paint(color, CLI_DIM));
    print_cell(stderr, text(node, "type"), columns[1]);
    fprintf(stderr, "%s  %10s  %9s  %5.1f %%  ", cli_reset(color),
            cli_count(count, items, sizeof items), cli_duration(sum_ns(node), time, sizeof time),
            part * 100);
    print_bar(stderr, color, part, columns[2]);
    print_errors(node, color);
    fputc('\n', stderr);
}

/* "4.00 s of media in 12 ms, 333x real time"; a run that failed has no speed worth telling. */
static void print_headline(const rm_cli_run *run)
{
    static const char *const begin[] = {"", "ended after ", "failed after "};
    static const cli_style styles[] = {CLI_BOLD, CLI_BOLD, CLI_RED};
    char amount[32], elapsed[32];
    bool color = run->state->color_err, has_time = run->position_ns > 0;
    double speed = speed_of(run);
    if (has_time) {
        cli_duration((double)run->position_ns, amount, sizeof amount);
    } else {
        cli_count((double)run->packets, amount, sizeof amount);
    }
    fprintf(stderr, "%s%s%s%s%s in %s", cli_paint(color, styles[run->outcome]), begin[run->outcome],
            amount, cli_reset(color), has_time ? " of media" : " items",
            cli_duration((double)run->elapsed_ns, elapsed, sizeof elapsed));
    if (has_time && run->outcome != CLI_RUN_FAILED) {
        fprintf(stderr, ", %s%.*fx real time%s", cli_paint(color, CLI_GREEN), speed < 10 ? 1 : 0,
                speed, cli_reset(color));
    }
    fputc('\n', stderr);
}

void cli_print_summary(const rm_cli_run *run)
{
    const json_t *nodes = json_object_get(run->metrics, "nodes");
    unsigned columns[3] = {columns_of(nodes, "id", 4, ID_COLUMNS_MAX),
                           columns_of(nodes, "type", 4, TYPE_COLUMNS_MAX), 0};
    unsigned width = cli_width(STDERR_FILENO), used = columns[0] + columns[1] + 38;
    columns[2] = width > used ? width - used : 0;
    columns[2] = columns[2] > BAR_COLUMNS ? BAR_COLUMNS : columns[2];
    double total = total_ns(nodes);
    print_headline(run);
    fprintf(stderr, "  %s%-*s  %-*s  %10s  %9s  %7s%s\n", cli_paint(run->state->color_err, CLI_DIM),
            (int)columns[0], "node", (int)columns[1], "type", "items", "time", "share",
            cli_reset(run->state->color_err));
    for (size_t i = 0; i < json_array_size(nodes) && i < NODES_SHOWN_MAX; i++) {
        const json_t *node = json_array_get(nodes, i);
        if (!is_hidden(node)) {
            print_row(run, node, columns, total);
        }
    }
}

/* ---- the live graph */

static void print_queue(const json_t *edge)
{
    enum { COLUMNS = 16 };
    char packets[32], bytes[32];
    double queued = number(edge, "queued"), capacity = number(edge, "capacity");
    unsigned full = capacity > 0 ? (unsigned)(queued / capacity * COLUMNS + 0.5) : 0;
    fprintf(stderr, "    -> %-20s [", text(edge, "to"));
    for (unsigned i = 0; i < COLUMNS; i++) {
        fputc(i < full ? '#' : '.', stderr);
    }
    fprintf(stderr, "] %.0f of %.0f queued, peak %.0f, %s packets, %s", queued, capacity,
            number(edge, "peak"), cli_count(number(edge, "packets"), packets, sizeof packets),
            cli_bytes(number(edge, "bytes"), bytes, sizeof bytes));
    if (number(edge, "drops") > 0) {
        fprintf(stderr, ", %.0f dropped", number(edge, "drops"));
    }
    fputc('\n', stderr);
}

static void print_live_node(const json_t *node, const json_t *edges)
{
    char items[32], time[32];
    if (strcmp(text(node, "state"), "busy") == 0) { /* its strand did not answer */
        fprintf(stderr, "  %-20s %-20s busy      strand %.0f is in a call that lasts\n",
                text(node, "id"), text(node, "type"), number(node, "strand"));
        return;
    }
    fprintf(stderr, "  %-20s %-20s %-9s strand %.0f, %s items, %s", text(node, "id"),
            text(node, "type"), text(node, "state"), number(node, "strand"),
            cli_count(number(node, "items"), items, sizeof items),
            cli_duration(sum_ns(node), time, sizeof time));
    if (number(node, "errors") > 0) {
        fprintf(stderr, ", %.0f error%s", number(node, "errors"),
                number(node, "errors") == 1 ? "" : "s");
    }
    fputc('\n', stderr);
    for (size_t i = 0; i < json_array_size(edges); i++) {
        const json_t *edge = json_array_get(edges, i);
        if (strcmp(text(edge, "from"), text(node, "id")) == 0) {
            print_queue(edge);
        }
    }
}

void cli_print_live(rm_cli_run *run)
{
    char *metrics = NULL, elapsed[32], bytes[32], bytes_max[32];
    if (!run->session || rm_session_metrics(run->session, &metrics, NULL) != RM_OK) {
        return;
    }
    json_t *json = json_loads(metrics, 0, NULL);
    rm_free(metrics);
    const json_t *nodes = json_object_get(json, "nodes"), *memory = json_object_get(json, "memory");
    cli_progress_clear(run);
    fprintf(stderr, "graph of '%s' after %s, %s of %s in buffers\n", run->pipeline.source,
            cli_duration(number(json, "elapsed_ns"), elapsed, sizeof elapsed),
            cli_bytes(number(memory, "bytes"), bytes, sizeof bytes),
            cli_bytes(number(memory, "bytes_max"), bytes_max, sizeof bytes_max));
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        print_live_node(json_array_get(nodes, i), json_object_get(json, "edges"));
    }
    fflush(stderr);
    json_decref(json);
}
