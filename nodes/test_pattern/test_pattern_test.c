/* test.pattern: colours, the number that each picture carries, times, pacing, and what it refuses.
 */
#include "../video_test.h"

#include "base/alloc.h"

/* The number that the squares at the bottom say. */
static uint32_t code_of(const rm_packet *packet)
{
    int width = (int)packet->header.format.video.width;
    int height = (int)packet->header.format.video.height;
    uint32_t code = 0;
    for (int i = 0; i < 32; i++) {
        int x = (2 * i + 1) * width / 64, y = height * 11 / 12;
        code = code << 1 | (component_at(packet, x, y, 0) > 127);
    }
    return code;
}

TEST(each_picture_carries_its_number_and_time)
{
    rm_harness *harness =
        harness_of("test.pattern", "{\"pictures\": 70, \"rate_num\": 30000, \"rate_den\": 1001}");
    uint32_t n = 0;
    rm_packet *packet;
    rm_error err = RM_ERROR_INIT;
    while ((packet = pull(harness, 0))) {
        const rm_packet_header *h = &packet->header;
        CHECK_INT(rm_packet_header_check(h, sizeof *h, &err), RM_OK);
        CHECK_INT(code_of(packet), n);
        CHECK_INT(h->pts_ns, (int64_t)n * 1001 * 1000000000 / 30000);
        CHECK_INT(h->duration_ns, (int64_t)(n + 1) * 1001 * 1000000000 / 30000 - h->pts_ns);
        CHECK_INT(h->format.video.rate_num, 30000);
        CHECK_INT(h->format.video.rate_den, 1001);
        CHECK_INT(h->format.video.width, 640);
        CHECK_INT(h->format.video.height, 360);
        n++;
        rm_packet_unref(packet);
    }
    CHECK_INT(n, 70);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

/* The sum of all pixels, and of where they are. */
static uint64_t digest(const rm_packet *packet)
{
    picture view = video_picture(packet);
    uint64_t sum = 14695981039346656037u; /* FNV-1a */
    int rows, bytes;
    for (unsigned p = 0; p < VIDEO_PLANES_MAX &&
                         video_plane(view.fourcc, view.width, view.height, p, &rows, &bytes);
         p++) {
        for (int i = 0; i < rows * bytes; i++) {
            sum = (sum ^ view.plane[p][i / bytes * view.stride[p] + i % bytes]) * 1099511628211u;
        }
    }
    return sum;
}

TEST(something_moves_and_the_same_comes_each_time)
{
    uint64_t digests[12];
    for (int round = 0; round < 2; round++) {
        rm_harness *harness = harness_of("test.pattern", "{\"pictures\": 12, \"width\": 322}");
        for (int i = 0; i < 12; i++) {
            rm_packet *packet = pull(harness, 0);
            uint64_t now = digest(packet);
            CHECK(round == 0 || now == digests[i]);
            CHECK(round == 1 || i == 0 || now != digests[i - 1]);
            digests[i] = now;
            rm_packet_unref(packet);
        }
        rm_harness_free(harness);
    }
}

TEST(bars_have_the_colours_of_their_standard)
{
    /* ITU-R BT.471 at 75 %, as BT.601 and BT.709 code them. */
    static const uint8_t bt601[8][4] = {{180, 128, 128}, {162, 44, 142}, {131, 156, 44},
                                        {112, 72, 58},   {84, 184, 198}, {65, 100, 212},
                                        {35, 212, 114},  {16, 128, 128}};
    static const uint8_t bt709[8][4] = {{180, 128, 128}, {168, 44, 136}, {145, 147, 44},
                                        {133, 63, 52},   {63, 193, 204}, {51, 109, 212},
                                        {28, 212, 120},  {16, 128, 128}};
    static const uint8_t rgb[8][4] = {{191, 191, 191, 255}, {191, 191, 0, 255}, {0, 191, 191, 255},
                                      {0, 191, 0, 255},     {191, 0, 191, 255}, {191, 0, 0, 255},
                                      {0, 0, 191, 255},     {0, 0, 0, 255}};
    static const struct {
        const char *params;
        const uint8_t (*want)[4];
        int matrix;
    } rows[] = {
        {"{\"width\": 800, \"height\": 600, \"pictures\": 1, \"format\": \"I420\"}", bt601, 6},
        {"{\"width\": 800, \"height\": 600, \"pictures\": 1, \"format\": \"NV12\"}", bt601, 6},
        {"{\"width\": 800, \"height\": 600, \"pictures\": 1, \"format\": \"GREY\"}", bt601, 6},
        {"{\"width\": 800, \"height\": 720, \"pictures\": 1, \"format\": \"I420\"}", bt709, 1},
        {"{\"width\": 800, \"height\": 600, \"pictures\": 1, \"format\": \"RGB3\"}", rgb, 0},
        {"{\"width\": 800, \"height\": 600, \"pictures\": 1, \"format\": \"RGBA\"}", rgb, 0},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rm_harness *harness = harness_of("test.pattern", rows[i].params);
        rm_packet *packet = NULL;
        while (rm_harness_pull(harness, 0, &packet) != RM_OK) {
            CHECK(rm_harness_step(harness, 1, NULL) >= 0);
        }
        CHECK_INT(packet->header.format.video.matrix, rows[i].matrix);
        for (int bar = 0; bar < 8; bar++) {
            CHECK_INT(
                pixels_off(packet, bar * 100 + 2, 2, bar * 100 + 98, 60, rows[i].want[bar], 1), 0);
        }
        rm_packet_unref(packet);
        rm_harness_free(harness);
    }
}

TEST(odd_and_small_sizes_are_filled_to_the_edge)
{
    static const int sizes[][2] = {{33, 35}, {35, 32}, {47, 201}, {1001, 33}};
    for (size_t i = 0; i < RMI_COUNT(sizes); i++) {
        char params[64];
        snprintf(params, sizeof params, "{\"width\": %d, \"height\": %d}", sizes[i][0],
                 sizes[i][1]);
        rm_harness *harness = harness_of("test.pattern", params);
        rm_packet *packet = pull(harness, 0);
        /* The last pixel belongs to the grey around the squares. */
        static const uint8_t grey[4] = {126, 128, 128};
        int x = sizes[i][0], y = sizes[i][1];
        CHECK_INT(pixels_off(packet, x - 1, y - 1, x, y, grey, 1), 0);
        rm_packet_unref(packet);
        rm_harness_free(harness);
    }
}

TEST(a_paced_pattern_keeps_to_the_clock)
{
    rm_harness *harness = harness_of("test.pattern", "{\"paced\": true, \"pictures\": 3}");
    for (int i = 0; i < 3; i++) {
        rm_packet *packet = pull(harness, 0);
        CHECK(packet != NULL);
        rm_packet_unref(packet);
        CHECK(i == 2 || pull(harness, 0) == NULL);
        rm_harness_advance(harness, 39999999);
        CHECK(i == 2 || pull(harness, 0) == NULL);
        rm_harness_advance(harness, 1);
    }
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(an_endless_pattern_allocates_nothing)
{
    rm_harness *harness =
        harness_of("test.pattern", "{\"pictures\": 0, \"width\": 64, \"height\": 48}");
    uint64_t allocations = 0;
    for (int i = 0; i < 500; i++) {
        allocations = i == 100 ? rmi_alloc_count() : allocations;
        rm_packet_unref(pull(harness, 0));
    }
    CHECK_INT(rmi_alloc_count() - allocations, 0);
    rm_harness_free(harness);
}

TEST(wrong_parameters_are_named)
{
    static const struct {
        const char *params, *part;
    } rows[] = {
        {"{\"width\": 31}", "width is 31 pixels, want 32 to 16384"},
        {"{\"rate_num\": 0}", "rate_num is 0, want 1 to 1"},
        {"{\"pictures\": -1}", "pictures is -1, want 0 to 4"},
        {"{\"format\": \"YV12\"}", "want one of I420|NV12"},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rm_error err = refusal_of("test.pattern", rows[i].params);
        CHECK_INT(err.code, RM_CODE_PARAM_RANGE);
        CHECK_CONTAINS(err.message, rows[i].part);
    }
}

TEST_MAIN(T(each_picture_carries_its_number_and_time),
          T(something_moves_and_the_same_comes_each_time),
          T(bars_have_the_colours_of_their_standard), T(odd_and_small_sizes_are_filled_to_the_edge),
          T(a_paced_pattern_keeps_to_the_clock), T(an_endless_pattern_allocates_nothing),
          T(wrong_parameters_are_named))
