#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static clockid_t clock_used = CLOCK_MONOTONIC;

void bench_use_cpu_time(void)
{
    clock_used = CLOCK_PROCESS_CPUTIME_ID;
}

double bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(clock_used, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

void bench_row(const char *row, double ours, double peer)
{
    printf("{\"row\": \"%s\", \"ours\": %.6g, \"peer\": %.6g}\n", row, ours, peer);
    fflush(stdout);
}

void bench_note(const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printf("{\"note\": \"%s\"}\n", text);
    fflush(stdout);
}

void bench_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

void bench_check(rm_status status, const rm_error *error)
{
    if (status < 0) {
        bench_fail("%s", error->message);
    }
}

unsigned bench_argument(int argc, char **argv, int index, unsigned otherwise)
{
    if (index >= argc) {
        return otherwise;
    }
    char *end;
    unsigned long value = strtoul(argv[index], &end, 10);
    if (*end || value < 1 || value > 1000000000) {
        bench_fail("argument %d is '%s', want a number from 1 to 1000000000", index, argv[index]);
    }
    return (unsigned)value;
}

/* ---- source and sink */

typedef struct source_params {
    int64_t items, burst;
} source_params;

typedef struct source {
    int64_t sent;
} source;

/* Of the chain that runs: one at a time. */
static double first_ns, last_ns;
static int64_t seen;

static int16_t sample_of(int64_t number)
{
    return (int16_t)(number * 7 + 3);
}

static rm_status source_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    source *self = node->state;
    const source_params *params = node->params;
    if (self->sent == params->items) {
        return RM_DONE;
    }
    if (self->sent == 0) {
        first_ns = bench_now_ns();
    }
    for (int64_t i = 0; i < params->burst; i++) {
        rm_packet *packet = NULL;
        rm_status status = rm_packet_new(node, BENCH_PAYLOAD_BYTES, &packet);
        if (status != RM_OK) {
            return i == 0 ? status : RM_EFAIL; /* the pool is far larger than the edges */
        }
        rm_packet_header *header = &packet->header;
        header->kind = RM_KIND_AUDIO;
        header->pts_ns = self->sent * 20000000;
        header->duration_ns = 20000000;
        header->format.audio.rate_hz = BENCH_RATE_HZ;
        header->format.audio.channels = 1;
        header->format.audio.sample_format = RM_SAMPLE_S16;
        header->instance.audio.frames = BENCH_FRAMES;
        int16_t *samples = packet->payload;
        samples[0] = samples[BENCH_FRAMES - 1] = sample_of(self->sent);
        self->sent++;
        status = rm_emit(node, 0, packet);
        if (status != RM_OK) {
            return status;
        }
    }
    return RM_OK;
}

static rm_status sink_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    const rm_packet *packet = inputs->packet[0];
    const int16_t *samples = packet->payload;
    if (packet->header.pts_ns != seen * 20000000 || samples[0] != sample_of(seen) ||
        samples[BENCH_FRAMES - 1] != sample_of(seen) ||
        packet->header.format.audio.rate_hz != BENCH_RATE_HZ) {
        return rm_fail(err, RM_EFAIL, "packet %lld is not the one that was sent", (long long)seen);
    }
    seen++;
    return RM_OK;
}

static rm_status sink_flush(rm_node *node, rm_error *err)
{
    (void)node;
    (void)err;
    last_ns = bench_now_ns();
    return RM_OK;
}

static const rm_param source_params_table[] = {
    {.name = "items",
     .kind = RM_PARAM_INT,
     .flags = RM_PARAM_REQUIRED,
     .offset = offsetof(source_params, items),
     .summary = "how many packets"},
    {.name = "burst",
     .kind = RM_PARAM_INT,
     .offset = offsetof(source_params, burst),
     .default_json = "1",
     .summary = "packets a call"},
    {0},
};

static const rm_port source_outputs[] = {
    {.name = "out",
     .formats = "audio rate_hz=48000 channels=1 sample_format=s16 planar=0",
     .emit_max = RM_EMIT_MAX},
    {0}};
static const rm_port sink_inputs[] = {{.name = "in"}, {0}};

static const rm_node_type source_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "bench.source",
    .summary = "Give numbered packets",
    .outputs = source_outputs,
    .params = source_params_table,
    .params_size = sizeof(source_params),
    .state_size = sizeof(source),
    .process = source_process,
};

static const rm_node_type sink_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "bench.sink",
    .summary = "Check numbered packets",
    .inputs = sink_inputs,
    .process = sink_process,
    .flush = sink_flush,
};

static const rm_node_type heavy_sink_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "bench.heavy_sink",
    .summary = "Check numbered packets, on a strand of its own",
    .flags = RM_NODE_HEAVY,
    .inputs = sink_inputs,
    .process = sink_process,
    .flush = sink_flush,
};

static const rm_node_type *const chain_types[] = {&source_type, &sink_type, &heavy_sink_type, NULL};

void bench_registry_add(rm_registry *registry)
{
    rm_error error = RM_ERROR_INIT;
    seen = 0;
    for (size_t i = 0; chain_types[i]; i++) {
        bench_check(rm_registry_add(registry, chain_types[i], &error), &error);
    }
}

