/* checkpoint_fuzz.c — a checkpoint of a small session with some of its bytes changed, its checksum
 * mended: refused, or the session goes on and ends by itself. And any bytes as a file: refused.
 */
#include "engine/checkpoint.h"
#include "engine/file_fuzz.h"
#include "engine/snapshot.h"

enum { NUMBERS = 40, STEPS_BEFORE = 6, STEPS_MAX = 2000, DIGEST = 7 };

static rm_registry *registry;
static rm_plan *plan;
static rmi_bytes good; /* the body of a checkpoint */

/* ---- a session with something of everything: turns, retries, outboxes, edges that are full */

static rm_status source_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    return fuzz_source(node, NUMBERS);
}

static rm_status sink_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    volatile uint8_t sum = 0;
    (void)node;
    (void)err;
    for (uint32_t i = 0; i < inputs->count; i++) {
        const rm_packet *packet = inputs->packet[i];
        for (uint64_t k = 0; packet && k < packet->header.payload_bytes; k++) {
            sum += ((const uint8_t *)packet->payload)[k];
        }
    }
    (void)sum;
    return RM_OK;
}

static rm_status save(rm_node *node, rm_blob *blob, rm_error *err)
{
    (void)err;
    return rm_blob_append(blob, node->state, sizeof(fuzz_state));
}

static rm_status load(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    if (bytes != sizeof(fuzz_state)) {
        return rm_fail(err, RM_EINVAL, "a state has %zu bytes", bytes);
    }
    memcpy(node->state, data, bytes);
    return RM_OK;
}

static const rm_port in[] = {{.name = "in"}, {0}}, two[] = {{.name = "a"}, {.name = "b"}, {0}};
static const rm_port out[] = {{.name = "out"}, {0}};

#define TYPE(name_, inputs_, outputs_, process_)                                                 \
    {                                                                                            \
        .struct_size = sizeof(rm_node_type), .name = name_, .summary = "t", .inputs = (inputs_), \
        .outputs = (outputs_), .state_size = sizeof(fuzz_state), .process = (process_),          \
        .checkpoint = save, .restore = load                                                      \
    }

static const rm_node_type types[] = {TYPE("t.source", NULL, out, source_process),
                                     TYPE("t.twice", in, out, fuzz_twice),
                                     TYPE("t.sink", two, NULL, sink_process)};

static const char manifest[] =
    "{\"version\": \"v1\", \"metadata\": {\"name\": \"m\"}, \"nodes\": ["
    "{\"id\": \"source\", \"node_type\": \"t.source\"},"
    "{\"id\": \"twice\", \"node_type\": \"t.twice\", \"on_error\": {\"policy\": \"retry\","
    " \"attempts\": 3, \"backoff_ms\": 1}},"
    "{\"id\": \"zip\", \"node_type\": \"t.sink\", \"merge\": \"zip\"},"
    "{\"id\": \"any\", \"node_type\": \"t.sink\"}],"
    " \"connections\": [{\"from\": \"source\", \"to\": \"twice\", \"capacity\": {\"packets\": 2}},"
    "{\"from\": \"source\", \"to\": \"zip\", \"to_port\": \"a\"},"
    "{\"from\": \"twice\", \"to\": \"zip\", \"to_port\": \"b\"},"
    "{\"from\": \"source\", \"to\": \"any\", \"to_port\": \"a\", \"policy\": \"latest\"},"
    "{\"from\": \"twice\", \"to\": \"any\", \"to_port\": \"b\", \"capacity\": {\"packets\": 1}}]}";

/* A session of the manifest, not yet started. */
static rm_session *build(void)
{
    rm_session *session = NULL;
    rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_CALLER};
    must(rmi_session_build(plan, &options, &session, NULL) == RM_OK);
    return session;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    rm_graph *graph = NULL;
    (void)argc;
    (void)argv;
    must(rm_registry_new(&registry, NULL) == RM_OK);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        must(rm_registry_add(registry, &types[i], NULL) == RM_OK);
    }
    must(rm_graph_parse(manifest, sizeof manifest - 1, &graph, NULL, NULL) == RM_OK);
    must(rm_graph_plan(graph, registry, NULL, &plan, NULL, NULL) == RM_OK);
    rm_session *session = build();
    must(rmi_session_start(session, NULL) == RM_OK);
    for (int i = 0; i < STEPS_BEFORE; i++) {
        (void)rm_session_step(session, 1 + i, 3, NULL);
    }
    must(rmi_snapshot_take(session, &good, NULL) == RM_OK);
    rm_session_free(session);
    return 0;
}

/* ---- an input */

static rmi_bytes file_of(const uint8_t *data, size_t bytes)
{
    static const uint8_t head[RMI_CHECKPOINT_HEAD_BYTES];
    rmi_bytes file = {0};
    rmi_bytes_add(&file, head, sizeof head);
    size_t left = fuzz_add_changed(&file, &good, data, bytes);
    rmi_bytes view = {.data = file.data + sizeof head, .bytes = left};
    rmi_checkpoint_seal(file.data, DIGEST, 1, &view);
    return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (rmi_checkpoint_check(data, bytes, DIGEST, NULL) == RM_OK) {
        abort(); /* no fuzzer finds a checksum */
    }
    rmi_bytes file = file_of(data, bytes);
    must(rmi_checkpoint_check(file.data, file.bytes, DIGEST, NULL) == RM_OK);
    rm_session *session = build();
    must(rmi_checkpoints_give(session, &file, NULL) == RM_OK);
    if (rmi_session_start(session, NULL) == RM_OK) {
        int64_t now_ns = 1;
        for (int i = 0; i < STEPS_MAX; i++) {
            rm_status status = rm_session_step(session, now_ns += 1000000, 8, NULL);
            if (status != RM_MORE && status != RM_PENDING) {
                break;
            }
        }
    }
    rm_session_free(session);
    return 0;
}
