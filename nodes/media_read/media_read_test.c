/* media.read: samples and pictures by value, times, parts of a file, pacing, and what it refuses.
 *
 * WAV files are written here; what has to be encoded is made with the ffmpeg command, and skipped
 * where there is none.
 */
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../node_test.h"

#include "base/alloc.h"

enum { RATE_HZ = 44100, CHANNELS = 2, WIDTH = 66, HEIGHT = 50 };

/* ---- files */

static char folder[] = "/tmp/media_read_test_XXXXXX";

static const char *path_of(const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *to = path[turn++ % 4];
    snprintf(to, sizeof path[0], "%s/%s", folder, name);
    return to;
}

static void write_file(const char *name, const void *data, size_t bytes)
{
    FILE *file = fopen(path_of(name), "wb");
    CHECK(file && fwrite(data, 1, bytes, file) == bytes);
    CHECK(file && fclose(file) == 0);
}

static void put_le(uint8_t *to, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        to[i] = (uint8_t)(value >> 8 * i);
    }
}

/* Sample of a frame: something that never repeats within a test. */
static int16_t sample_of(uint64_t frame, unsigned channel)
{
    return (int16_t)((frame * 40503u + channel * 30011u) >> 3);
}

/* A 16-bit WAV file; what it holds may be less than what its header says. */
static void write_wav(const char *name, uint32_t frames, uint32_t frames_there)
{
    uint32_t bytes = frames * 4, there = 44 + frames_there * 4;
    uint8_t *wav = rmi_calloc(1, there);
    memcpy(wav, "RIFF....WAVEfmt ", 16);
    put_le(wav + 4, bytes + 36, 4);
    put_le(wav + 16, 16, 4);
    put_le(wav + 20, 1, 2);
    put_le(wav + 22, CHANNELS, 2);
    put_le(wav + 24, RATE_HZ, 4);
    put_le(wav + 28, RATE_HZ * 4, 4);
    put_le(wav + 32, 4, 2);
    put_le(wav + 34, 16, 2);
    memcpy(wav + 36, "data", 4);
    put_le(wav + 40, bytes, 4);
    for (uint32_t i = 0; i < frames_there * CHANNELS; i++) {
        put_le(wav + 44 + 2 * (size_t)i, (uint16_t)sample_of(i / CHANNELS, i % CHANNELS), 2);
    }
    write_file(name, wav, there);
    rmi_free(wav);
}

static uint8_t pixel_of(uint32_t picture, size_t at)
{
    return (uint8_t)(picture * 5 + at * 7 + at / WIDTH * 3);
}

enum { PICTURE_BYTES = WIDTH * HEIGHT * 3 / 2 };

static void write_pictures(const char *name, uint32_t count)
{
    uint8_t *all = rmi_calloc(count, PICTURE_BYTES);
    for (size_t i = 0; i < (size_t)count * PICTURE_BYTES; i++) {
        all[i] = pixel_of((uint32_t)(i / PICTURE_BYTES), i % PICTURE_BYTES);
    }
    write_file(name, all, (size_t)count * PICTURE_BYTES);
    rmi_free(all);
}

/* Runs ffmpeg in the folder of the files; false where there is none. The words are parted by single
 * blanks. */
static bool ffmpeg(const char *words)
{
    char text[512], *argv[64] = {"ffmpeg", "-v", "error", "-nostdin", "-y"}, *rest = NULL;
    size_t count = 5;
    char here[512];
    snprintf(text, sizeof text, "%s", words);
    for (char *word = strtok_r(text, " ", &rest); word && count < 63;
         word = strtok_r(NULL, " ", &rest)) {
        argv[count++] = word;
    }
    extern char **environ;
    pid_t child;
    int result = -1;
    CHECK(getcwd(here, sizeof here) && chdir(folder) == 0);
    bool ran = posix_spawnp(&child, "ffmpeg", NULL, NULL, argv, environ) == 0;
    CHECK(chdir(here) == 0);
    if (!ran) {
        return false;
    }
    CHECK(waitpid(child, &result, 0) == child);
    CHECK_INT(result, 0);
    return true;
}

static rm_harness *reader_of(const char *name, const char *more)
{
    char params[512];
    snprintf(params, sizeof params, "{\"path\": \"%s\"%s}", path_of(name), more);
    return harness_of("media.read", params);
}

/* ---- checks */

