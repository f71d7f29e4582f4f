/* packet_fuzz.c — any 128 bytes: the check answers, and what it accepts can be walked whole. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <remotemedia/packet.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Reads the first and last byte of each plane, as a node would. */
static void walk_video(const rm_packet_header *h, const uint8_t *payload)
{
    volatile uint8_t sink;
    for (unsigned p = 0; p < h->format.video.planes; p++) {
        uint64_t rows = h->format.video.height;
        if (p > 0) {
            rows = (rows + 1) / 2;
        }
        uint64_t last = h->instance.video.offset_bytes[p] +
                        (uint64_t)h->instance.video.stride_bytes[p] * (rows - 1);
        sink = payload[h->instance.video.offset_bytes[p]];
        sink = payload[last];
        (void)sink;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    rm_error err = RM_ERROR_INIT;
    if (rm_packet_header_check(data, bytes, &err) != RM_OK) {
        return err.code == RM_CODE_PACKET_HEADER ? 0 : (abort(), 0);
    }
    rm_packet_header h;
    memcpy(&h, data, sizeof h);
    if (h.payload_bytes > 1 << 20) {
        return 0;
    }
    uint8_t *payload = calloc(1, h.payload_bytes + !h.payload_bytes);
    if (payload && h.kind == RM_KIND_VIDEO) {
        walk_video(&h, payload);
    }
    free(payload);
    return 0;
}
