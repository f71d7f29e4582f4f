/* media.read in checkpoints: a session that is left in the middle and goes on in another one gives
 * the packets of one that is let alone, and the same bytes in them, wherever it is left. On the
 * public API, with nodes of this test around media.read. Files are made with the ffmpeg command,
 * and skipped where there is none or it lacks the encoder. */
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <remotemedia/remotemedia.h>

#include "../nodes/media_read/place.h"

#include "base/test.h"

enum { PACKETS_MAX = 4000, CUTS = 12, STEPS_MAX = 100000, TIMEOUT_MS = 5000 };

/* What one packet was, payload and all. */
typedef struct told {
    int64_t pts_ns, duration_ns;
    uint64_t payload;
    uint32_t flags;
} told;

typedef struct run {
    told packets[MEDIA_KINDS][PACKETS_MAX];
    size_t count[MEDIA_KINDS];
} run;

static char folder[] = "/tmp/media_place_test_XXXXXX";
static run now;           /* what the session under way has given */
static media_place place; /* that it went on from */
static rm_registry *registry;
static const rm_node_type *reader; /* media.read itself */

static const char *path_of(const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *to = path[turn++ % 4];
    snprintf(to, sizeof path[0], "%s/%s", folder, name);
    return to;
}

/* A shell line in the folder of the files; false where it fails. */
static bool shell(const char *line)
{
    char text[1024], *argv[] = {"sh", "-c", text, NULL};
    extern char **environ;
    pid_t child;
    int result = -1;
    snprintf(text, sizeof text, "cd %s && { %s; }", folder, line);
    return posix_spawnp(&child, "sh", NULL, NULL, argv, environ) == 0 &&
           waitpid(child, &result, 0) == child && result == 0;
}

/* ---- what packets are */

static uint64_t mixed(uint64_t sum, const void *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        sum = (sum ^ ((const uint8_t *)data)[i]) * 1099511628211u;
    }
    return sum;
}

static uint64_t sound_of(const rm_packet *packet)
{
    static const uint8_t sample_bytes[] = {[RM_SAMPLE_U8] = 1,
                                           [RM_SAMPLE_S16] = 2,
                                           [RM_SAMPLE_S32] = 4,
                                           [RM_SAMPLE_F32] = 4,
                                           [RM_SAMPLE_F64] = 8};
    const rm_packet_header *h = &packet->header;
    unsigned planes = h->format.audio.planar ? h->format.audio.channels : 1;
    size_t bytes = (size_t)h->instance.audio.frames * sample_bytes[h->format.audio.sample_format] *
                   (h->format.audio.planar ? 1u : h->format.audio.channels);
    uint64_t sum = 14695981039346656037u;
    for (unsigned p = 0; p < planes; p++) {
        sum = mixed(sum,
                    (const uint8_t *)packet->payload +
                        (size_t)p * h->instance.audio.plane_stride_bytes,
                    bytes);
    }
    return sum;
}

/* Of I420 alone. */
static uint64_t picture_of(const rm_packet *packet)
{
    const rm_packet_header *h = &packet->header;
    uint64_t sum = 14695981039346656037u;
    CHECK_INT(h->format.video.fourcc, RM_FOURCC_I420);
    for (unsigned p = 0; p < 3; p++) {
        size_t width = h->format.video.width / (p ? 2 : 1);
        for (size_t y = 0; y < h->format.video.height / (p ? 2 : 1); y++) {
            sum = mixed(sum,
                        (const uint8_t *)packet->payload + h->instance.video.offset_bytes[p] +
                            y * h->instance.video.stride_bytes[p],
                        width);
        }
    }
    return sum;
}

/* ---- nodes: media.read on the thread that steps, and sinks that note what comes */

static rm_status watched_restore(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    if (bytes == sizeof place) {
        memcpy(&place, data, sizeof place);
    }
    return reader->restore(node, data, bytes, err);
}

static rm_status note_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const rm_packet *packet = inputs->packet[0];
    const rm_packet_header *h = &packet->header;
    size_t kind = h->kind == RM_KIND_AUDIO ? MEDIA_AUDIO : MEDIA_VIDEO;
    uint64_t line = mixed(14695981039346656037u, &h->format, sizeof h->format);
    (void)node;
    if (now.count[kind] == PACKETS_MAX) {
        return rm_fail(err, RM_ELIMIT, "more packets than the test has room for");
    }
    now.packets[kind][now.count[kind]++] =
        (told){.pts_ns = h->pts_ns,
               .duration_ns = h->duration_ns,
               .payload = line ^ (kind == MEDIA_AUDIO ? sound_of(packet) : picture_of(packet)),
               .flags = h->flags};
    return RM_OK;
}

