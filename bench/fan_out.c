/* fan_out.c — a 1080p picture to eight nodes and from these to one: ours against GStreamer's `tee`,
 * eight `identity`, `funnel`; and beside `tee` and `funnel` alone. The sinks see the memory that
 * the picture was written to, so nothing was copied. On one thread, in processor time.
 *
 *     fan_out [ROUNDS [PICTURES]]
 */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "gst.h"

enum { BRANCHES = 8, PICTURE_BYTES = 1920 * 1080 * 3 / 2, MARKS = 64 };

static const void *sent_memory[MARKS]; /* of the latest pictures, by number */
static int64_t arrived, items;

static rm_status source_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    int64_t *sent = node->state;
    rm_packet *packet = NULL;
    if (*sent == items) {
        return RM_DONE;
    }
    rm_status status = rm_packet_new(node, PICTURE_BYTES, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_BYTES;
    packet->header.stream_id = (uint32_t)*sent;
    sent_memory[*sent % MARKS] = packet->payload;
    ++*sent;
    return rm_emit(node, 0, packet);
}

static rm_status sink_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    const rm_packet *packet = inputs->packet[0];
    if (packet->payload != sent_memory[packet->header.stream_id % MARKS]) {
        return rm_fail(err, RM_EFAIL, "picture %u was copied", packet->header.stream_id);
    }
    arrived++;
    return RM_OK;
}

static const rm_port in[] = {{.name = "in"}, {0}};
static const rm_port out[] = {{.name = "out"}, {0}};
static const rm_node_type source_type = {.struct_size = sizeof(rm_node_type),
                                         .name = "bench.pictures",
                                         .summary = "Give pictures",
                                         .outputs = out,
                                         .state_size = sizeof(int64_t),
                                         .process = source_process};
static const rm_node_type sink_type = {.struct_size = sizeof(rm_node_type),
                                       .name = "bench.gather",
                                       .summary = "Look where they lie",
                                       .inputs = in,
                                       .process = sink_process};
static const rm_node_type *const types[] = {&source_type, &sink_type, NULL};

static double ours(void)
{
    char text[4096];
    size_t used = (size_t)snprintf(text, sizeof text,
                                   "{\"version\": \"v1\", \"nodes\": [{\"id\": \"from\", "
                                   "\"node_type\": \"bench.pictures\"}, ");
    for (int i = 0; i < BRANCHES; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "{\"id\": \"b%d\", \"node_type\": \"test.pass\"}, ", i);
    }
    used += (size_t)snprintf(text + used, sizeof text - used,
                             "{\"id\": \"to\", \"node_type\": \"bench.gather\"}], "
                             "\"connections\": [");
    for (int i = 0; i < BRANCHES; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "%s{\"from\": \"from\", \"to\": \"b%d\"}, "
                                 "{\"from\": \"b%d\", \"to\": \"to\"}",
                                 i ? ", " : "", i, i);
    }
    (void)snprintf(text + used, sizeof text - used, "]}");
    arrived = 0;
    rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_CALLER};
    double took_ns = bench_manifest_run(text, types, &options);
    if (arrived != items * BRANCHES) {
        bench_fail("%lld pictures arrived, want %lld", (long long)arrived,
                   (long long)items * BRANCHES);
    }
    return took_ns;
}

int main(int argc, char **argv)
{
    unsigned rounds = bench_argument(argc, argv, 1, 15);
    items = bench_argument(argc, argv, 2, 5000);
    bench_use_cpu_time();
    for (unsigned round = 0; round <= rounds; round++) {
        double own_ns = ours() / (double)items;
        double peer_ns = bench_gst_fan_run("identity", BRANCHES, (unsigned)items, PICTURE_BYTES);
        double bare_ns = bench_gst_fan_run(NULL, BRANCHES, (unsigned)items, PICTURE_BYTES);
        if (round) {
            bench_row("fan-out", own_ns, peer_ns / (double)items);
            bench_row("fan-out-bare", own_ns, bare_ns / (double)items);
        }
    }
    return 0;
}
