/* slot_fuzz.c — any bytes in a slot and in the counters of a direction, as the other process may
 * write them: the receiver answers, and what it hands out can be read whole. */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "ipc/shared.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { COUNTER_BYTES = 64, PART_BYTES = 5000 };

static void send_one(rm_ipc *ipc)
{
    rm_ipc_message message = {.header = {.version = RM_PACKET_VERSION,
                                         .kind = RM_KIND_BYTES,
                                         .header_units = 2,
                                         .pts_ns = RM_TIME_NONE,
                                         .payload_bytes = PART_BYTES},
                              .part_count = 1};
    if (rm_ipc_alloc(ipc, PART_BYTES, &message.part[0], NULL) == RM_OK) {
        (void)!rm_ipc_send(ipc, &message, NULL);
        rm_ipc_unref(&message.part[0]);
    }
}

static void receive_all(rm_ipc *ipc)
{
    rm_ipc_message message;
    volatile uint8_t sink;
    while (rm_ipc_receive(ipc, &message, NULL) == RM_OK) {
        for (uint32_t i = 0; i < message.part_count; i++) {
            const uint8_t *part = message.part[i].data;
            for (uint64_t at = 0; at < message.part[i].bytes; at += 512) {
                sink = part[at];
            }
            rm_ipc_release(&message.part[i]);
        }
        rm_ipc_acknowledge(ipc);
    }
    (void)sink;
    (void)rm_ipc_sleep(ipc);
    rm_ipc_close(ipc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    int fds[RM_IPC_FDS];
    rm_ipc *here = NULL, *there = NULL;
    rm_ipc_options options = {.struct_size = sizeof options, .capacity = 2};
    if (rm_ipc_new(&options, &here, fds, NULL) != RM_OK) {
        return 0;
    }
    if (rm_ipc_attach(fds, &there, NULL) == RM_OK) {
        send_one(here);
        size_t counters = bytes < COUNTER_BYTES ? bytes : COUNTER_BYTES;
        size_t slot = bytes - counters;
        if (bytes && data[0] & 1) {
            memcpy((void *)here->out, data, counters);
        }
        slot = slot < sizeof(rmi_ipc_slot) ? slot : sizeof(rmi_ipc_slot);
        memcpy(here->out_slots, data + counters, slot);
        receive_all(there);
    }
    rm_ipc_free(here);
    rm_ipc_free(there);
    return 0;
}