static rm_status note_checkpoint(rm_node *node, rm_blob *blob, rm_error *err)
{
    (void)node;
    (void)err;
    return rm_blob_append(blob, now.count, sizeof now.count);
}

static rm_status note_restore(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    (void)node;
    if (bytes != sizeof now.count) {
        return rm_fail(err, RM_EINVAL, "a count has %zu bytes", bytes);
    }
    memcpy(now.count, data, bytes);
    return RM_OK;
}

static void add_types(void)
{
    static const rm_port in[] = {{.name = "in"}, {0}};
    static rm_node_type note = {.struct_size = sizeof note,
                                .name = "t.note",
                                .summary = "Notes what comes",
                                .inputs = in,
                                .process = note_process,
                                .checkpoint = note_checkpoint,
                                .restore = note_restore};
    static rm_node_type watched;
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    CHECK_INT(rm_registry_find(registry, "media.read", &reader, NULL), RM_OK);
    watched = *reader;
    watched.name = "t.read";
    watched.flags = 0;
    watched.restore = watched_restore;
    CHECK_INT(rm_registry_add(registry, &watched, NULL), RM_OK);
    CHECK_INT(rm_registry_add(registry, &note, NULL), RM_OK);
}

/* ---- sessions */

typedef struct setup {
    rm_graph *graph;
    rm_plan *plan;
    rm_session *session;
    rm_error error;
} setup;

static const char *state_folder(void)
{
    return path_of("state");
}

static rm_status open_reader(setup *s, const char *name, const char *more)
{
    char text[1024];
    int bytes = snprintf(text, sizeof text,
                         "{\"version\": \"v1\", \"nodes\": [{\"id\": \"read\", \"node_type\": "
                         "\"t.read\", \"params\": {\"path\": \"%s\"%s}}, {\"id\": \"ears\", "
                         "\"node_type\": \"t.note\"}, {\"id\": \"eyes\", \"node_type\": "
                         "\"t.note\"}], \"connections\": [{\"from\": \"read\", \"from_port\": "
                         "\"audio\", \"to\": \"ears\"}, {\"from\": \"read\", \"from_port\": "
                         "\"video\", \"to\": \"eyes\"}]}",
                         path_of(name), more);
    *s = (setup){.error = RM_ERROR_INIT};
    rm_session_options options = {.struct_size = sizeof options,
                                  .driver = RM_DRIVER_CALLER,
                                  .checkpoint_folder = state_folder(),
                                  .checkpoint_interval_ms = -1};
    rm_status status = rm_graph_parse(text, (size_t)bytes, &s->graph, NULL, &s->error);
    if (status == RM_OK) {
        status = rm_graph_plan(s->graph, registry, NULL, &s->plan, NULL, &s->error);
    }
    return status == RM_OK ? rm_session_open(s->plan, &options, &s->session, &s->error) : status;
}

static void end(setup *s)
{
    rm_session_free(s->session);
    rm_plan_free(s->plan);
    rm_graph_free(s->graph);
}

/* Returns how many it took, up to the end. */
static unsigned step(setup *s, unsigned steps)
{
    int64_t next_ns;
    for (unsigned i = 0; i < steps; i++) {
        rm_status status = rm_session_step(s->session, 1 + i, 1, &next_ns);
        if (status != RM_MORE && status != RM_PENDING) {
            CHECK_INT(status, RM_DONE);
            return i;
        }
    }
    return steps;
}

/* A further process: it goes on, is kept after some steps, and is left some steps later. False: it
 * came to its end. */
static bool go_on_for(const char *name, const char *more, unsigned steps)
{
    setup s;
    CHECK_INT(open_reader(&s, name, more), RM_OK);
    CHECK_TEXT(s.error.message, "");
    (void)step(&s, steps);
    CHECK_INT(rm_session_checkpoint(s.session, NULL, TIMEOUT_MS, &s.error), RM_OK);
    CHECK_TEXT(s.error.message, "");
    bool is_left = step(&s, 7) == 7;
    end(&s);
    return is_left;
}

static unsigned go_on_to_the_end(const char *name, const char *more)
{
    setup s;
    CHECK_INT(open_reader(&s, name, more), RM_OK);
    CHECK_TEXT(s.error.message, "");
    unsigned steps = s.session ? step(&s, STEPS_MAX) : 0;
    end(&s);
    return steps;
}

