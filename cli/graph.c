/* `remotemedia graph PIPELINE`: the graph as a drawing for the terminal, as DOT, or as SVG.
 *
 * The drawing has a rail for each connection that is under way, as `git log --graph` has for
 * branches:
 *
 *     ● read  media.read
 *     ├─╮
 *     │ ● scale  video.scale
 *     ● │ level  audio.level
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

enum { RAILS_MAX = 64, FORMAT_BYTES = 160 };

extern char **environ;

typedef struct drawn_node {
    const char *id, *type;
    bool inserted;
    uint32_t strand;
} drawn_node;

typedef struct drawn_edge {
    uint32_t from, to;
    const char *from_port, *to_port; /* NULL: not known */
    bool is_link;
    char format[FORMAT_BYTES]; /* "": not known */
} drawn_edge;

/* Of the plan; of the graph as it is written where it cannot be planned. Nodes come before those
 * that they feed. */
typedef struct drawing {
    const char *name;
    bool is_plan;
    size_t node_count, edge_count;
    drawn_node *node;
    drawn_edge *edge;
} drawing;

/* ---- what is drawn */

static void take_plan(drawing *d, const rm_plan *plan)
{
    d->is_plan = true;
    for (size_t i = 0; i < d->node_count; i++) {
        rm_plan_node node;
        rm_plan_node_at(plan, i, &node);
        d->node[i] = (drawn_node){node.id, node.type->name, node.inserted != 0, node.strand};
    }
    for (size_t i = 0; i < d->edge_count; i++) {
        rm_plan_edge edge;
        rm_plan_node from, to;
        rm_plan_edge_at(plan, i, &edge);
        rm_plan_node_at(plan, edge.from_node, &from);
        rm_plan_node_at(plan, edge.to_node, &to);
        d->edge[i] = (drawn_edge){.from = edge.from_node,
                                  .to = edge.to_node,
                                  .from_port = from.type->outputs[edge.from_port].name,
                                  .to_port = to.type->inputs[edge.to_port].name,
                                  .is_link = edge.is_link != 0};
        if (edge.format->kind != RM_KIND_ANY) {
            rm_format_print(edge.format, d->edge[i].format, FORMAT_BYTES);
        }
    }
}

/* Place of each node so that edges go down; the graph has no cycle. */
static void sort(const rm_graph *graph, size_t count, uint32_t *place)
{
    for (size_t i = 0; i < count; i++) {
        place[i] = 0;
    }
    bool changed = true;
    for (size_t round = 0; changed && round <= count; round++) { /* longest way from a source */
        changed = false;
        for (size_t i = 0; i < rm_graph_edge_count(graph); i++) {
            rm_graph_edge edge;
            rm_graph_edge_at(graph, i, &edge);
            if (place[edge.to_node] <= place[edge.from_node]) {
                place[edge.to_node] = place[edge.from_node] + 1;
                changed = true;
            }
        }
    }
}

static void take_graph(drawing *d, const rm_graph *graph, uint32_t *place)
{
    uint32_t next = 0;
    sort(graph, d->node_count, place);
    for (uint32_t depth = 0; next < d->node_count && depth <= d->node_count; depth++) {
        for (size_t i = 0; i < d->node_count; i++) {
            rm_graph_node node;
            if (place[i] == depth) {
                rm_graph_node_at(graph, i, &node);
                d->node[next] = (drawn_node){.id = node.id, .type = node.node_type};
                place[d->node_count + i] = next++;
            }
        }
    }
    for (size_t i = 0; i < d->edge_count; i++) {
        rm_graph_edge edge;
        rm_graph_edge_at(graph, i, &edge);
        d->edge[i] = (drawn_edge){.from = place[d->node_count + edge.from_node],
                                  .to = place[d->node_count + edge.to_node],
                                  .from_port = edge.from_port_name,
                                  .to_port = edge.to_port_name};
    }
}

static rm_status drawing_make(drawing *d, const cli_pipeline *pipeline, rm_error *err)
{
    const rm_plan *plan = pipeline->plan;
    const rm_graph *graph = pipeline->graph;
    d->name = rm_graph_name(graph);
    d->node_count = plan ? rm_plan_node_count(plan) : rm_graph_node_count(graph);
    d->edge_count = plan ? rm_plan_edge_count(plan) : rm_graph_edge_count(graph);
    d->node = calloc(d->node_count + 1, sizeof *d->node);
    d->edge = calloc(d->edge_count + 1, sizeof *d->edge);
    uint32_t *place = calloc(2 * d->node_count + 1, sizeof *place);
    rm_status status = RM_OK;
    if (!d->node || !d->edge || !place) {
        status = rm_fail(err, RM_ENOMEM, "no memory for a drawing");
    } else if (plan) {
        take_plan(d, plan);
    } else {
        take_graph(d, graph, place);
    }
    free(place);
    return status;
}

