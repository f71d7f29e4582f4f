/* file_fuzz.h — what the fuzzers of the engine's files share: nodes of a small graph in which much
 * happens, and a good file's body with some of its bytes changed.
 *
 *     input: uint16 how many bytes of the body are left, then each change: uint16 where, uint8 what
 * stands there
 */
#ifndef RMI_ENGINE_FILE_FUZZ_H
#define RMI_ENGINE_FILE_FUZZ_H

#include <stdlib.h>
#include <string.h>

#include <remotemedia/remotemedia.h>

#include "engine/checkpoint_file.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static inline void must(bool good)
{
    if (!good) {
        abort();
    }
}

/* ---- nodes */

typedef struct fuzz_state {
    uint32_t next, times;
} fuzz_state;

static inline rm_status fuzz_emit(rm_node *node)
{
    rm_packet *packet = NULL;
    rm_status status = rm_packet_new(node, 8, &packet);
    if (status == RM_OK) {
        packet->header.kind = RM_KIND_BYTES;
        memset(packet->payload, 1, 8);
        status = rm_packet_set_metadata(packet, "\x81\xA1m\x01", 4);
    }
    return status == RM_OK ? rm_emit(node, 0, packet) : status;
}

/* A source of so many packets. */
static inline rm_status fuzz_source(rm_node *node, uint32_t packets)
{
    fuzz_state *s = node->state;
    return s->next++ >= packets ? RM_DONE : fuzz_emit(node);
}

/* Two for one, the second one by RM_MORE; each fourth call fails. */
static inline rm_status fuzz_twice(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    fuzz_state *s = node->state;
    (void)inputs;
    if (++s->times % 4 == 2) {
        return rm_fail(err, RM_ETRANSIENT, "not now");
    }
    rm_status status = fuzz_emit(node);
    s->next ^= 1;
    return status == RM_OK && s->next & 1 ? RM_MORE : status;
}

/* ---- files */

/* Appends the body to the file, cut and changed as the input says. Returns how many bytes of it. */
static inline size_t fuzz_add_changed(rmi_bytes *file, const rmi_bytes *body, const uint8_t *data,
                                      size_t bytes)
{
    size_t left = bytes >= 2 ? (data[0] | (size_t)data[1] << 8) : body->bytes;
    size_t before = file->bytes;
    left = left < body->bytes ? left : body->bytes;
    rmi_bytes_add(file, body->data, left);
    for (size_t i = 2; i + 3 <= bytes && left; i += 3) {
        file->data[before + (data[i] | (size_t)data[i + 1] << 8) % left] = data[i + 2];
    }
    return left;
}

#endif
