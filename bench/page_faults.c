/* page_faults.c — page faults of the whole process while 10,000 packets of 64 KiB go from a source,
 * which writes all of each, through four nodes to a sink that reads it, on a thread of its own.
 * Counted once 2,000 packets have come.
 *
 *     page_faults [ROUNDS]
 */
#include <string.h>
#include <sys/resource.h>

#include "bench.h"

enum { WARM = 2000, PACKETS = 10000, PAYLOAD_BYTES = 65536 };

static long begin_faults, end_faults;
static int64_t came;

static long faults_so_far(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

static rm_status source_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)inputs;
    (void)err;
    int64_t *sent = node->state;
    rm_packet *packet = NULL;
    if (*sent == WARM + PACKETS) {
        return RM_DONE;
    }
    rm_status status = rm_packet_new(node, PAYLOAD_BYTES, &packet);
    if (status != RM_OK) {
        return status;
    }
    packet->header.kind = RM_KIND_BYTES;
    memset(packet->payload, (int)(*sent % 251), PAYLOAD_BYTES);
    ++*sent;
    return rm_emit(node, 0, packet);
}

static rm_status sink_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    const uint8_t *bytes = inputs->packet[0]->payload;
    unsigned wrong = 0;
    for (unsigned i = 0; i < PAYLOAD_BYTES; i++) {
        wrong += bytes[i] != came % 251;
    }
    if (wrong) {
        return rm_fail(err, RM_EFAIL, "packet %lld has %u wrong bytes", (long long)came, wrong);
    }
    came++;
    if (came == WARM) {
        begin_faults = faults_so_far();
    }
    if (came == WARM + PACKETS) {
        end_faults = faults_so_far();
    }
    return RM_OK;
}

static const rm_port in[] = {{.name = "in"}, {0}};
static const rm_port out[] = {{.name = "out"}, {0}};
static const rm_node_type source_type = {.struct_size = sizeof(rm_node_type),
                                         .name = "bench.pages",
                                         .summary = "Give packets of 64 KiB",
                                         .outputs = out,
                                         .state_size = sizeof(int64_t),
                                         .process = source_process};
static const rm_node_type sink_type = {.struct_size = sizeof(rm_node_type),
                                       .name = "bench.read",
                                       .summary = "Read them, on a thread",
                                       .flags = RM_NODE_HEAVY,
                                       .inputs = in,
                                       .process = sink_process};
static const rm_node_type *const types[] = {&source_type, &sink_type, NULL};

int main(int argc, char **argv)
{
    unsigned rounds = bench_argument(argc, argv, 1, 3);
    for (unsigned round = 0; round < rounds; round++) {
        came = 0;
        rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_THREAD};
        bench_inline_run("bench.pages ! test.pass ! test.pass ! test.pass ! test.pass ! bench.read",
                         types, &options);
        if (came != WARM + PACKETS) {
            bench_fail("%lld packets came, want %d", (long long)came, WARM + PACKETS);
        }
        bench_row("page-faults", (double)(end_faults - begin_faults), 0);
    }
    return 0;
}
