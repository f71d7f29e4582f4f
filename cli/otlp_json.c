/* Spans and numbers as OTLP's JSON.
 *
 * Source: opentelemetry-proto 1.x, docs/specification.md "JSON Protobuf Encoding": ids are
 * hexadecimal text, 64-bit integers decimal text, enumerators numbers.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "families.h"
#include "otlp.h"

enum { SPAN_KIND_INTERNAL = 1, STATUS_OK = 1, STATUS_ERROR = 2, TEMPORALITY_CUMULATIVE = 2 };

static json_t *attribute(const char *key, const char *text)
{
    return json_pack("{s:s, s:{s:o}}", "key", key, "value", "stringValue", cli_text_json(text));
}

static json_t *decimal(json_int_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, (int64_t)number);
    return json_string(text);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static json_t *time_of(const json_t *object, const char *key)
{
    return decimal(json_integer_value(json_object_get(object, key)));
}

json_t *cli_otlp_resource(const char *pipeline)
{
    const char *service = getenv("OTEL_SERVICE_NAME");
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    return json_pack("[o, o, o, {s:s, s:{s:s}}]",
                     attribute("service.name", service && *service ? service : "remotemedia"),
                     attribute("service.version", rm_version()),
                     attribute("remotemedia.pipeline", pipeline), "key", "process.pid", "value",
                     "intValue", pid);
}

static json_t *scope(void)
{
    return json_pack("{s:s, s:s}", "name", "remotemedia", "version", rm_version());
}

/* Takes the list. */
static char *whole(const cli_otlp_run *run, const char *resources, const char *scopes,
                   const char *key, json_t *takes_list)
{
    json_t *json = json_pack("{s:[{s:{s:O}, s:[{s:o, s:o}]}]}", resources, "resource", "attributes",
                             run->resource, scopes, "scope", scope(), key, takes_list);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

/* ---- spans */

static json_t *node_span(const json_t *span)
{
    const char *error = json_string_value(json_object_get(span, "error"));
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:o, s:o, s:[o, o]}", "traceId", text_of(span, "trace_id"),
        "spanId", text_of(span, "span_id"), "parentSpanId", text_of(span, "parent_span_id"), "name",
        text_of(span, "node"), "kind", SPAN_KIND_INTERNAL, "startTimeUnixNano",
        time_of(span, "begin_unix_ns"), "endTimeUnixNano", time_of(span, "end_unix_ns"),
        "attributes", attribute("remotemedia.node", text_of(span, "node")),
        attribute("remotemedia.type", text_of(span, "type")));
    if (error) {
        json_object_set_new(json, "status",
                            json_pack("{s:i, s:s}", "code", STATUS_ERROR, "message", error));
    }
    return json;
}

static json_t *run_span(const cli_otlp_run *run)
{
    const json_t *spans = run->spans;
    json_t *json = json_pack(
        "{s:s, s:s, s:s*, s:s, s:i, s:o, s:o}", "traceId", text_of(spans, "trace_id"), "spanId",
        text_of(spans, "span_id"), "parentSpanId",
        json_string_value(json_object_get(spans, "parent_span_id")), "name", "remotemedia run",
        "kind", SPAN_KIND_INTERNAL, "startTimeUnixNano", time_of(spans, "begin_unix_ns"),
        "endTimeUnixNano", time_of(spans, "now_unix_ns"));
    json_t *status = run->error ? json_pack("{s:i, s:o}", "code", STATUS_ERROR, "message",
                                            cli_text_json(run->error->message))
                                : json_pack("{s:i}", "code", STATUS_OK);
    json_object_set_new(json, "status", status);
    return json;
}

char *cli_otlp_traces(const cli_otlp_run *run)
{
    json_t *list = json_array();
    const json_t *spans = json_object_get(run->spans, "spans");
    for (size_t i = 0; i < json_array_size(spans); i++) {
        json_array_append_new(list, node_span(json_array_get(spans, i)));
    }
    if (run->ended && json_is_true(json_object_get(run->spans, "sampled"))) {
        json_array_append_new(list, run_span(run));
    }
    return whole(run, "resourceSpans", "scopeSpans", "spans", list);
}

/* ---- numbers */

/* remotemedia_node_call_seconds -> remotemedia.node.call, in s. */
static void name_family(const cli_family *family, char name[96], const char **ret_unit)
{
    static const struct {
        const char *word, *unit;
    } words[] = {{"_total", NULL}, {"_seconds", "s"}, {"_bytes", "By"}};
    *ret_unit = "1";
    snprintf(name, 96, "%s", family->name);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char *found = strstr(name, words[i].word);
        if (found) {
            char *rest = found + strlen(words[i].word);
            memmove(found, rest, strlen(rest) + 1);
            *ret_unit = words[i].unit ? words[i].unit : *ret_unit;
        }
    }
    for (char *c = name; *c; c++) {
        *c = *c == '_' ? '.' : *c;
    }
}