/* Takes all audio; each sample is that of its place from `first` on. Returns how many frames. */
static uint64_t take_samples(rm_harness *harness, uint64_t first)
{
    uint64_t n = 0, wrong = 0;
    rm_packet *packet;
    while ((packet = pull(harness, 0))) {
        const rm_packet_header *h = &packet->header;
        const int16_t *samples = packet->payload;
        CHECK_INT(h->kind, RM_KIND_AUDIO);
        CHECK_INT(h->format.audio.rate_hz, RATE_HZ);
        CHECK_INT(h->format.audio.channels, CHANNELS);
        CHECK_INT(h->format.audio.sample_format, RM_SAMPLE_S16);
        CHECK_INT(h->flags, 0);
        CHECK_NEAR((double)h->pts_ns, (double)((first + n) * 1000000000 / RATE_HZ), 1.0);
        CHECK_INT(h->duration_ns, (uint64_t)h->instance.audio.frames * 1000000000 / RATE_HZ);
        for (uint32_t i = 0; i < h->instance.audio.frames * CHANNELS; i++) {
            wrong += samples[i] != sample_of(first + n + i / CHANNELS, i % CHANNELS);
        }
        n += h->instance.audio.frames;
        rm_packet_unref(packet);
    }
    CHECK_INT(wrong, 0);
    return n;
}

static void check_planes(const rm_packet *packet, uint32_t picture)
{
    const rm_instance_line *instance = &packet->header.instance;
    size_t wrong = 0, at = 0;
    for (unsigned p = 0; p < 3; p++) {
        size_t width = p ? WIDTH / 2 : WIDTH, height = p ? HEIGHT / 2 : HEIGHT;
        const uint8_t *plane = (const uint8_t *)packet->payload + instance->video.offset_bytes[p];
        for (size_t y = 0; y < height; y++) {
            for (size_t x = 0; x < width; x++) {
                wrong += plane[y * instance->video.stride_bytes[p] + x] != pixel_of(picture, at++);
            }
        }
    }
    CHECK_INT(wrong, 0);
}

static uint32_t take_pictures(rm_harness *harness, uint32_t first)
{
    uint32_t n = 0;
    rm_packet *packet;
    rm_error err = RM_ERROR_INIT;
    while ((packet = pull(harness, 1))) {
        const rm_packet_header *h = &packet->header;
        CHECK_INT(rm_packet_header_check(h, sizeof *h, &err), RM_OK);
        CHECK_TEXT(err.message, "");
        CHECK_INT((uintptr_t)packet->payload % RM_PACKET_ALIGNMENT, 0);
        CHECK_INT(h->kind, RM_KIND_VIDEO);
        CHECK_INT(h->format.video.fourcc, RM_FOURCC_I420);
        CHECK_INT(h->format.video.width, WIDTH);
        CHECK_INT(h->format.video.height, HEIGHT);
        CHECK_INT(h->format.video.rate_num, 25);
        CHECK_INT(h->format.video.rate_den, 1);
        CHECK_INT(h->pts_ns, (int64_t)(first + n) * 40000000);
        CHECK_INT(h->duration_ns, 40000000);
        check_planes(packet, first + n);
        n++;
        rm_packet_unref(packet);
    }
    return n;
}

/* ---- tests */

