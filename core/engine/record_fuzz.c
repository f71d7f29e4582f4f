/* record_fuzz.c — the record of a small run with some of its bytes changed, its checksums mended:
 * refused, or replayed to its end or to where it does not fit. And any bytes as a file: refused.
 */
#include <unistd.h>

#include "engine/file_fuzz.h"
#include "engine/replay.h"

enum { NUMBERS = 12, STEPS_MAX = 5000 };

static rm_registry *registry;
static rmi_bytes graph, entries; /* the chunk of the graph, and the bodies of all others */

static rm_status source_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    return fuzz_source(node, NUMBERS);
}

static rm_status later_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    rm_node_complete(node, rm_forward(node, 0), NULL);
    return RM_PENDING;
}

static rm_status told(rm_node *node, const rm_control *control, rm_error *err)
{
    (void)node;
    (void)control;
    (void)err;
    return RM_OK;
}

static rm_status sink_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    (void)inputs;
    (void)err;
    return RM_OK;
}

static const rm_port in[] = {{.name = "in"}, {0}}, out[] = {{.name = "out"}, {0}};

#define TYPE(type_name, in_ports, out_ports, ...)                                               \
    {                                                                                           \
        .struct_size = sizeof(rm_node_type), .name = type_name, .summary = "See record_fuzz.c", \
        .inputs = in_ports, .outputs = out_ports, .state_size = sizeof(fuzz_state), __VA_ARGS__ \
    }

static const rm_node_type types[] = {
    TYPE("z.source", NULL, out, .process = source_process),
    TYPE("z.twice", in, out, .process = fuzz_twice, .control = told),
    TYPE("z.later", in, out, .process = later_process, .control = told),
    TYPE("z.sink", in, NULL, .process = sink_process)};

static const char manifest[] =
    "{\"version\":\"v1\",\"metadata\":{\"name\":\"z\"},\"nodes\":["
    "{\"id\":\"a\",\"node_type\":\"z.source\"},{\"id\":\"b\",\"node_type\":\"z.source\"},"
    "{\"id\":\"twice\",\"node_type\":\"z.twice\",\"on_error\":{\"policy\":\"retry\",\"attempts\":2,"
    "\"backoff_ms\":0}},"
    "{\"id\":\"later\",\"node_type\":\"z.later\"},{\"id\":\"sink\",\"node_type\":\"z.sink\"}],"
    "\"connections\":[{\"from\":\"a\",\"to\":\"twice\"},{\"from\":\"b\",\"to\":\"twice\"},"
    "{\"from\":\"twice\",\"to\":\"later\",\"capacity\":{\"packets\":2},\"policy\":\"drop_oldest\"},"
    "{\"from\":\"later\",\"to\":\"sink\"}]}";

static void record_a_run(const char *path)
{
    rm_graph *parsed = NULL;
    rm_plan *plan = NULL;
    rm_session *session = NULL;
    rm_session_options options = {
        .struct_size = sizeof options, .driver = RM_DRIVER_THREAD, .record_path = path};
    must(rm_graph_parse(manifest, sizeof manifest - 1, &parsed, NULL, NULL) == RM_OK);
    must(rm_graph_plan(parsed, registry, NULL, &plan, NULL, NULL) == RM_OK);
    must(rm_session_open(plan, &options, &session, NULL) == RM_OK);
    must(rm_session_wait(session, -1) == RM_DONE);
    rm_session_free(session);
    rm_plan_free(plan);
    rm_graph_free(parsed);
}

/* Each entry, again: as a whole they are one body. */
static void split(const uint8_t *file, size_t bytes)
{
    rmi_record_reader reader;
    rmi_record_entry entry;
    must(rmi_record_read(&reader, file, bytes, NULL) == RM_OK);
    while (rmi_record_next(&reader, &entry, NULL) == RM_OK) {
        rmi_record_add(entry.kind == RMI_RECORD_GRAPH ? &graph : &entries, &entry);
    }
    must(graph.bytes > 0 && entries.bytes > 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    static uint8_t file[1 << 20];
    char path[] = "/tmp/remotemedia-record-fuzz-XXXXXX";
    int fd = mkstemp(path);
    must(fd >= 0 && rm_registry_new(&registry, NULL) == RM_OK);
    for (size_t i = 0; i < RMI_COUNT(types); i++) {
        must(rm_registry_add(registry, &types[i], NULL) == RM_OK);
    }
    record_a_run(path);
    ssize_t bytes = read(fd, file, sizeof file);
    must(bytes > 0);
    (void)close(fd);
    (void)unlink(path);
    split(file, (size_t)bytes);
    return 0;
}

static void add_chunk(rmi_bytes *file, const rmi_bytes *body)
{
    uint8_t head[RMI_RECORD_CHUNK_HEAD_BYTES];
    rmi_record_make_chunk_head(head, body);
    rmi_bytes_add(file, head, sizeof head);
    rmi_bytes_add(file, body->data, body->bytes);
}

static void replay(const void *data, size_t bytes)
{
    rm_error err = RM_ERROR_INIT;
    rm_replay *again = NULL;
    rm_replay_options options = {.struct_size = sizeof options, .memory_bytes_max = 1 << 20};
    if (rmi_replay_of(data, bytes, registry, &options, &again, &err) != RM_OK) {
        return;
    }
    rm_status status = RM_MORE;
    for (int i = 0; i < STEPS_MAX && status == RM_MORE; i++) {
        status = rm_replay_step(again, 1, &err);
    }
    must(status != RM_OK && status != RM_MORE);
    rm_replay_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    replay(data, bytes);
    if (bytes < 2) {
        return 0;
    }
    uint8_t head[RMI_RECORD_HEAD_BYTES];
    rmi_bytes file = {0}, body = {0};
    (void)fuzz_add_changed(&body, &entries, data, bytes);
    rmi_record_make_head(head);
    rmi_bytes_add(&file, head, sizeof head);
    add_chunk(&file, &graph);
    add_chunk(&file, &body);
    replay(file.data, file.bytes);
    rmi_bytes_fini(&file);
    rmi_bytes_fini(&body);
    return 0;
}