static bool is_same(const told *a, const told *b)
{
    return a->pts_ns == b->pts_ns && a->duration_ns == b->duration_ns && a->payload == b->payload &&
           a->flags == b->flags;
}

static size_t differences(const run *a, const run *b)
{
    size_t wrong = 0;
    for (int kind = 0; kind < MEDIA_KINDS; kind++) {
        CHECK_INT(a->count[kind], b->count[kind]);
        for (size_t i = 0; i < a->count[kind] && i < b->count[kind]; i++) {
            wrong += !is_same(&a->packets[kind][i], &b->packets[kind][i]);
        }
    }
    return wrong;
}

/* A run that is let alone; then some that are left at a place, each third one twice. The latest
 * points that they went on from. */
static void check_file(const char *name, const char *more, uint64_t latest[MEDIA_KINDS])
{
    static run whole;
    memset(&now, 0, sizeof now);
    unsigned steps = go_on_to_the_end(name, more);
    CHECK(steps > CUTS);
    whole = now;
    latest[MEDIA_AUDIO] = latest[MEDIA_VIDEO] = 0;
    for (unsigned i = 0; i < CUTS; i++) {
        memset(&now, 0, sizeof now);
        memset(&place, 0, sizeof place);
        bool is_left = go_on_for(name, more, i * (steps - 8) / (CUTS - 1));
        if (is_left && i % 3 == 0) {
            is_left = go_on_for(name, more, 5);
        }
        if (is_left) {
            (void)go_on_to_the_end(name, more);
        }
        CHECK_INT(differences(&whole, &now), 0);
        for (int kind = 0; kind < MEDIA_KINDS; kind++) {
            uint64_t point = place.points[kind].packet;
            latest[kind] = point > latest[kind] ? point : latest[kind];
        }
    }
}

/* ---- tests */

static const char NOISE[] = "ffmpeg -v error -nostdin -y -f lavfi -i "
                            "anoisesrc=d=4:c=pink:r=44100:seed=7:a=0.6 -ac 2";
static const char FILM[] = "ffmpeg -v error -nostdin -y -f lavfi -i testsrc2=s=96x64:r=25:d=4 "
                           "-f lavfi -i anoisesrc=d=4:c=pink:r=48000:seed=7:a=0.6";

static bool make(const char *words, const char *rest)
{
    char line[1000];
    snprintf(line, sizeof line, "%s %s", words, rest);
    return shell(line);
}

#define NEEDS(made, encoder)                                               \
    do {                                                                   \
        if (!(made)) {                                                     \
            SKIP("no ffmpeg command here, or it has no encoder " encoder); \
        }                                                                  \
    } while (0)

TEST(wav_goes_on_bit_by_bit_from_a_point)
{
    uint64_t latest[MEDIA_KINDS];
    NEEDS(make(NOISE, "-c:a pcm_s16le a.wav"), "pcm_s16le");
    check_file("a.wav", "", latest);
    CHECK(latest[MEDIA_AUDIO] > 100);
    check_file("a.wav", ", \"start_s\": 1.2345", latest);
}

TEST(flac_goes_on_bit_by_bit_from_a_point)
{
    uint64_t latest[MEDIA_KINDS];
    NEEDS(make(NOISE, "-c:a flac a.flac"), "flac");
    check_file("a.flac", "", latest);
    CHECK(latest[MEDIA_AUDIO] > 10);
    check_file("a.flac", ", \"start_s\": 0.501", latest);
}

TEST(mp3_goes_on_bit_by_bit_from_the_start)
{
    uint64_t latest[MEDIA_KINDS];
    NEEDS(make(NOISE, "-c:a libmp3lame -b:a 128k a.mp3"), "libmp3lame");
    check_file("a.mp3", "", latest);
    CHECK_INT(latest[MEDIA_AUDIO], 0);
    check_file("a.mp3", ", \"start_s\": 0.501", latest);
}

TEST(aac_goes_on_bit_by_bit_from_the_start)
{
    uint64_t latest[MEDIA_KINDS];
    NEEDS(make(NOISE, "-c:a aac -b:a 96k a.m4a"), "aac");
    check_file("a.m4a", "", latest);
    CHECK_INT(latest[MEDIA_AUDIO], 0);
}

TEST(opus_goes_on_bit_by_bit_from_the_start)
{
    uint64_t latest[MEDIA_KINDS];
    NEEDS(make(NOISE, "-ar 48000 -c:a libopus -b:a 64k a.opus"), "libopus");
    check_file("a.opus", "", latest);
    CHECK_INT(latest[MEDIA_AUDIO], 0);
}

