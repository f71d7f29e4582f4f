/* What a run tells, in Prometheus' text format 0.0.4: a row of each node and edge.
 *
 * Labels are bounded by the graph: pipeline, node, type, edge ("a.out->b.in"), reason, quantile.
 */
#include <stdlib.h>
#include <string.h>

#include "exporter.h"
#include "families.h"

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static void put_escaped(FILE *out, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n') {
            fputs("\\n", out);
        } else {
            if (*value == '\\' || *value == '"') {
                fputc('\\', out);
            }
            fputc(*value, out);
        }
    }
}

static void put_label(FILE *out, char before, const char *name, const char *value)
{
    fprintf(out, "%c%s=\"", before, name);
    put_escaped(out, value);
    fputc('"', out);
}

/* Up to the labels that each row of the object has. */
static void begin_row(FILE *out, const json_t *told, const cli_family *f, const char *suffix,
                      const json_t *object)
{
    fprintf(out, "%s%s", f->name, suffix);
    put_label(out, '{', "pipeline", text(told, "pipeline"));
    if (f->scope == CLI_OF_NODE) {
        put_label(out, ',', "node", text(object, "id"));
        put_label(out, ',', "type", text(object, "type"));
    } else if (f->scope == CLI_OF_EDGE) {
        fputs(",edge=\"", out);
        put_escaped(out, text(object, "from"));
        fputc('.', out);
        put_escaped(out, text(object, "from_port"));
        fputs("->", out);
        put_escaped(out, text(object, "to"));
        fputc('.', out);
        put_escaped(out, text(object, "to_port"));
        fputc('"', out);
    }
}

static void end_row(FILE *out, double value)
{
    fprintf(out, "} %.17g\n", value);
}

static void put_summary(FILE *out, const json_t *told, const cli_family *f, const json_t *object,
                        const json_t *numbers)
{
    static const struct {
        const char *quantile, *key;
    } rows[] = {{"0.5", "p50_ns"}, {"0.9", "p90_ns"}, {"0.99", "p99_ns"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin_row(out, told, f, "", object);
        put_label(out, ',', "quantile", rows[i].quantile);
        end_row(out, json_number_value(json_object_get(numbers, rows[i].key)) * f->unit);
    }
    const json_t *count =
        *f->count ? json_object_get(numbers, f->count) : json_object_get(object, "calls");
    begin_row(out, told, f, "_sum", object);
    end_row(out, json_number_value(json_object_get(numbers, f->key)) * f->unit);
    begin_row(out, told, f, "_count", object);
    end_row(out, json_number_value(count));
}

/* A row for each reason. */
static void put_reasons(FILE *out, const json_t *told, const cli_family *f, const json_t *object,
                        json_t *numbers)
{
    const char *reason;
    const json_t *count;
    json_object_foreach(numbers, reason, count)
    {
        begin_row(out, told, f, "", object);
        put_label(out, ',', "reason", reason);
        end_row(out, json_number_value(count));
    }
}

/* The rows of one object; none where it has no such number, as a node that is in a long call. */
static void put_object(FILE *out, const json_t *told, const cli_family *f, const json_t *object)
{
    json_t *numbers = f->object ? json_object_get(object, f->object) : NULL;
    const json_t *value = json_object_get(f->object ? numbers : object, f->key ? f->key : "");
    if (!f->key) {
        put_reasons(out, told, f, object, numbers);
    } else if (value && f->kind == CLI_SUMMARY) {
        put_summary(out, told, f, object, numbers);
    } else if (value) {
        begin_row(out, told, f, "", object);
        end_row(out, json_number_value(value) * f->unit);
    }
}

static void put_family(FILE *out, const json_t *told, const cli_family *f)
{
    static const char *const kinds[] = {"counter", "gauge", "summary"};
    const json_t *metrics = json_object_get(told, "metrics");
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, kinds[f->kind]);
    if (f->scope == CLI_OF_RUN) {
        put_object(out, told, f, metrics);
        return;
    }
    const json_t *list = json_object_get(metrics, f->scope == CLI_OF_NODE ? "nodes" : "edges");
    for (size_t i = 0; i < json_array_size(list); i++) {
        put_object(out, told, f, json_array_get(list, i));
    }
}

char *cli_prometheus_text(const json_t *told)
{
    char *whole = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&whole, &bytes);
    if (!out) {
        return NULL;
    }
    for (size_t i = 0; i < cli_family_count; i++) {
        put_family(out, told, &cli_families[i]);
    }
    fputs("# HELP remotemedia_build_info The program's version.\n"
          "# TYPE remotemedia_build_info gauge\nremotemedia_build_info",
          out);
    put_label(out, '{', "version", text(told, "version"));
    fputs("} 1\n", out);
    if (fclose(out) != 0) {
        free(whole);
        return NULL;
    }
    return whole;
}