static void drawing_release(drawing *d)
{
    free(d->node);
    free(d->edge);
}

/* ---- the terminal */

typedef struct rails {
    const drawing *d;
    bool color, utf8;
    size_t count;
    uint32_t edge[RAILS_MAX]; /* what is under way on each; UINT32_MAX: nothing */
    bool lost;                /* there were more than that */
} rails;

static bool is_busy(const rails *r, size_t rail)
{
    return rail < r->count && r->edge[rail] != UINT32_MAX;
}

static size_t take_rail(rails *r, uint32_t edge)
{
    size_t rail = 0;
    while (is_busy(r, rail)) {
        rail++;
    }
    if (rail == RAILS_MAX) {
        r->lost = true;
        return RAILS_MAX - 1;
    }
    r->edge[rail] = edge;
    r->count = rail + 1 > r->count ? rail + 1 : r->count;
    return rail;
}

static void drop_rail(rails *r, size_t rail)
{
    r->edge[rail] = UINT32_MAX;
    while (r->count > 0 && r->edge[r->count - 1] == UINT32_MAX) {
        r->count--;
    }
}

static void print_rails(const rails *r, size_t node_rail)
{
    size_t count = node_rail != SIZE_MAX && node_rail + 1 > r->count ? node_rail + 1 : r->count;
    for (size_t i = 0; i < count; i++) {
        if (i == node_rail) {
            printf("%s%s%s ", cli_paint(r->color, CLI_GREEN), r->utf8 ? "●" : "*",
                   cli_reset(r->color));
        } else {
            const char *rail = r->utf8 ? "│" : "|";
            printf("%s%s%s ", cli_paint(r->color, CLI_CYAN), is_busy(r, i) ? rail : " ",
                   cli_reset(r->color));
        }
    }
}

/* Where rails join or part. Of each pair of marks the second is for parting. */
enum {
    MARK_NONE,
    MARK_RAIL,
    MARK_MAIN,
    MARK_JOIN,
    MARK_PART,
    MARK_JOINS,
    MARK_PARTS,
    MARK_CROSS,
    MARK_LINE
};

typedef struct junction {
    uint64_t mask;
    size_t main, last;
    bool joins;
} junction;

/* What stands on rail i where those of `mask` join (or part) at `main`, the last one at `last`. */
static const char *junction_mark(const rails *r, const junction *j, size_t i)
{
    static const struct {
        const char *utf8, *plain;
    } marks[] = {[MARK_NONE] = {" ", " "},  [MARK_RAIL] = {"│", "|"},  [MARK_MAIN] = {"├", "+"},
                 [MARK_JOIN] = {"╯", "'"},  [MARK_PART] = {"╮", "."},  [MARK_JOINS] = {"┴", "+"},
                 [MARK_PARTS] = {"┬", "+"}, [MARK_CROSS] = {"┼", "-"}, [MARK_LINE] = {"─", "-"}};
    bool busy = is_busy(r, i);
    int mark = busy ? MARK_RAIL : MARK_NONE;
    if (i == j->main) {
        mark = MARK_MAIN;
    } else if (j->mask >> i & 1) {
        mark = (i == j->last ? MARK_JOIN : MARK_JOINS) + !j->joins;
    } else if (i > j->main && i < j->last) {
        mark = busy ? MARK_CROSS : MARK_LINE;
    }
    return r->utf8 ? marks[mark].utf8 : marks[mark].plain;
}

/* A row that joins (or parts) the rails of `mask` at `main`. */
static void print_junction(const rails *r, uint64_t mask, size_t main, bool joins)
{
    junction j = {mask, main, 63 - (size_t)__builtin_clzll(mask), joins};
    size_t end = r->count > j.last + 1 ? r->count : j.last + 1;
    const char *line = r->utf8 ? "─" : "-";
    fputs(cli_paint(r->color, CLI_CYAN), stdout);
    for (size_t i = 0; i < end; i++) {
        const char *between = i >= main && i < j.last ? line : " ";
        printf("%s%s", junction_mark(r, &j, i), i + 1 < end ? between : "");
    }
    printf("%s\n", cli_reset(r->color));
}