TEST(h264_with_sound_goes_on_bit_by_bit_from_an_idr_picture)
{
    uint64_t latest[MEDIA_KINDS];
    NEEDS(make(FILM, "-pix_fmt yuv420p -c:v libx264 -g 12 -bf 2 -c:a aac a.mp4"), "libx264");
    check_file("a.mp4", "", latest);
    CHECK(latest[MEDIA_VIDEO] > 80);
    CHECK_INT(latest[MEDIA_AUDIO], 0);
    check_file("a.mp4", ", \"start_s\": 1.5", latest);
    check_file("a.mp4", ", \"threads\": 3", latest);
}

TEST(h264_of_a_transport_stream_goes_on_bit_by_bit)
{
    uint64_t latest[MEDIA_KINDS];
    NEEDS(make(FILM, "-pix_fmt yuv420p -c:v libx264 -g 20 -bf 3 -c:a mp2 a.ts"), "libx264");
    check_file("a.ts", "", latest);
    CHECK(latest[MEDIA_VIDEO] > 60);
}

TEST(h264_of_open_groups_goes_on_bit_by_bit)
{
    uint64_t latest[MEDIA_KINDS];
    NEEDS(make(FILM, "-pix_fmt yuv420p -c:v libx264 -g 12 -bf 3 -x264-params open-gop=1 -an a.mkv"),
          "libx264");
    check_file("a.mkv", "", latest);
    NEEDS(make(FILM, "-pix_fmt yuv420p -c:v mpeg4 -g 12 -bf 2 -an b.avi"), "mpeg4");
    check_file("b.avi", "", latest);
    CHECK_INT(latest[MEDIA_VIDEO], 0);
}

/* The error of going on with c.wav. */
static rm_error refusal(void)
{
    setup s;
    CHECK(open_reader(&s, "c.wav", "") < 0);
    CHECK_INT(s.error.code, RM_CODE_CHECKPOINT_BAD);
    end(&s);
    return s.error;
}

TEST(a_file_that_was_changed_is_refused)
{
    NEEDS(make(NOISE, "-c:a pcm_s16le c.wav"), "pcm_s16le");
    CHECK(go_on_for("c.wav", "", 3));
    CHECK(shell("touch -d '2001-01-01 00:00:00' c.wav"));
    CHECK_CONTAINS(refusal().message,
                   "c.wav' has changed since the checkpoint was made: it was written to");
    CHECK(shell("printf x >> c.wav"));
    CHECK_CONTAINS(refusal().message, "bytes, want the ");
    CHECK(shell("rm -r state"));
}

static rm_error refused_checkpoint(const char *name)
{
    setup s;
    CHECK_INT(open_reader(&s, name, ""), RM_OK);
    CHECK_INT(rm_session_checkpoint(s.session, NULL, TIMEOUT_MS, &s.error), RM_EUNSUPPORTED);
    CHECK_INT(s.error.code, RM_CODE_CHECKPOINT_REFUSED);
    end(&s);
    return s.error;
}

TEST(what_cannot_be_read_again_is_refused)
{
    CHECK_INT(mkfifo(path_of("pipe"), 0600), 0);
    CHECK_CONTAINS(refused_checkpoint("pipe").message,
                   "pipe' is a pipe, which cannot be read again");
    NEEDS(make(NOISE, "-c:a aac -f hls -hls_list_size 0 list.m3u8"), "aac");
    CHECK_CONTAINS(refused_checkpoint("list.m3u8").message,
                   "list.m3u8' (hls) refers to other files");
}

int main(int argc, char **argv)
{
    static const rmi_test tests[] = {
        T(wav_goes_on_bit_by_bit_from_a_point),
        T(flac_goes_on_bit_by_bit_from_a_point),
        T(mp3_goes_on_bit_by_bit_from_the_start),
        T(aac_goes_on_bit_by_bit_from_the_start),
        T(opus_goes_on_bit_by_bit_from_the_start),
        T(h264_with_sound_goes_on_bit_by_bit_from_an_idr_picture),
        T(h264_of_a_transport_stream_goes_on_bit_by_bit),
        T(h264_of_open_groups_goes_on_bit_by_bit),
        T(a_file_that_was_changed_is_refused),
        T(what_cannot_be_read_again_is_refused),
    };
    if (!mkdtemp(folder)) {
        printf("Bail out! no temporary folder\n");
        return 1;
    }
    add_types();
    int result = rmi_test_main(tests, sizeof tests / sizeof *tests, argc, argv);
    rm_registry_free(registry);
    (void)shell("rm -rf \"$PWD\"");
    return result;
}
