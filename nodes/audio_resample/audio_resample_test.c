/* audio.resample: the samples of soxr itself, exact lengths and times, and gaps, changes,
 * interrupts. */
#include <math.h>
#include <soxr.h>

#include "../node_test.h"

#include "base/alloc.h"

enum { FRAMES_MAX = 200000 };

/* All that has come out so far. */
typedef struct output {
    float samples[FRAMES_MAX];
    size_t count, packets;
    int64_t start_ns, next_ns;
    uint32_t flags;
} output;

static output out;

static double sine(size_t n, double frequency_hz, double rate_hz)
{
    return 0.5 * sin(6.28318530717958647692 * frequency_hz * (double)n / rate_hz);
}

/* Mono f32; checks that each packet begins where the last one ended. */
static void collect(rm_harness *harness)
{
    rm_packet *packet;
    while ((packet = pull(harness, 0))) {
        const rm_packet_header *h = &packet->header;
        uint32_t frames = h->instance.audio.frames;
        CHECK(frames > 0);
        if (out.packets == 0) {
            out.start_ns = out.next_ns = h->pts_ns;
        }
        CHECK_INT(h->pts_ns, out.next_ns);
        CHECK_INT(h->payload_bytes, frames * sizeof(float));
        if (out.count + frames <= FRAMES_MAX) {
            memcpy(out.samples + out.count, packet->payload, frames * sizeof(float));
        }
        out.count += frames;
        out.packets++;
        out.flags |= h->flags;
        out.next_ns = h->pts_ns + h->duration_ns;
        rm_packet_unref(packet);
    }
}

static void begin(void)
{
    out.count = out.packets = 0;
    out.flags = 0;
}

/* `total` frames of a sine, cut into packets of `piece`. */
static void push_sine(rm_harness *harness, uint32_t rate_hz, size_t total, uint32_t piece,
                      double frequency_hz, int64_t start_ns)
{
    static float in[8192];
    for (size_t done = 0; done < total; done += piece) {
        uint32_t frames = total - done < piece ? (uint32_t)(total - done) : piece;
        for (uint32_t i = 0; i < frames; i++) {
            in[i] = (float)sine(done + i, frequency_hz, rate_hz);
        }
        push_audio(harness, AUDIO(rate_hz, 1, RM_SAMPLE_F32), frames, in,
                   start_ns + (int64_t)(done * 1000000000 / rate_hz));
        collect(harness);
    }
}

