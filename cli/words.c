/* The words that the progress line shows while they come: what a recogniser's text output says now.
 *
 *     asr.text ──▶ json.write            as the manifest has it
 *         └──────▶ rm.words              added here, with policy latest, to outputs that end in a
 *     asr.partial ─▶ rm.words            sink, and to what the same node says before it is sure
 *
 * The added node only keeps the newest packet; the thread that draws makes text of it.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

enum { TAPS_MAX = 4 };

struct cli_words {
    rm_node_type type;
    char text[CLI_WORDS_BYTES]; /* the drawing thread's */
    pthread_mutex_t lock;

    /* Protected by lock. */
    rm_packet *latest;
};

/* ---- the node, on its producer's strand */

static rm_status keep(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)err;
    struct cli_words *words = node->type->user;
    rm_packet *packet = inputs->packet[0];
    if (packet->header.kind != RM_KIND_TEXT && packet->header.kind != RM_KIND_VALUE) {
        return RM_DONE; /* nothing to read there */
    }
    rm_packet_ref(packet);
    pthread_mutex_lock(&words->lock);
    rm_packet *before = words->latest;
    words->latest = packet;
    pthread_mutex_unlock(&words->lock);
    rm_packet_unref(before);
    return RM_OK;
}

static const rm_port any_in[] = {{.name = "in"}, {0}};

/* ---- adding it to a graph */

static bool ends_in_sink(const rm_plan *plan, const rm_plan_edge *edge)
{
    bool feeds = false;
    rm_plan_node from, to;
    rm_plan_node_at(plan, edge->from_node, &from);
    rm_plan_node_at(plan, edge->to_node, &to);
    for (size_t i = 0; i < rm_plan_edge_count(plan); i++) {
        rm_plan_edge other;
        rm_plan_edge_at(plan, i, &other);
        feeds |= other.from_node == edge->to_node;
    }
    uint8_t kind = edge->format->kind;
    bool readable = kind == RM_KIND_ANY || kind == RM_KIND_TEXT || kind == RM_KIND_VALUE;
    bool native = !(to.type->flags & RM_NODE_PYTHON) && strncmp(to.type->name, "rm.", 3) != 0;
    return readable && native && !feeds && !from.inserted &&
           strncmp(from.type->name, "rm.", 3) != 0;
}

/* A manifest without connections is a chain: written out, so that one can be added. */
static void write_connections(json_t *manifest, const rm_graph *graph)
{
    if (json_object_get(manifest, "connections")) {
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rm_graph_edge_count(graph); i++) {
        rm_graph_edge edge;
        rm_graph_node from, to;
        rm_graph_edge_at(graph, i, &edge);
        rm_graph_node_at(graph, edge.from_node, &from);
        rm_graph_node_at(graph, edge.to_node, &to);
        json_array_append_new(list, json_pack("{s:s, s:s}", "from", from.id, "to", to.id));
    }
    json_object_set_new(manifest, "connections", list);
}

static void add_tap(json_t *manifest, const rm_plan_node *from, uint32_t port, size_t *count)
{
    char id[32];
    if (*count == TAPS_MAX) {
        return;
    }
    snprintf(id, sizeof id, "rm-words-%zu", (*count)++);
    json_array_append_new(json_object_get(manifest, "nodes"),
                          json_pack("{s:s, s:s}", "id", id, "node_type", "rm.words"));
    json_array_append_new(json_object_get(manifest, "connections"),
                          json_pack("{s:s, s:s, s:s, s:s}", "from", from->id, "from_port",
                                    from->type->outputs[port].name, "to", id, "policy", "latest"));
}

