/* A session that has memory for a few packets only, and an owner who gives them back one at a time:
 * each audio node waits for memory in the middle of whatever it does, and what comes out is, byte
 * for byte, what comes out with plenty. */
#include <stdlib.h>

#include <remotemedia/remotemedia.h>

#include "base/test.h"

enum { RATE_HZ = 8000, PACKETS = 60, FRAMES = 333, HELD_MAX = 4096 };
#define PLENTY ((uint64_t)64 << 20)
/* More than a full input queue, so that a node can always go on once its output came back. */
#define LITTLE ((uint64_t)64 << 10)

typedef struct result {
    uint8_t *bytes;                /* header fields and payload of each packet */
    size_t used, packets, refused; /* refused: how often memory was missing for the next input */
} result;

static void record(result *r, const rm_packet *packet)
{
    const rm_packet_header *h = &packet->header;
    struct {
        int64_t pts_ns, duration_ns;
        uint64_t payload_bytes;
        uint32_t flags, frames;
    } about = {h->pts_ns, h->duration_ns, h->payload_bytes, h->flags, 0};
    about.frames = h->kind == RM_KIND_AUDIO ? h->instance.audio.frames : 0;
    size_t more = sizeof about + h->payload_bytes;
    r->bytes = realloc(r->bytes, r->used + more);
    if (!r->bytes) {
        abort();
    }
    memcpy(r->bytes + r->used, &about, sizeof about);
    if (h->payload_bytes) {
        memcpy(r->bytes + r->used + sizeof about, packet->payload, h->payload_bytes);
    }
    r->used += more;
    r->packets++;
}

static bool push_next(rm_session *session, uint32_t index, result *r)
{
    rm_packet *packet = NULL;
    rm_status status = rm_session_packet_new(session, FRAMES * sizeof(float), &packet);
    if (status != RM_OK) {
        CHECK_INT(status, RM_EAGAIN);
        r->refused++;
        return false;
    }
    packet->header.kind = RM_KIND_AUDIO;
    packet->header.format.audio.rate_hz = RATE_HZ;
    packet->header.format.audio.channels = 1;
    packet->header.format.audio.sample_format = RM_SAMPLE_F32;
    packet->header.instance.audio.frames = FRAMES;
    packet->header.pts_ns = (int64_t)index * FRAMES * 125000;
    for (uint32_t i = 0; i < FRAMES; i++) {
        uint32_t noise = (index * FRAMES + i) * 2654435761u;
        ((float *)packet->payload)[i] = (float)(noise >> 8) / (1 << 24) - 0.5f;
    }
    if (rm_session_push(session, 0, packet) == RM_OK) {
        return true;
    }
    rm_packet_unref(packet);
    return false;
}

/* Pulls what is there and keeps it: memory runs out. */
static void pull_all(rm_session *session, rm_packet **held, size_t *count, result *r)
{
    rm_packet *packet = NULL;
    while (rm_session_pull(session, 0, &packet) == RM_OK) {
        record(r, packet);
        if (*count == HELD_MAX) {
            abort();
        }
        held[(*count)++] = packet;
    }
}

static rm_plan *plan_of(const char *node, rm_registry *registry, rm_graph **ret_graph)
{
    char json[400];
    rm_error err = RM_ERROR_INIT;
    rm_plan *plan = NULL;
    snprintf(json, sizeof json,
             "{\"version\": \"v1\", \"inputs\": {\"in\": {\"node\": \"n\"}}, \"outputs\": "
             "{\"out\": {\"node\": \"n\"}}, \"nodes\": [{\"id\": \"n\", %s}]}",
             node);
    if (rm_graph_parse(json, strlen(json), ret_graph, NULL, &err) != RM_OK ||
        rm_graph_plan(*ret_graph, registry, NULL, &plan, NULL, &err) != RM_OK) {
        printf("Bail out! %s: %s\n", json, err.message);
        exit(1);
    }
    return plan;
}