static void finish(rm_harness *harness)
{
    rm_harness_end(harness, 0);
    collect(harness);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

static rm_harness *resampler(int to_hz, const char *more)
{
    char params[120];
    snprintf(params, sizeof params, "{\"rate_hz\": %d%s}", to_hz, more);
    return harness_of("audio.resample", params);
}

/* The same signal through soxr alone, in the same blocks. */
static size_t reference(double from_hz, double to_hz, size_t total, size_t piece,
                        double frequency_hz, float *samples)
{
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    soxr_t soxr = soxr_create(from_hz, to_hz, 1, NULL, NULL, &quality, NULL);
    static float in[8192];
    size_t count = 0, given;
    for (size_t done = 0; done < total; done += piece) {
        size_t frames = total - done < piece ? total - done : piece;
        for (size_t i = 0; i < frames; i++) {
            in[i] = (float)sine(done + i, frequency_hz, from_hz);
        }
        CHECK(!soxr_process(soxr, in, frames, NULL, samples + count, FRAMES_MAX - count, &given));
        count += given;
    }
    do {
        CHECK(!soxr_process(soxr, NULL, 0, NULL, samples + count, FRAMES_MAX - count, &given));
        count += given;
    } while (given);
    soxr_delete(soxr);
    return count;
}

static double snr_db(double frequency_hz, double rate_hz)
{
    double signal = 0, noise = 0;
    for (size_t i = out.count / 4; i < out.count * 3 / 4; i++) { /* away from the ends */
        double want = sine(i, frequency_hz, rate_hz), off = (double)out.samples[i] - want;
        signal += want * want;
        noise += off * off;
    }
    return 10 * log10(signal / noise);
}

TEST(the_samples_are_those_of_soxr_and_the_sine_comes_back)
{
    static const struct {
        uint32_t from_hz, to_hz, piece;
    } rows[] = {{48000, 16000, 960}, {44100, 16000, 882}, {16000, 48000, 320},
                {8000, 44100, 4096}, {44100, 48000, 37},  {96000, 8000, 1920}};
    static float want[FRAMES_MAX];
    for (size_t r = 0; r < RMI_COUNT(rows); r++) {
        size_t total = rows[r].from_hz + 12345;
        begin();
        rm_harness *harness = resampler((int)rows[r].to_hz, "");
        push_sine(harness, rows[r].from_hz, total, rows[r].piece, 997, 1000);
        finish(harness);
        size_t count = reference(rows[r].from_hz, rows[r].to_hz, total, rows[r].piece, 997, want);
        uint64_t exact = (total * (uint64_t)rows[r].to_hz * 2 + rows[r].from_hz) /
                         (2 * (uint64_t)rows[r].from_hz);
        CHECK_INT(out.count, exact);
        CHECK_INT(out.count, count);
        CHECK_INT(memcmp(out.samples, want, count * sizeof *want), 0);
        CHECK_INT(out.start_ns, 1000);
        CHECK_INT(out.next_ns, 1000 + (int64_t)(exact * 1000000000 / rows[r].to_hz));
        CHECK_INT(out.flags, 0);
        double db = snr_db(997, rows[r].to_hz);
        printf("# %u to %u Hz: SNR of a sine of 997 Hz %.1f dB, %zu frames in %zu packets\n",
               rows[r].from_hz, rows[r].to_hz, db, out.count, out.packets);
        CHECK(db > 115);
    }
}

TEST(lengths_are_exact_for_any_length)
{
    static const uint32_t pairs[][2] = {{48000, 16000}, {44100, 16000}, {16000, 44100}};
    for (size_t p = 0; p < RMI_COUNT(pairs); p++) {
        for (size_t total = 1; total < 5000; total = total * 3 + 1) {
            begin();
            rm_harness *harness = resampler((int)pairs[p][1], "");
            push_sine(harness, pairs[p][0], total, 480, 997, 0);
            finish(harness);
            CHECK_INT(out.count, (total * 2 * pairs[p][1] + pairs[p][0]) / (2 * pairs[p][0]));
        }
    }
    begin();
    finish(resampler(16000, ""));
    CHECK_INT(out.count, 0);
}

TEST(a_block_that_soxr_gives_at_once_comes_at_once)
{
    enum { PIECE = 10 };
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    soxr_t soxr = soxr_create(44100, 48000, 1, NULL, NULL, &quality, NULL);
    static float in[PIECE], ignored[8192];
    rm_harness *harness = resampler(48000, "");
    size_t expected = 0, given = 0, largest = 0;
    begin();
    for (size_t k = 0; k < 500; k++) {
        CHECK(!soxr_process(soxr, in, PIECE, NULL, ignored, 8192, &given));
        expected += given;
        largest = given > largest ? given : largest;
        push_audio(harness, AUDIO(44100, 1, RM_SAMPLE_F32), PIECE, in,
                   (int64_t)(k * PIECE * 1000000000 / 44100));
        collect(harness);
        CHECK_INT(out.count, expected);
    }
    CHECK(largest > 20 * PIECE); /* else nothing was tested */
    soxr_delete(soxr);
    finish(harness);
}

TEST(low_delay_answers_sooner)
{
    double delay_ms[2];
    static const char *const more[] = {"", ", \"delay\": \"low\", \"phase\": \"minimum\""};
    for (int i = 0; i < 2; i++) {
        begin();
        delay_ms[i] = 0;
        rm_harness *harness = resampler(16000, more[i]);
        for (size_t k = 0; k < 50; k++) {
            static float in[960];
            push_audio(harness, AUDIO(48000, 1, RM_SAMPLE_F32), 960, in, (int64_t)k * 20000000);
            collect(harness);
            double held = (double)(k + 1) * 20 - (double)out.count / 16;
            delay_ms[i] = held > delay_ms[i] ? held : delay_ms[i];
        }
        finish(harness);
        CHECK_INT(out.count, 16000);
    }
    printf("# held back at most: normal %.1f ms, low with minimum phase %.1f ms\n", delay_ms[0],
           delay_ms[1]);
    CHECK(delay_ms[1] < delay_ms[0] / 2);
}

/* ---- formats */

TEST(each_format_and_layout_gives_the_same_sound)
{
    enum { FRAMES = 4000 };
    static const int formats[] = {RM_SAMPLE_U8, RM_SAMPLE_S16, RM_SAMPLE_S32, RM_SAMPLE_F32,
                                  RM_SAMPLE_F64};
    static const double tolerance[] = {1.0 / 100, 1.0 / 30000, 1e-6, 1e-6, 1e-6};
    static double in[2 * FRAMES];
    for (int i = 0; i < FRAMES; i++) {
        in[2 * i] = sine((size_t)i, 440, 16000);
        in[2 * i + 1] = -in[2 * i];
    }
    for (size_t f = 0; f < RMI_COUNT(formats) * 2; f++) {
        char convert[80];
        static const char *const names[] = {"u8", "s16", "s32", "f32", "f64"};
        snprintf(convert, sizeof convert, "{\"sample_format\": \"%s\", \"layout\": \"%s\"}",
                 names[f / 2], f % 2 ? "planar" : "interleaved");
        rm_harness *first = harness_of("audio.convert", convert);
        push_audio(first, AUDIO(16000, 2, RM_SAMPLE_F64), FRAMES, in, 0);
        rm_harness *harness = resampler(8000, "");
        rm_harness *last = harness_of("audio.convert", "{\"sample_format\": \"f32\", "
                                                       "\"matrix\": [[0.5, -0.5]]}");
        CHECK_INT(rm_harness_push(harness, 0, pull(first, 0)), RM_OK);
        rm_harness_end(harness, 0);
        rm_packet *packet;
        begin();
        while ((packet = pull(harness, 0))) {
            CHECK_INT(packet->header.format.audio.sample_format, formats[f / 2]);
            CHECK_INT(packet->header.format.audio.planar, f % 2);
            CHECK_INT(rm_harness_push(last, 0, packet), RM_OK);
            collect(last);
        }
        CHECK_INT(out.count, FRAMES / 2);
        for (size_t i = 200; i < FRAMES / 2 - 200; i++) {
            CHECK_NEAR((double)out.samples[i], sine(i, 440, 8000), tolerance[f / 2]);
        }
        rm_harness_free(first);
        rm_harness_free(harness);
        rm_harness_free(last);
    }
}

TEST(the_same_rate_passes_untouched)
{
    rm_harness *harness = resampler(8000, "");
    rm_packet *in = NULL;
    CHECK_INT(rm_harness_audio_new(harness, AUDIO(8000, 1, RM_SAMPLE_S16), 1, "ab", 0, &in), RM_OK);
    CHECK_INT(rm_harness_push(harness, 0, in), RM_OK);
    rm_packet *packet = pull(harness, 0);
    CHECK(packet == in);
    rm_packet_unref(packet);
    rm_harness_free(harness);
}

/* ---- changes */

TEST(a_change_of_format_loses_nothing)
{
    begin();
    rm_harness *harness = resampler(16000, "");
    push_sine(harness, 48000, 4800, 960, 997, 0);
    push_sine(harness, 8000, 800, 160, 997, 100000000);
    push_sine(harness, 16000, 1600, 320, 997, 200000000);
    push_sine(harness, 44100, 4410, 441, 997, 300000000);
    finish(harness);
    CHECK_INT(out.count, 4 * 1600);
    CHECK_INT(out.next_ns, 400000000);
    CHECK_INT(out.flags, RM_FLAG_DISCONTINUITY); /* where the filter began anew */
}

TEST(a_gap_ends_the_run_and_begins_another)
{
    static float in[480];
    rm_harness *harness = resampler(16000, "");
    begin();
    for (int i = 0; i < 10; i++) { /* jitter of 5 ms is none */
        push_audio(harness, AUDIO(48000, 1, RM_SAMPLE_F32), 480, in,
                   i * 10000000 + (i % 2 ? 5000000 : 0));
        collect(harness);
    }
    push_audio(harness, AUDIO(48000, 1, RM_SAMPLE_F32), 480, in, 1000000000);
    size_t tail = 0;
    int64_t end_ns = out.next_ns;
    rm_packet *packet = pull(harness, 0);
    while (packet && packet->header.pts_ns < 1000000000) {
        tail += packet->header.instance.audio.frames;
        CHECK_INT(packet->header.pts_ns, end_ns);
        end_ns += packet->header.duration_ns;
        rm_packet_unref(packet);
        packet = pull(harness, 0);
    }
    CHECK_INT(out.count + tail, 1600);
    CHECK_INT(end_ns, 100000000);
    CHECK(packet == NULL); /* soxr still holds it */
    rm_harness_end(harness, 0);
    packet = pull(harness, 0);
    CHECK(packet != NULL);
    CHECK_INT(packet->header.pts_ns, 1000000000);
    CHECK_INT(packet->header.instance.audio.frames, 160);
    CHECK_INT(packet->header.flags, RM_FLAG_DISCONTINUITY);
    rm_packet_unref(packet);
    rm_harness_free(harness);
}

TEST(after_an_interrupt_it_begins_as_if_new)
{
    static float want[FRAMES_MAX];
    begin();
    rm_harness *harness = resampler(16000, "");
    push_sine(harness, 48000, 5000, 960, 300, 0);
    CHECK_INT(rm_session_interrupt(rm_harness_session(harness), "audio.resample"), RM_OK);
    (void)run_well(harness);
    begin();
    push_sine(harness, 48000, 9600, 960, 997, 5000000000);
    finish(harness);
    size_t count = reference(48000, 16000, 9600, 960, 997, want);
    CHECK_INT(out.count, count);
    CHECK_INT(out.start_ns, 5000000000);
    CHECK_INT(memcmp(out.samples, want, count * sizeof *want), 0);
}

/* ---- refusals and costs */

/* What soxr holds back goes out before the new node begins; the filter's edges are all one hears.
 */
TEST(a_swap_in_mid_stream_neither_loses_nor_doubles_a_frame)
{
    static const int rates_hz[] = {16000, 44100};
    for (int i = 0; i < 2; i++) {
        begin();
        rm_harness *harness = resampler(rates_hz[i], "");
        const rm_node_type *type = NULL;
        rm_registry *registry = NULL;
        CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
        CHECK_INT(rm_registry_find(registry, "audio.resample", &type, NULL), RM_OK);
        char params[80];
        snprintf(params, sizeof params, "{\"rate_hz\": %d, \"quality\": \"very_high\"}",
                 rates_hz[i]);
        static float in[480];
        for (int packet = 0; packet < 100; packet++) {
            for (int k = 0; k < 480; k++) {
                in[k] = (float)sine((size_t)(packet * 480 + k), 997, 48000);
            }
            push_audio(harness, AUDIO(48000, 1, RM_SAMPLE_F32), 480, in,
                       packet * (int64_t)10000000);
            collect(harness);
            if (packet == 39) {
                rm_error err = RM_ERROR_INIT;
                CHECK_INT(rm_session_swap(rm_harness_session(harness), "audio.resample", type,
                                          params, &err),
                          RM_OK);
                CHECK_TEXT(err.message, "");
            }
        }
        finish(harness);
        rm_registry_free(registry);
        CHECK_INT(out.count, rates_hz[i]); /* collect() sees each packet join on the last */
        CHECK_INT(out.flags, 0);
        double signal = 0, noise = 0, worst = 0;
        size_t join = (size_t)rates_hz[i] * 40 / 100;
        for (size_t k = 1000; k + 1000 < out.count; k++) {
            double want = sine(k, 997, rates_hz[i]), off = out.samples[k] - want;
            bool near = k + 300 > join && k < join + 300;
            signal += near ? 0 : want * want;
            noise += near ? 0 : off * off;
            worst = fabs(off) > worst ? fabs(off) : worst;
        }
        double snr_db = 10 * log10(signal / noise);
        printf("# SNR but for 600 frames around the swap: %.1f dB, worst sample off by %.3f\n",
               snr_db, worst);
        CHECK(snr_db > 50);
        CHECK(worst < 0.5);
    }
}

TEST(wrong_parameters_and_packets_are_named)
{
    rm_error err = refusal_of("audio.resample", "{}");
    CHECK_INT(err.code, RM_CODE_PARAM_MISSING);
    err = refusal_of("audio.resample", "{\"rate_hz\": 999}");
    CHECK_CONTAINS(err.message, "rate_hz is 999 Hz, want 1000 to 768000");
    rm_harness *harness = resampler(8000, "");
    rm_packet *packet = NULL;
    CHECK_INT(rm_harness_audio_new(harness, AUDIO(16000, 1, RM_SAMPLE_S16), 1, "ab", 0, &packet),
              RM_OK);
    packet->header.instance.audio.frames = 1000; /* lies */
    CHECK_INT(rm_harness_push(harness, 0, packet), RM_OK);
    err = run_badly(harness);
    CHECK_INT(err.code, RM_CODE_PACKET_HEADER);
    CHECK_CONTAINS(err.message, "says 1000 frames, more than its payload of 2 bytes holds");
    rm_harness_free(harness);
}

TEST(a_steady_stream_allocates_nothing)
{
    rm_harness *harness = resampler(16000, "");
    uint64_t allocations = 0;
    static float in[960];
    for (int i = 0; i < 200; i++) {
        allocations = i == 50 ? rmi_alloc_count() : allocations;
        push_audio(harness, AUDIO(48000, 1, RM_SAMPLE_F32), 960, in, i * 20000000ll);
        begin();
        collect(harness);
    }
    CHECK_INT(rmi_alloc_count() - allocations, 0);
    rm_harness_free(harness);
}

TEST(each_allocation_may_fail)
{
    bool struck = true;
    for (unsigned nth = 1; struck && nth < 1000; nth++) {
        rm_harness *harness = NULL;
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_harness_load("audio.resample", "{\"rate_hz\": 8000}", &harness, NULL);
        struck = rmi_alloc_fault_end();
        CHECK(struck ? status < 0 : status == RM_OK);
        rm_harness_free(harness);
    }
    struck = true;
    for (unsigned nth = 1; struck && nth < 1000; nth++) {
        static const uint8_t in[2000];
        rm_harness *harness = resampler(4000, "");
        push_audio(harness, AUDIO(8000, 1, RM_SAMPLE_U8), 2000, in, 0);
        rm_harness_end(harness, 0);
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_harness_run(harness, NULL);
        struck = rmi_alloc_fault_end();
        CHECK(struck ? status == RM_ENOMEM : status >= 0);
        rm_harness_free(harness);
    }
    CHECK(!struck);
}

TEST_MAIN(T(the_samples_are_those_of_soxr_and_the_sine_comes_back),
          T(lengths_are_exact_for_any_length), T(a_block_that_soxr_gives_at_once_comes_at_once),
          T(low_delay_answers_sooner), T(each_format_and_layout_gives_the_same_sound),
          T(the_same_rate_passes_untouched), T(a_change_of_format_loses_nothing),
          T(a_gap_ends_the_run_and_begins_another), T(after_an_interrupt_it_begins_as_if_new),
          T(a_swap_in_mid_stream_neither_loses_nor_doubles_a_frame),
          T(wrong_parameters_and_packets_are_named), T(a_steady_stream_allocates_nothing),
          T(each_allocation_may_fail))