static bool differs(const char *a, const char *b)
{
    return a && b && strcmp(a, b) != 0;
}

/* Ports are named where a node at either end uses several. */
static bool names_ports(const drawing *d, const drawn_edge *edge)
{
    bool several = false;
    for (size_t i = 0; i < d->edge_count; i++) {
        const drawn_edge *other = &d->edge[i];
        several |= other->from == edge->from && differs(other->from_port, edge->from_port);
        several |= other->to == edge->to && differs(other->to_port, edge->to_port);
    }
    return several && edge->from_port && edge->to_port;
}

static void print_label(const rails *r, size_t rail)
{
    const drawn_edge *edge = &r->d->edge[r->edge[rail]];
    bool ports = names_ports(r->d, edge);
    if (!ports && !r->d->is_plan) {
        return;
    }
    print_rails(r, SIZE_MAX);
    printf("%s", cli_paint(r->color, CLI_DIM));
    if (ports) {
        printf("%s.%s to %s  ", r->d->node[edge->from].id, edge->from_port, edge->to_port);
    }
    printf("%s%s%s\n", edge->format[0] ? edge->format : "any format",
           edge->is_link ? "  (to another thread)" : "", cli_reset(r->color));
}

/* The rails that end in this node become one; returns it. */
static size_t join_rails(rails *r, uint32_t node)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < r->count; i++) {
        if (is_busy(r, i) && r->d->edge[r->edge[i]].to == node) {
            mask |= 1ull << i;
            print_label(r, i);
        }
    }
    if (mask == 0) {
        return take_rail(r, 0); /* a source: a rail of its own */
    }
    size_t main = (size_t)__builtin_ctzll(mask);
    if (mask & (mask - 1)) {
        print_junction(r, mask, main, true);
    }
    for (size_t i = RAILS_MAX; i-- > main + 1;) {
        if (mask >> i & 1) {
            drop_rail(r, i);
        }
    }
    return main;
}

static void part_rails(rails *r, uint32_t node, size_t rail)
{
    uint64_t mask = 0;
    bool first = true;
    for (uint32_t e = 0; e < r->d->edge_count; e++) {
        if (r->d->edge[e].from != node) {
            continue;
        }
        if (first) {
            r->edge[rail] = e;
            mask = 1ull << rail;
            first = false;
        } else {
            mask |= 1ull << take_rail(r, e);
        }
    }
    if (first) {
        drop_rail(r, rail);
    } else if (mask & (mask - 1)) {
        print_junction(r, mask, (size_t)__builtin_ctzll(mask), false);
    }
}

static int draw_text(const drawing *d, bool color)
{
    rails r = {.d = d, .color = color, .utf8 = cli_is_utf8()};
    for (size_t i = 0; i < RAILS_MAX; i++) {
        r.edge[i] = UINT32_MAX;
    }
    for (uint32_t n = 0; n < d->node_count; n++) {
        const drawn_node *node = &d->node[n];
        size_t rail = join_rails(&r, n);
        print_rails(&r, rail);
        printf("%s%s%s  %s%s%s%s\n", cli_paint(color, CLI_BOLD), node->id, cli_reset(color),
               node->type, cli_paint(color, CLI_DIM),
               node->inserted ? "  (inserted by the plan)" : "", cli_reset(color));
        part_rails(&r, n, rail);
    }
    if (r.lost) {
        printf("more than %d connections side by side; not all are drawn\n", RAILS_MAX);
    }
    return CLI_OK;
}

/* ---- DOT */

static void print_dot_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', out);
        }
        fputc(*text, out);
    }
}

/* A format takes a line a field, so that the drawing stays narrow. */
static void print_dot_format(FILE *out, const char *format)
{
    for (; *format; format++) {
        if (*format == ' ') {
            fputs("\\n", out);
        } else {
            char one[2] = {*format, 0};
            print_dot_text(out, one);
        }
    }
}