/* ---- running */

/* A step's budget: as many calls as the thread driver gives. */
rm_status bench_session_run(rm_session *session)
{
    int64_t next_ns, now_ns = 1;
    rm_status status;
    do {
        status = rm_session_step(session, now_ns++, 1024, &next_ns);
    } while (status == RM_MORE);
    return status;
}

static double run_plan(const rm_plan *plan, const rm_session_options *options)
{
    rm_error error = RM_ERROR_INIT;
    rm_session *session = NULL;
    double begin_ns = bench_now_ns();
    bench_check(rm_session_open(plan, options, &session, &error), &error);
    rm_status status = options->driver == RM_DRIVER_THREAD ? rm_session_wait(session, -1)
                                                           : bench_session_run(session);
    double took_ns = bench_now_ns() - begin_ns;
    if (status != RM_DONE) {
        (void)rm_session_error(session, &error);
        bench_fail("the session ended with %s: %s", rm_status_name(status), error.message);
    }
    rm_session_free(session);
    return took_ns;
}

static double run_graph(rm_graph *takes_graph, const rm_node_type *const *types,
                        const rm_session_options *options)
{
    rm_error error = RM_ERROR_INIT;
    rm_registry *registry = NULL;
    rm_plan *plan = NULL;
    bench_check(rm_registry_new(&registry, &error), &error);
    for (size_t i = 0; types[i]; i++) {
        bench_check(rm_registry_add(registry, types[i], &error), &error);
    }
    bench_check(rm_graph_plan(takes_graph, registry, NULL, &plan, NULL, &error), &error);
    size_t strands = rm_plan_strand_count(plan);
    if (strands != (options->driver == RM_DRIVER_CALLER ? 1 : 2)) {
        bench_fail("the plan has %zu strands", strands);
    }
    double took_ns = run_plan(plan, options);
    rm_plan_free(plan);
    rm_graph_free(takes_graph);
    rm_registry_free(registry);
    return took_ns;
}

double bench_manifest_run(const char *manifest, const rm_node_type *const *types,
                          const rm_session_options *options)
{
    rm_error error = RM_ERROR_INIT;
    rm_graph *graph = NULL;
    bench_check(rm_graph_parse(manifest, strlen(manifest), &graph, NULL, &error), &error);
    return run_graph(graph, types, options);
}

double bench_inline_run(const char *pipeline, const rm_node_type *const *types,
                        const rm_session_options *options)
{
    rm_error error = RM_ERROR_INIT;
    rm_graph *graph = NULL;
    bench_check(rm_graph_parse_inline(pipeline, &graph, &error), &error);
    return run_graph(graph, types, options);
}

/* ---- the chain */

enum { MANIFEST_BYTES = 32768, CHAIN_TYPES_MAX = 8 };

static void append(char *text, const char *format, ...) RM_PRINTF(2, 3);

static void append(char *text, const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    int wrote = vsnprintf(text + used, MANIFEST_BYTES - used, format, arguments);
    va_end(arguments);
    if (wrote < 0 || (size_t)wrote >= MANIFEST_BYTES - used) {
        bench_fail("the manifest is longer than %d bytes", MANIFEST_BYTES);
    }
}

static void write_manifest(const bench_chain *chain, char *text)
{
    text[0] = '\0';
    append(text,
           "{\"version\": \"v1\", \"metadata\": {\"name\": \"chain\"}, \"nodes\": ["
           "{\"id\": \"n0\", \"node_type\": \"bench.source\","
           " \"params\": {\"items\": %u, \"burst\": %u}}",
           chain->items, chain->burst);
    for (unsigned i = 1; i <= chain->passes; i++) {
        append(text, ", {\"id\": \"n%u\", \"node_type\": \"%s\"}", i,
               chain->type ? chain->type->name : "test.pass");
    }
    append(text, ", {\"id\": \"n%u\", \"node_type\": \"bench.%s\"}], \"connections\": [",
           chain->passes + 1, chain->two_threads ? "heavy_sink" : "sink");
    for (unsigned i = 0; i <= chain->passes; i++) {
        append(text, "%s{\"from\": \"n%u\", \"to\": \"n%u\"", i ? ", " : "", i, i + 1);
        if (chain->capacity) {
            append(text, ", \"capacity\": {\"packets\": %u}", chain->capacity);
        }
        append(text, "}");
    }
    append(text, "]}");
}

double bench_chain_run(const bench_chain *chain)
{
    char text[MANIFEST_BYTES];
    const rm_node_type *types[CHAIN_TYPES_MAX] = {0};
    size_t count = 0;
    for (; chain_types[count]; count++) {
        types[count] = chain_types[count];
    }
    types[count] = chain->type;
    write_manifest(chain, text);
    seen = 0;
    rm_session_options options = {.struct_size = sizeof options,
                                  .driver =
                                      chain->two_threads ? RM_DRIVER_THREAD : RM_DRIVER_CALLER,
                                  .metrics_off = chain->metrics_off};
    (void)bench_manifest_run(text, types, &options);
    if (seen != chain->items) {
        bench_fail("%lld packets arrived, want %u", (long long)seen, chain->items);
    }
    return last_ns - first_ns;
}