/* All of the input through one node. When nothing moves any more, the oldest packet goes back. */
static result run_with(const char *node, uint64_t memory_bytes)
{
    static rm_packet *held[HELD_MAX];
    result r = {0};
    rm_registry *registry = NULL;
    rm_graph *graph = NULL;
    rm_session *session = NULL;
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_registry_new(&registry, &err), RM_OK);
    rm_plan *plan = plan_of(node, registry, &graph);
    rm_session_options options = {.struct_size = sizeof options,
                                  .driver = RM_DRIVER_CALLER,
                                  .memory_bytes_max = memory_bytes};
    CHECK_INT(rm_session_open(plan, &options, &session, &err), RM_OK);
    size_t count = 0, released = 0;
    uint32_t pushed = 0;
    rm_status status = RM_PENDING;
    for (int64_t turn = 0; turn < 100000 && status >= 0 && status != RM_DONE; turn++) {
        int64_t next_ns;
        bool moved = pushed < PACKETS && push_next(session, pushed, &r);
        pushed += moved;
        if (pushed == PACKETS && moved) {
            rm_session_end(session, 0);
        }
        size_t before = count;
        status = rm_session_step(session, turn, 1000, &next_ns);
        pull_all(session, held, &count, &r);
        if (!moved && count == before && released < count) {
            rm_packet_unref(held[released++]);
        }
    }
    CHECK_INT(status, RM_DONE);
    CHECK_INT(rm_session_error(session, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    pull_all(session, held, &count, &r);
    while (released < count) {
        rm_packet_unref(held[released++]);
    }
    rm_session_free(session);
    rm_plan_free(plan);
    rm_graph_free(graph);
    rm_registry_free(registry);
    return r;
}

static void check_same(const char *node, uint64_t little_bytes)
{
    result plenty = run_with(node, PLENTY), little = run_with(node, little_bytes);
    printf("# %s: %zu packets; memory was missing %zu times\n", node, little.packets,
           little.refused);
    CHECK_INT(plenty.refused, 0);
    CHECK(little.refused > 0);
    CHECK_INT(little.packets, plenty.packets);
    CHECK_INT(little.used, plenty.used);
    CHECK(plenty.packets > 10 && plenty.used == little.used &&
          memcmp(plenty.bytes, little.bytes, plenty.used) == 0);
    free(plenty.bytes);
    free(little.bytes);
}

TEST(convert_waits_for_memory)
{
    check_same("\"node_type\": \"audio.convert\", \"params\": {\"channels\": 2}", LITTLE);
}

TEST(chunk_waits_for_memory)
{
    check_same("\"node_type\": \"audio.chunk\", \"params\": {\"chunk_frames\": 250}", LITTLE);
}

TEST(overlapping_chunks_wait_for_memory)
{
    check_same("\"node_type\": \"audio.chunk\", \"params\": {\"chunk_frames\": 400, "
               "\"hop_frames\": 150}",
               LITTLE);
}

TEST(level_waits_for_memory)
{
    check_same("\"node_type\": \"audio.level\", \"params\": {\"interval_ms\": 3}", LITTLE);
}

#ifdef HAVE_RESAMPLE
TEST(resample_waits_for_memory)
{
    check_same("\"node_type\": \"audio.resample\", \"params\": {\"rate_hz\": 11025}", LITTLE);
    check_same("\"node_type\": \"audio.resample\", \"params\": {\"rate_hz\": 44100}", 2 * LITTLE);
}
#endif

#ifdef HAVE_RESAMPLE
TEST_MAIN(T(convert_waits_for_memory), T(chunk_waits_for_memory),
          T(overlapping_chunks_wait_for_memory), T(level_waits_for_memory),
          T(resample_waits_for_memory))
#else
TEST_MAIN(T(convert_waits_for_memory), T(chunk_waits_for_memory),
          T(overlapping_chunks_wait_for_memory), T(level_waits_for_memory))
#endif