TEST(a_wav_file_comes_sample_by_sample)
{
    write_wav("a.wav", 100000, 100000);
    rm_harness *harness = reader_of("a.wav", "");
    CHECK_INT(take_samples(harness, 0), 100000);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(a_flac_file_comes_sample_by_sample)
{
    write_wav("b.wav", 50001, 50001);
    if (!ffmpeg("-i b.wav b.flac")) {
        SKIP("no ffmpeg command here");
    }
    rm_harness *harness = reader_of("b.flac", "");
    CHECK_INT(take_samples(harness, 0), 50001);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(a_part_of_a_file_is_exact_to_the_sample)
{
    write_wav("c.wav", 100000, 100000);
    rm_harness *harness = reader_of("c.wav", ", \"start_s\": 1.0, \"duration_s\": 0.5");
    CHECK_INT(take_samples(harness, RATE_HZ), RATE_HZ / 2);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
    harness = reader_of("c.wav", ", \"start_s\": 2.25");
    CHECK_INT(take_samples(harness, RATE_HZ * 9 / 4), 100000 - RATE_HZ * 9 / 4);
    rm_harness_free(harness);
}

TEST(a_lossless_film_comes_pixel_by_pixel_without_a_copy)
{
    write_pictures("d.yuv", 30);
    if (!ffmpeg("-f rawvideo -pix_fmt yuv420p -s 66x50 -r 25 -i d.yuv -c:v ffv1 d.avi")) {
        SKIP("no ffmpeg command here");
    }
    rm_harness *harness = reader_of("d.avi", "");
    rm_packet *packet = pull(harness, 1);
    CHECK(packet && rm_packet_owner(packet) != NULL);
    CHECK(packet && (packet->header.flags & RM_FLAG_KEY));
    rm_packet_unref(packet);
    rm_harness_free(harness);
    harness = reader_of("d.avi", "");
    CHECK_INT(take_pictures(harness, 0), 30);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
    harness = reader_of("d.avi", ", \"start_s\": 0.4, \"duration_s\": 0.2, \"threads\": 2");
    CHECK_INT(take_pictures(harness, 10), 5);
    rm_harness_free(harness);
}

TEST(a_paced_file_keeps_to_the_clock)
{
    write_wav("e.wav", 8192, 8192);
    rm_harness *harness = reader_of("e.wav", ", \"paced\": true");
    rm_packet *packet = pull(harness, 0);
    int64_t due_ns = 0;
    uint64_t frames = 0;
    while (packet) {
        frames += packet->header.instance.audio.frames;
        int64_t next_ns = packet->header.pts_ns + packet->header.duration_ns + 1;
        rm_packet_unref(packet);
        CHECK(pull(harness, 0) == NULL);
        rm_harness_advance(harness, next_ns - due_ns - 2);
        CHECK(frames == 8192 || pull(harness, 0) == NULL);
        rm_harness_advance(harness, 2);
        due_ns = next_ns;
        packet = pull(harness, 0);
    }
    CHECK_INT(frames, 8192);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(a_file_that_was_cut_off_is_an_error_at_its_end_or_a_warning)
{
    write_wav("f.wav", 100000, 60000);
    rm_harness *harness = reader_of("f.wav", "");
    rm_error err = RM_ERROR_INIT;
    rm_status status;
    uint64_t frames = 0;
    do {
        rm_packet *packet = NULL;
        status = rm_harness_step(harness, 1, &err);
        while (rm_harness_pull(harness, 0, &packet) == RM_OK) {
            frames += packet->header.instance.audio.frames;
            rm_packet_unref(packet);
        }
    } while (status >= 0 && status != RM_DONE);
    CHECK_INT(err.code, RM_CODE_MEDIA_DATA);
    CHECK_CONTAINS(err.message, "f.wav' is ");
    CHECK_CONTAINS(err.help, "damaged=keep");
    CHECK(frames > 50000);
    rm_harness_free(harness);
    harness = reader_of("f.wav", ", \"damaged\": \"keep\"");
    CHECK_INT(take_samples(harness, 0), 60000);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(what_is_no_media_file_is_refused)
{
    static const struct {
        const char *name, *content, *part;
        int bytes, code;
    } rows[] = {
        {"no_such_file.wav", NULL, "No such file or directory", 0, RM_CODE_MEDIA_OPEN},
        {"empty.wav", "", "is empty", 0, RM_CODE_MEDIA_DATA},
        {"text.txt", "These are words, no sounds.\n", "text.txt'", 28, RM_CODE_MEDIA_DATA},
        {"text.wav", "These are words, no sounds.\n", "text.wav'", 28, RM_CODE_MEDIA_DATA},
        {"riff.wav", "RIFF\xff\xff\xff\xffWAVE", "riff.wav'", 12, RM_CODE_MEDIA_DATA},
        {"table.csv", "a,b,c\n1,2,3\n", "table.csv'", 12, RM_CODE_MEDIA_DATA},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        char params[512];
        if (rows[i].content) {
            write_file(rows[i].name, rows[i].content, (size_t)rows[i].bytes);
        }
        snprintf(params, sizeof params, "{\"path\": \"%s\"}", path_of(rows[i].name));
        rm_error err = refusal_of("media.read", params);
        CHECK_INT(err.code, rows[i].code);
        CHECK_CONTAINS(err.message, rows[i].name);
        CHECK_CONTAINS(err.message, rows[i].part);
    }
    CHECK_INT(refusal_of("media.read", "{\"path\": \"/tmp\"}").code, RM_CODE_MEDIA_OPEN);
    CHECK_INT(refusal_of("media.read", "{}").code, RM_CODE_PARAM_MISSING);
}

TEST(a_stream_that_the_file_lacks_is_named)
{
    char params[512];
    write_wav("g.wav", 100, 100);
    snprintf(params, sizeof params, "{\"path\": \"%s\", \"audio_stream\": 1}", path_of("g.wav"));
    rm_error err = refusal_of("media.read", params);
    CHECK_INT(err.code, RM_CODE_PARAM_RANGE);
    CHECK_CONTAINS(err.message, "g.wav' has no audio stream 1");
}

/* Counts what comes from both ports until the node ends. */
typedef struct tally {
    uint64_t frames, pictures;
    uint32_t flags;                /* all that were seen */
    uint32_t sizes, rates;         /* how often they changed, the first one counted */
    rm_format_line picture, sound; /* the latest */
    rm_error err;
} tally;

static void count_packet(tally *t, const rm_packet_header *h, bool is_sound)
{
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_packet_header_check(h, sizeof *h, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    rm_format_line *latest = is_sound ? &t->sound : &t->picture;
    bool differs = memcmp(latest, &h->format, sizeof *latest) != 0;
    *latest = h->format;
    t->flags |= h->flags & ~(uint32_t)RM_FLAG_KEY;
    if (is_sound) {
        t->frames += h->instance.audio.frames;
        t->rates += differs;
    } else {
        t->pictures++;
        t->sizes += differs;
    }
}

static tally read_all(const char *name, const char *more)
{
    tally t = {.err = RM_ERROR_INIT};
    rm_harness *harness = reader_of(name, more);
    rm_status status;
    do {
        rm_packet *packet = NULL;
        status = rm_harness_step(harness, 1, &t.err);
        for (uint32_t port = 0; port < 2; port++) {
            while (rm_harness_pull(harness, port, &packet) == RM_OK) {
                count_packet(&t, &packet->header, port == 0);
                rm_packet_unref(packet);
            }
        }
    } while (status >= 0 && status != RM_DONE);
    rm_harness_free(harness);
    return t;
}

TEST(sound_and_pictures_of_one_file_come_on_their_ports)
{
    if (!ffmpeg("-f lavfi -i testsrc=size=160x120:rate=25:duration=2 -f lavfi -i "
                "sine=sample_rate=48000:duration=2 -c:v mpeg4 -c:a pcm_s16le h.mov")) {
        SKIP("no ffmpeg command here");
    }
    tally t = read_all("h.mov", "");
    CHECK_TEXT(t.err.message, "");
    CHECK_INT(t.pictures, 50);
    CHECK_INT(t.frames, 96000);
    CHECK_INT(t.picture.video.width, 160);
    CHECK_INT(t.sound.audio.rate_hz, 48000);
    CHECK_INT(t.flags, 0);
    CHECK_INT(t.sizes, 1);
    CHECK_INT(t.rates, 1);
}

static void append_file(const char *to, const char *from)
{
    FILE *source = fopen(path_of(from), "rb"), *target = fopen(path_of(to), "ab");
    uint8_t block[4096];
    size_t bytes;
    while (source && target && (bytes = fread(block, 1, sizeof block, source)) > 0) {
        CHECK_INT(fwrite(block, 1, bytes, target), bytes);
    }
    CHECK(source && fclose(source) == 0);
    CHECK(target && fclose(target) == 0);
}

TEST(size_and_rate_may_change_in_mid_stream)
{
    if (!ffmpeg("-f lavfi -i testsrc=size=160x120:rate=25:duration=1 -c:v mjpeg i1.mjpeg") ||
        !ffmpeg("-f lavfi -i testsrc=size=96x64:rate=25:duration=1 -c:v mjpeg i2.mjpeg") ||
        !ffmpeg("-f lavfi -i sine=sample_rate=44100:duration=8 -c:a mp2 i1.mp2") ||
        !ffmpeg("-f lavfi -i sine=sample_rate=32000:duration=1 -c:a mp2 i2.mp2")) {
        SKIP("no ffmpeg command here");
    }
    append_file("i1.mjpeg", "i2.mjpeg");
    tally t = read_all("i1.mjpeg", "");
    CHECK_INT(t.pictures, 50);
    CHECK_INT(t.sizes, 2);
    CHECK_INT(t.picture.video.width, 96);
    /* The change comes behind what libav* looks at to find out about a stream. */
    append_file("i1.mp2", "i2.mp2");
    t = read_all("i1.mp2", ", \"damaged\": \"keep\"");
    CHECK_INT(t.rates, 2);
    CHECK_INT(t.sound.audio.rate_hz, 32000);
    CHECK(t.frames > 380000);
}

TEST(damage_in_the_middle_is_flagged_counted_and_told_at_the_end)
{
    write_wav("j.wav", 200000, 200000);
    if (!ffmpeg("-i j.wav j.flac")) {
        SKIP("no ffmpeg command here");
    }
    FILE *file = fopen(path_of("j.flac"), "r+b");
    uint8_t noise[3000];
    memset(noise, 0x5a, sizeof noise);
    CHECK(file && fseek(file, 200000, SEEK_SET) == 0 && fwrite(noise, sizeof noise, 1, file) == 1);
    CHECK(file && fclose(file) == 0);
    tally t = read_all("j.flac", "");
    CHECK_INT(t.err.code, RM_CODE_MEDIA_DATA);
    CHECK_CONTAINS(t.err.message, "j.flac' is damaged: ");
    CHECK_CONTAINS(t.err.help, "damaged=keep");
    CHECK(t.frames > 150000 && t.frames <= 200000);
    t = read_all("j.flac", ", \"damaged\": \"keep\"");
    CHECK_TEXT(t.err.message, "");
    CHECK(t.flags & RM_FLAG_DISCONTINUITY);
}

TEST(layouts_that_packets_lack_become_the_nearest_one)
{
    static const struct {
        const char *pixels;
        uint32_t fourcc;
    } rows[] = {
        {"yuv422p10le", RM_FOURCC_I420}, {"yuv444p", RM_FOURCC_I420}, {"gray16le", RM_FOURCC_GRAY8},
        {"bgra", RM_FOURCC_RGBA},        {"gbrp", RM_FOURCC_RGB24},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        char words[256];
        snprintf(words, sizeof words,
                 "-f lavfi -i color=0x808080:size=66x50:rate=5:duration=1 -pix_fmt %s -c:v ffv1 "
                 "k%zu.mkv",
                 rows[i].pixels, i);
        if (!ffmpeg(words)) {
            SKIP("no ffmpeg command here");
        }
        snprintf(words, sizeof words, "k%zu.mkv", i);
        rm_harness *harness = reader_of(words, "");
        rm_packet *packet = pull(harness, 1);
        CHECK(packet != NULL);
        if (packet) {
            const rm_packet_header *h = &packet->header;
            const uint8_t *last =
                (const uint8_t *)packet->payload + (size_t)h->instance.video.stride_bytes[0] * 49;
            bool is_yuv = h->format.video.fourcc == RM_FOURCC_I420;
            CHECK_INT(rm_packet_header_check(h, sizeof *h, NULL), RM_OK);
            CHECK_INT(h->format.video.fourcc, rows[i].fourcc);
            CHECK_NEAR((double)last[0], is_yuv || i == 2 ? 127 : 128, 2.0);
        }
        rm_packet_unref(packet);
        rm_harness_free(harness);
    }
}

TEST(packets_hold_a_bounded_number_of_pictures)
{
    enum { HELD_MAX = 1024, COUNT = 1030 };
    write_pictures("l.yuv", COUNT);
    if (!ffmpeg("-f rawvideo -pix_fmt yuv420p -s 66x50 -r 25 -i l.yuv -c:v ffv1 l.avi")) {
        SKIP("no ffmpeg command here");
    }
    static rm_packet *held[COUNT];
    rm_harness *harness = reader_of("l.avi", "");
    uint32_t count = 0;
    rm_packet *packet;
    while ((packet = pull(harness, 1))) {
        held[count++] = packet;
    }
    CHECK_INT(count, HELD_MAX);
    rm_packet_unref(held[0]);
    held[0] = NULL;
    CHECK(pull(harness, 1) == NULL);
    rm_harness_advance(harness, 2000000);
    held[count] = pull(harness, 1);
    CHECK(held[count] != NULL);
    check_planes(held[count], HELD_MAX);
    check_planes(held[1], 1);
    rm_harness_free(harness); /* packets outlive the node */
    for (uint32_t i = 0; i < COUNT; i++) {
        rm_packet_unref(held[i]);
    }
}

TEST(after_an_interrupt_the_file_goes_on)
{
    write_wav("m.wav", 400000, 400000);
    rm_harness *harness = reader_of("m.wav", "");
    rm_packet *packet = pull(harness, 0);
    uint64_t frames = packet->header.instance.audio.frames;
    rm_packet_unref(packet);
    CHECK_INT(rm_session_interrupt(rm_harness_session(harness), "media.read"), RM_OK);
    int64_t last_ns = 0;
    while ((packet = pull(harness, 0))) {
        CHECK(packet->header.pts_ns > last_ns);
        last_ns = packet->header.pts_ns;
        frames += packet->header.instance.audio.frames;
        rm_packet_unref(packet);
    }
    CHECK(frames > 0 && frames < 400000); /* what was queued is gone */
    CHECK(last_ns > 400000ll * 1000000000 / RATE_HZ - 100000000);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(a_pipe_that_says_nothing_holds_up_nobody)
{
    int ends[2];
    char params[64];
    write_wav("p.wav", 3000, 3000);
    CHECK_INT(pipe(ends), 0);
    snprintf(params, sizeof params, "{\"path\": \"/proc/self/fd/%d\"}", ends[0]);
    rm_harness *harness = harness_of("media.read", params);
    CHECK_INT(run_well(harness), RM_PENDING); /* and not: for ever in a read() */
    uint8_t wav[44 + 3000 * 4];
    FILE *file = fopen(path_of("p.wav"), "rb");
    CHECK(file && fread(wav, sizeof wav, 1, file) == 1);
    CHECK(file && fclose(file) == 0);
    CHECK_INT(write(ends[1], wav, sizeof wav), sizeof wav);
    close(ends[1]);
    rm_harness_advance(harness, 2000000);
    CHECK_INT(take_samples(harness, 0), 3000);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
    close(ends[0]);
}

/* Opens, reads all, closes. */
static rm_status one_file(void)
{
    char params[512];
    rm_harness *harness = NULL;
    snprintf(params, sizeof params, "{\"path\": \"%s\"}", path_of("n.wav"));
    rm_status status = rm_harness_load("media.read", params, &harness, NULL);
    while (status == RM_OK || status == RM_PENDING || status == RM_MORE) {
        rm_packet *packet = NULL;
        status = rm_harness_run(harness, NULL);
        while (status >= 0 && rm_harness_pull(harness, 0, &packet) == RM_OK) {
            rm_packet_unref(packet);
        }
    }
    rm_harness_free(harness);
    return status;
}

TEST(each_allocation_may_fail)
{
    write_wav("n.wav", 5000, 5000);
    for (unsigned nth = 1; nth < 2000; nth++) {
        rmi_alloc_fault_begin(nth);
        rm_status status = one_file();
        if (!rmi_alloc_fault_end()) {
            CHECK_INT(status, RM_DONE);
            CHECK(nth > 20);
            return;
        }
        CHECK(status == RM_ENOMEM || status == RM_DONE);
    }
    CHECK(!"the loop ends");
}

static void remove_folder(void)
{
    char *argv[] = {"rm", "-rf", folder, NULL};
    extern char **environ;
    pid_t child;
    if (posix_spawnp(&child, "rm", NULL, NULL, argv, environ) == 0) {
        (void)waitpid(child, NULL, 0);
    }
}

int main(int argc, char **argv)
{
    static const rmi_test tests[] = {
        T(a_wav_file_comes_sample_by_sample),
        T(a_flac_file_comes_sample_by_sample),
        T(a_part_of_a_file_is_exact_to_the_sample),
        T(a_lossless_film_comes_pixel_by_pixel_without_a_copy),
        T(a_paced_file_keeps_to_the_clock),
        T(a_file_that_was_cut_off_is_an_error_at_its_end_or_a_warning),
        T(what_is_no_media_file_is_refused),
        T(a_stream_that_the_file_lacks_is_named),
        T(sound_and_pictures_of_one_file_come_on_their_ports),
        T(size_and_rate_may_change_in_mid_stream),
        T(damage_in_the_middle_is_flagged_counted_and_told_at_the_end),
        T(layouts_that_packets_lack_become_the_nearest_one),
        T(packets_hold_a_bounded_number_of_pictures),
        T(after_an_interrupt_the_file_goes_on),
        T(a_pipe_that_says_nothing_holds_up_nobody),
        T(each_allocation_may_fail),
    };
    if (!mkdtemp(folder)) {
        printf("Bail out! no temporary folder\n");
        return 1;
    }
    int result = rmi_test_main(tests, RMI_COUNT(tests), argc, argv);
    remove_folder();
    return result;
}
