/* A profile as a flame graph: an SVG in which a frame is as wide as the time that it stands for.
 *
 *     [ type or class ][ type ]
 *     [ node          ][ node ][ node ]
 *     [ strand 0              ][ work of … ]
 *     [ pipeline                           ]
 */
#include <errno.h>
#include <string.h>

#include "cli.h"
#include "profile.h"

enum {
    WIDTH = 1200,
    MARGIN = 10,
    ROW = 22,
    TITLE_ROWS = 2,
    LEVELS = 4,
    LABEL_BYTES = 256,
    TITLE_BYTES = 640
};
static const double letter_width = 7.3, narrowest = 0.5;

typedef struct canvas {
    FILE *out;
    double ns_each, run_ns; /* of a unit of the picture; of the run */
} canvas;

typedef struct frame {
    const char *name, *more; /* more: behind the numbers of the tooltip; "": nothing */
    unsigned level;          /* 0: at the bottom */
    double begin_ns, ns;
} frame;

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static void put_escaped(FILE *out, const char *value)
{
    for (; *value; value++) {
        switch (*value) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        default: fputc((unsigned char)*value < ' ' ? ' ' : *value, out);
        }
    }
}

/* One of many warm colours, as RGB; the same for the same name. */
static unsigned color_of(const char *name, unsigned level)
{
    unsigned hash = 2166136261u;
    for (; *name; name++) {
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    }
    unsigned green = 150 + hash % 70, blue = 70 + hash / 128 % 40 + 15 * level;
    return 0xff0000 | green << 8 | blue;
}

/* Numbers without a decimal comma, whatever the locale. */
static void put_number(FILE *out, const char *name, double value)
{
    long hundredths = (long)(value * 100 + 0.5);
    fprintf(out, " %s=\"%ld.%02ld\"", name, hundredths / 100, hundredths % 100);
}

static void put_label(const canvas *c, const frame *f, double x, double y, double width)
{
    char label[LABEL_BYTES] = "";
    double letters = (width - 6) / letter_width;
    enum { LETTERS_MAX = LABEL_BYTES / 4 };
    unsigned fit = letters > LETTERS_MAX ? LETTERS_MAX : letters < 0 ? 0 : (unsigned)letters;
    if (fit < 2) {
        return;
    }
    (void)cli_append(label, sizeof label, f->name, fit);
    fputs("<text", c->out);
    put_number(c->out, "x", x + 3);
    put_number(c->out, "y", y + ROW - 7);
    fputc('>', c->out);
    put_escaped(c->out, label);
    fputs("</text>", c->out);
}

static void put_frame(const canvas *c, const frame *f)
{
    char title[TITLE_BYTES], time[32];
    double x = MARGIN + f->begin_ns / c->ns_each, width = f->ns / c->ns_each;
    double y = MARGIN + (TITLE_ROWS + LEVELS - 1 - f->level) * (double)ROW;
    width = width < narrowest ? narrowest : width;
    snprintf(title, sizeof title, "%.200s: %s of work, %.1f %% of the run%.200s", f->name,
             cli_duration(f->ns, time, sizeof time), c->run_ns > 0 ? f->ns / c->run_ns * 100 : 0.0,
             f->more);
    fputs("<g><title>", c->out);
    put_escaped(c->out, title);
    fputs("</title><rect", c->out);
    put_number(c->out, "x", x);
    put_number(c->out, "y", y);
    put_number(c->out, "width", width);
    fprintf(c->out, " height=\"%d\" rx=\"2\" fill=\"#%06x\"/>", ROW - 1,
            color_of(f->name, f->level));
    put_label(c, f, x, y, width);
    fputs("</g>\n", c->out);
}

/* "app:Slow" is "Slow in app". */
static const char *type_words(const char *type, char *buffer, size_t size)
{
    const char *colon = strrchr(type, ':');
    if (colon) {
        snprintf(buffer, size, "class %.100s in %.*s", colon + 1, (int)(colon - type), type);
    } else {
        snprintf(buffer, size, "%.120s", type);
    }
    return buffer;
}

static void put_node(const canvas *c, const json_t *node, double begin_ns, double ns)
{
    char more[128], item[32], type[LABEL_BYTES];
    snprintf(more, sizeof more, "; %s an item, %.0f items",
             cli_duration(number(node, "item_ns"), item, sizeof item), number(node, "items"));
    put_frame(c, &(frame){text(node, "id"), more, 2, begin_ns, ns});
    put_frame(c, &(frame){type_words(text(node, "type"), type, sizeof type), "", 3, begin_ns, ns});
}

/* Nodes from left to right, the one that works most first; what is left is handing work over. */
static void put_lane(const canvas *c, const json_t *lane, const json_t *nodes, double begin_ns)
{
    const char *name = text(lane, "name");
    double left_ns = number(lane, "work_ns"), at_ns = begin_ns;
    put_frame(c, &(frame){name, "", 1, begin_ns, left_ns});
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        if (strcmp(text(node, "lane"), name) == 0) {
            double ns = number(node, "work_ns") < left_ns ? number(node, "work_ns") : left_ns;
            put_node(c, node, at_ns, ns);
            at_ns += ns;
            left_ns -= ns;
        }
    }
}

static void put_head(FILE *out, const char *pipeline)
{
    int height = 2 * MARGIN + (TITLE_ROWS + LEVELS) * ROW;
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\" font-family=\"monospace\" font-size=\"12\">\n"
            "<style>g:hover rect{stroke:#000}text{fill:#111}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
            "<text x=\"%d\" y=\"%d\" font-size=\"15\">",
            WIDTH, height, WIDTH, height, MARGIN, MARGIN + 14);
    put_escaped(out, pipeline);
    fprintf(out,
            ": the nodes' working time, by thread</text>\n<text x=\"%d\" y=\"%d\">wider is "
            "longer; point at a frame for its numbers</text>\n",
            MARGIN, MARGIN + 32);
}

static void put_graph(FILE *out, const json_t *report)
{
    const json_t *lanes = json_object_get(report, "lanes");
    double total_ns = 0, at_ns = 0;
    for (size_t i = 0; i < json_array_size(lanes); i++) {
        total_ns += number(json_array_get(lanes, i), "work_ns");
    }
    canvas c = {.out = out,
                .ns_each = (total_ns > 0 ? total_ns : 1) / (WIDTH - 2 * MARGIN),
                .run_ns = number(report, "elapsed_ns")};
    put_head(out, text(report, "pipeline"));
    put_frame(&c, &(frame){text(report, "pipeline"), "", 0, 0, total_ns});
    for (size_t i = 0; i < json_array_size(lanes); i++) {
        const json_t *lane = json_array_get(lanes, i);
        put_lane(&c, lane, json_object_get(report, "nodes"), at_ns);
        at_ns += number(lane, "work_ns");
    }
    fputs("</svg>\n", out);
}

rm_status cli_flame_write(const char *file, const json_t *report, rm_error *err)
{
    FILE *out = fopen(file, "we");
    if (!out) {
        return rm_fail_os(err, errno, "--flame: cannot write '%s'", file);
    }
    put_graph(out, report);
    bool failed = ferror(out) != 0;
    failed |= fclose(out) != 0;
    return failed ? rm_fail_os(err, errno, "--flame: cannot write '%s'", file) : RM_OK;
}