/* The output for what is not final yet; UINT32_MAX: there is none. */
static uint32_t partial_port(const rm_node_type *type)
{
    for (uint32_t i = 0; type->outputs[i].name; i++) {
        if (strcmp(type->outputs[i].name, "partial") == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

static size_t add_taps(json_t *manifest, const rm_plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < rm_plan_edge_count(plan); i++) {
        rm_plan_edge edge;
        rm_plan_node from;
        rm_plan_edge_at(plan, i, &edge);
        if (!ends_in_sink(plan, &edge)) {
            continue;
        }
        rm_plan_node_at(plan, edge.from_node, &from);
        uint32_t partial = partial_port(from.type);
        if (partial != UINT32_MAX && partial != edge.from_port) {
            add_tap(manifest, &from, partial, &count);
        }
        add_tap(manifest, &from, edge.from_port, &count);
    }
    return count;
}

static rm_status replan(rm_cli_run *run, const json_t *manifest, rm_error *err)
{
    cli_pipeline *pipeline = &run->pipeline;
    cli_pipeline changed = {.registry = pipeline->registry, .python = pipeline->python};
    char *text = json_dumps(manifest, JSON_COMPACT);
    rm_status status = text ? rm_graph_parse(text, strlen(text), &changed.graph, NULL, err)
                            : rm_fail(err, RM_ENOMEM, "no memory for a manifest");
    free(text);
    if (status == RM_OK) {
        status = cli_pipeline_plan(run->state, &changed, err);
    }
    if (status == RM_OK) {
        rm_plan_free(pipeline->plan);
        rm_graph_free(pipeline->graph);
        pipeline->plan = changed.plan;
        pipeline->graph = changed.graph;
    } else {
        cli_python_tier_set_graph(pipeline->python, pipeline->graph);
        rm_graph_free(changed.graph);
    }
    return status;
}

/* Without it the run goes as well, so that a failure is only logged. */
void cli_words_add(rm_cli_run *run)
{
    rm_error err = RM_ERROR_INIT;
    char *text = NULL;
    struct cli_words *words = calloc(1, sizeof *words);
    rm_status status = words ? rm_graph_to_json(run->pipeline.graph, &text, &err)
                             : rm_fail(&err, RM_ENOMEM, "no memory for words");
    if (status != RM_OK) {
        rm_log(RM_LOG_DEBUG, "cli", "words are not shown: %s", err.message);
        free(words);
        return;
    }
    words->type = (rm_node_type){.struct_size = sizeof words->type,
                                 .name = "rm.words",
                                 .summary = "Keeps the newest packet for the progress line",
                                 .inputs = any_in,
                                 .process = keep,
                                 .user = words};
    pthread_mutex_init(&words->lock, NULL);
    run->words = words;
    json_t *manifest = json_loads(text, 0, NULL);
    rm_free(text);
    write_connections(manifest, run->pipeline.graph);
    if (add_taps(manifest, run->pipeline.plan) > 0) {
        status = rm_registry_add(run->pipeline.registry, &words->type, &err);
        if (status == RM_OK) {
            status = replan(run, manifest, &err);
        }
    }
    if (status != RM_OK) {
        rm_log(RM_LOG_DEBUG, "cli", "words are not shown: %s", err.message);
    }
    json_decref(manifest);
}

/* ---- the thread that draws */

static void read_value(const rm_packet *packet, char *text, size_t size)
{
    char *json = NULL;
    if (rm_value_to_json(packet->payload, (size_t)packet->header.payload_bytes, &json, NULL) !=
        RM_OK) {
        return;
    }
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    rm_free(json);
    const char *words =
        json_string_value(json_is_object(value) ? json_object_get(value, "text") : value);
    if (words) {
        snprintf(text, size, "%s", words);
    }
    json_decref(value);
}

const char *cli_words_text(rm_cli_run *run)
{
    struct cli_words *words = run->words;
    if (!words) {
        return "";
    }
    pthread_mutex_lock(&words->lock);
    rm_packet *latest = words->latest;
    words->latest = NULL;
    pthread_mutex_unlock(&words->lock);
    if (latest && latest->header.kind == RM_KIND_TEXT) {
        snprintf(words->text, sizeof words->text, "%.*s", (int)latest->header.payload_bytes,
                 (const char *)latest->payload);
    } else if (latest) {
        read_value(latest, words->text, sizeof words->text);
    }
    rm_packet_unref(latest);
    return words->text;
}

void cli_words_drop(rm_cli_run *run)
{
    if (run->words) {
        rm_packet_unref(run->words->latest);
        run->words->latest = NULL;
    }
}

void cli_words_free(rm_cli_run *run)
{
    if (run->words) {
        pthread_mutex_destroy(&run->words->lock);
        free(run->words);
    }
    run->words = NULL;
}
