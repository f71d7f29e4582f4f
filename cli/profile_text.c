/* A profile's report for a person. */
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "profile.h"

enum { NODES_SHOWN_MAX = 20, QUEUES_SHOWN_MAX = 40, ID_COLUMNS = 24, TYPE_COLUMNS = 24 };

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static const json_t *node_of(const json_t *report, const char *id)
{
    const json_t *nodes = json_object_get(report, "nodes");
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        if (strcmp(text(json_array_get(nodes, i), "id"), id) == 0) {
            return json_array_get(nodes, i);
        }
    }
    return NULL;
}

static void print_cell(FILE *out, const char *value, unsigned columns)
{
    char cell[512] = "";
    unsigned width = cli_append(cell, sizeof cell, value, columns);
    fprintf(out, "%s%*s", cell, (int)(columns - width), "");
}

static void print_title(FILE *out, bool color, const char *title)
{
    fprintf(out, "\n%s%s%s\n", cli_paint(color, CLI_BOLD), title, cli_reset(color));
}

static void print_headline(FILE *out, const json_t *report)
{
    char elapsed[32], cpu[32], media[32];
    fprintf(out, "profile of '%s': %s", text(report, "pipeline"),
            cli_duration(number(report, "elapsed_ns"), elapsed, sizeof elapsed));
    if (number(report, "media_ns") > 0) {
        fprintf(out, " for %s of media, %.1fx real time",
                cli_duration(number(report, "media_ns"), media, sizeof media),
                number(report, "speed"));
    }
    if (number(report, "cpu_ns") > 0) {
        fprintf(out, "; %s of processor time",
                cli_duration(number(report, "cpu_ns"), cpu, sizeof cpu));
    }
    fputc('\n', out);
}

static void print_findings(FILE *out, bool color, const json_t *report)
{
    const json_t *findings = json_object_get(report, "findings");
    unsigned width = cli_width(STDOUT_FILENO);
    print_title(out, color, "What to do");
    for (size_t i = 0; i < json_array_size(findings); i++) {
        fputs("  - ", out);
        cli_print_wrapped(out, text(json_array_get(findings, i), "text"), 4, width);
    }
}

static void print_path(FILE *out, bool color, const json_t *report)
{
    const json_t *path = json_object_get(report, "critical_path");
    print_title(out, color, "Critical path");
    for (size_t i = 0; i < json_array_size(path); i++) {
        char wait[32];
        const char *id = json_string_value(json_array_get(path, i));
        const json_t *node = node_of(report, id);
        fprintf(out, "  %s ", i ? "->" : "  ");
        print_cell(out, id, ID_COLUMNS);
        fprintf(out, " works %5.1f %%", number(node, "work") * 100);
        if (i) {
            fprintf(out, ", packets wait %s before it",
                    cli_duration(number(node, "wait_ns"), wait, sizeof wait));
        }
        fputc('\n', out);
    }
}

static void print_nodes(FILE *out, bool color, const json_t *report)
{
    const json_t *nodes = json_object_get(report, "nodes");
    size_t count = json_array_size(nodes);
    print_title(out, color, "Nodes by time");
    for (size_t i = 0; i < count && i < NODES_SHOWN_MAX; i++) {
        char work[32], item[32];
        const json_t *node = json_array_get(nodes, i);
        fputs("  ", out);
        print_cell(out, text(node, "id"), ID_COLUMNS);
        fputc(' ', out);
        print_cell(out, text(node, "type"), TYPE_COLUMNS);
        fprintf(out, " %9s %5.1f %%  %9s an item\n",
                cli_duration(number(node, "work_ns"), work, sizeof work),
                number(node, "share") * 100,
                cli_duration(number(node, "item_ns"), item, sizeof item));
    }
    if (count > NODES_SHOWN_MAX) {
        fprintf(out, "  and %zu more\n", count - NODES_SHOWN_MAX);
    }
}

static void print_lanes(FILE *out, bool color, const json_t *report)
{
    const json_t *lanes = json_object_get(report, "lanes");
    print_title(out, color, "Threads and work beside them");
    for (size_t i = 0; i < json_array_size(lanes) && i < NODES_SHOWN_MAX; i++) {
        const json_t *lane = json_array_get(lanes, i), *ids = json_object_get(lane, "nodes");
        fputs("  ", out);
        print_cell(out, text(lane, "name"), ID_COLUMNS);
        fprintf(out, " works %5.1f %%, %zu node%s\n", number(lane, "busy") * 100,
                json_array_size(ids), json_array_size(ids) == 1 ? "" : "s");
    }
}

static const char *words_for(const char *state)
{
    static const char *const words[][2] = {
        {"full", "full: what feeds it is held"},
        {"empty", "empty: what it feeds waits for input"},
        {"busy", "neither full nor empty"},
        {"direct", "handed over at once"},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i][0], state) == 0) {
            return words[i][1];
        }
    }
    return state;
}

static void print_queues(FILE *out, bool color, const json_t *report)
{
    const json_t *queues = json_object_get(report, "queues");
    size_t count = json_array_size(queues);
    print_title(out, color, "Where packets wait");
    for (size_t i = 0; i < count && i < QUEUES_SHOWN_MAX; i++) {
        const json_t *queue = json_array_get(queues, i);
        char name[2 * ID_COLUMNS + 8];
        snprintf(name, sizeof name, "%.*s -> %.*s", ID_COLUMNS, text(queue, "from"), ID_COLUMNS,
                 text(queue, "to"));
        fputs("  ", out);
        print_cell(out, name, ID_COLUMNS + TYPE_COLUMNS);
        fprintf(out, " %6.1f of %-4.0f %s", number(queue, "mean"), number(queue, "capacity"),
                words_for(text(queue, "state")));
        if (number(queue, "drops") > 0) {
            fprintf(out, ", %.0f dropped", number(queue, "drops"));
        }
        fputc('\n', out);
    }
    if (count > QUEUES_SHOWN_MAX) {
        fprintf(out, "  and %zu more\n", count - QUEUES_SHOWN_MAX);
    }
}

void cli_profile_print(FILE *out, bool color, const json_t *report)
{
    print_headline(out, report);
    print_findings(out, color, report);
    print_path(out, color, report);
    print_nodes(out, color, report);
    print_lanes(out, color, report);
    print_queues(out, color, report);
}