static void draw_dot(const drawing *d, FILE *out)
{
    fprintf(out, "digraph \"");
    print_dot_text(out, d->name);
    fprintf(out, "\" {\n  rankdir=LR;\n"
                 "  node [shape=box, style=\"rounded,filled\", fillcolor=\"#eef3fa\", "
                 "color=\"#4a6fa5\", fontname=\"Helvetica\", margin=\"0.18,0.1\"];\n"
                 "  edge [color=\"#666666\", fontname=\"Helvetica\", fontsize=9, "
                 "fontcolor=\"#444444\", arrowsize=0.7];\n");
    for (size_t i = 0; i < d->node_count; i++) {
        const drawn_node *node = &d->node[i];
        fprintf(out, "  n%zu [label=\"", i);
        print_dot_text(out, node->id);
        fprintf(out, "\\n");
        print_dot_text(out, node->type);
        fprintf(out, "\"%s];\n",
                node->inserted ? ", style=\"rounded,dashed\""
                : node->strand ? ", penwidth=2"
                               : "");
    }
    for (size_t i = 0; i < d->edge_count; i++) {
        const drawn_edge *edge = &d->edge[i];
        fprintf(out, "  n%u -> n%u [label=\"", edge->from, edge->to);
        print_dot_format(out, edge->format);
        fprintf(out, "\"%s];\n", edge->is_link ? ", style=bold" : "");
    }
    fprintf(out, "}\n");
}

/* ---- SVG, by Graphviz */

static rm_status no_graphviz(int failed, rm_error *err)
{
    if (failed != ENOENT) {
        return rm_fail_os(err, failed, "cannot start Graphviz's `dot`");
    }
    rm_status status = rm_fail_as(err, RM_CODE_DEPENDENCY_MISSING,
                                  "SVG needs Graphviz, and there is no program `dot`");
    rm_error_help(err, "apt-get install graphviz; or --format dot, which needs nothing");
    return status;
}

/* `dot` writes to this process's stdout; the DOT text goes into its stdin. */
static rm_status draw_svg(const drawing *d, rm_error *err)
{
    int ends[2];
    pid_t child;
    char *words[] = {"dot", "-Tsvg", NULL};
    fflush(stdout);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return rm_fail_os(err, errno, "cannot make a pipe");
    }
    posix_spawnattr_t attributes; /* SIGPIPE as usual: the reader of the picture may go away */
    sigset_t usual;
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    int failed = posix_spawnp(&child, words[0], &actions, &attributes, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(ends[0]);
    if (failed) {
        close(ends[1]);
        return no_graphviz(failed, err);
    }
    FILE *out = fdopen(ends[1], "w");
    if (out) {
        draw_dot(d, out);
        fclose(out);
    }
    int how = 0;
    while (waitpid(child, &how, 0) < 0 && errno == EINTR) {
    }
    bool by_pipe = WIFSIGNALED(how) && WTERMSIG(how) == SIGPIPE;
    if (!out || (how != 0 && !by_pipe)) {
        return rm_fail(err, RM_EFAIL, "`dot -Tsvg` failed with %d",
                       WIFEXITED(how) ? WEXITSTATUS(how) : -1);
    }
    return RM_OK;
}

/* ---- the command */

static int draw(const cli *state, const cli_pipeline *pipeline, const char *format)
{
    drawing d = {0};
    rm_error err = RM_ERROR_INIT;
    rm_status status = drawing_make(&d, pipeline, &err);
    if (status == RM_OK && strcmp(format, "svg") == 0) {
        status = draw_svg(&d, &err);
    } else if (status == RM_OK && strcmp(format, "dot") == 0) {
        draw_dot(&d, stdout);
    } else if (status == RM_OK) {
        draw_text(&d, state->color_out);
    }
    drawing_release(&d);
    return status == RM_OK ? CLI_OK : cli_fail(state, &err, CLI_FAILED);
}

int cli_graph(cli *state, const cli_arguments *arguments)
{
    rm_error err = RM_ERROR_INIT;
    cli_pipeline pipeline;
    const char *operand = arguments->operand[0];
    rm_status status = cli_pipeline_read(state, operand, CLI_TO_LOOK, &pipeline, &err);
    bool planned = status == RM_OK && cli_pipeline_plan(state, &pipeline, &err) == RM_OK;
    int code = CLI_OK;
    if (status != RM_OK || (state->json && !planned)) {
        code = cli_fail_findings(state, pipeline.source, pipeline.report, &err, CLI_BAD_MANIFEST);
    } else if (state->json) {
        code = cli_explain_plan(state, &pipeline);
    } else {
        code = draw(state, &pipeline, cli_value(arguments, "format"));
        if (!planned) { /* drawn as it is written, without formats */
            code =
                cli_fail_findings(state, pipeline.source, pipeline.report, &err, CLI_BAD_MANIFEST);
        }
    }
    cli_pipeline_release(&pipeline);
    return code;
}