static json_t *labels(const cli_family *family, const json_t *object)
{
    char edge[512];
    if (family->scope == CLI_OF_NODE) {
        return json_pack("[o, o]", attribute("node", text_of(object, "id")),
                         attribute("type", text_of(object, "type")));
    }
    if (family->scope == CLI_OF_RUN) {
        return json_array();
    }
    snprintf(edge, sizeof edge, "%.120s.%.120s->%.120s.%.120s", text_of(object, "from"),
             text_of(object, "from_port"), text_of(object, "to"), text_of(object, "to_port"));
    return json_pack("[o]", attribute("edge", edge));
}

static json_t *begin_point(const cli_otlp_run *run, const cli_family *family, const json_t *object)
{
    return json_pack("{s:o, s:o, s:o}", "attributes", labels(family, object), "startTimeUnixNano",
                     time_of(run->spans, "begin_unix_ns"), "timeUnixNano",
                     time_of(run->spans, "now_unix_ns"));
}

static void fill_summary(json_t *point, const cli_family *family, const json_t *object,
                         const json_t *numbers)
{
    static const struct {
        double quantile;
        const char *key;
    } rows[] = {{0.5, "p50_ns"}, {0.9, "p90_ns"}, {0.99, "p99_ns"}};
    json_t *quantiles = json_array();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double value = json_number_value(json_object_get(numbers, rows[i].key)) * family->unit;
        json_array_append_new(
            quantiles, json_pack("{s:f, s:f}", "quantile", rows[i].quantile, "value", value));
    }
    const json_t *count =
        *family->count ? json_object_get(numbers, family->count) : json_object_get(object, "calls");
    double sum = json_number_value(json_object_get(numbers, family->key)) * family->unit;
    json_object_set_new(point, "count", decimal((json_int_t)json_number_value(count)));
    json_object_set_new(point, "sum", json_real(sum));
    json_object_set_new(point, "quantileValues", quantiles);
}

/* The points of one node, edge or run; none where it has no such number. */
static void add_points(json_t *points, const cli_otlp_run *run, const cli_family *family,
                       const json_t *object)
{
    json_t *numbers = family->object ? json_object_get(object, family->object) : NULL;
    const json_t *value =
        json_object_get(family->object ? numbers : object, family->key ? family->key : "");
    const char *reason;
    if (!family->key) {
        json_object_foreach(numbers, reason, value)
        {
            json_t *point = begin_point(run, family, object);
            json_array_append_new(json_object_get(point, "attributes"),
                                  attribute("reason", reason));
            json_object_set_new(point, "asDouble", json_real(json_number_value(value)));
            json_array_append_new(points, point);
        }
    } else if (value) {
        json_t *point = begin_point(run, family, object);
        if (family->kind == CLI_SUMMARY) {
            fill_summary(point, family, object, numbers);
        } else {
            json_object_set_new(point, "asDouble",
                                json_real(json_number_value(value) * family->unit));
        }
        json_array_append_new(points, point);
    }
}

static json_t *points_of(const cli_otlp_run *run, const cli_family *family)
{
    json_t *points = json_array();
    if (family->scope == CLI_OF_RUN) {
        add_points(points, run, family, run->metrics);
        return points;
    }
    const json_t *list =
        json_object_get(run->metrics, family->scope == CLI_OF_NODE ? "nodes" : "edges");
    for (size_t i = 0; i < json_array_size(list); i++) {
        add_points(points, run, family, json_array_get(list, i));
    }
    return points;
}

static json_t *metric(const cli_otlp_run *run, const cli_family *family)
{
    static const char *const kinds[] = {"sum", "gauge", "summary"};
    char name[96];
    const char *unit;
    name_family(family, name, &unit);
    json_t *data = json_pack("{s:o}", "dataPoints", points_of(run, family));
    if (family->kind == CLI_COUNTER) {
        json_object_set_new(data, "aggregationTemporality", json_integer(TEMPORALITY_CUMULATIVE));
        json_object_set_new(data, "isMonotonic", json_true());
    }
    return json_pack("{s:s, s:s, s:s, s:o}", "name", name, "description", family->help, "unit",
                     unit, kinds[family->kind], data);
}

char *cli_otlp_metrics(const cli_otlp_run *run)
{
    json_t *list = json_array();
    for (size_t i = 0; i < cli_family_count; i++) {
        json_array_append_new(list, metric(run, &cli_families[i]));
    }
    return whole(run, "resourceMetrics", "scopeMetrics", "metrics", list);
}
