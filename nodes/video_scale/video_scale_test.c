/* video.scale: pixels by value against what the mathematics say, sizes and shapes, colours of each
 * matrix, times, changes in mid-stream, and what it refuses. */
#include <math.h>

#include "../video_test.h"

#include "base/alloc.h"

static const uint32_t layouts[] = {RM_FOURCC_I420, RM_FOURCC_NV12, RM_FOURCC_RGB24, RM_FOURCC_RGBA,
                                   RM_FOURCC_GRAY8};
static const char *const layout_names[] = {"I420", "NV12", "RGB3", "RGBA", "GREY"};

static uint8_t noise(uint32_t at)
{
    at = (at ^ 61) ^ (at >> 16);
    at *= 0x27d4eb2du;
    return (uint8_t)(at ^ (at >> 15));
}

/* Y U V planes of noise. */
static rm_packet *noisy_i420(rm_harness *harness, int width, int height)
{
    rm_packet *packet = picture_new(harness, RM_FOURCC_I420, width, height);
    picture view = video_picture(packet);
    int rows, bytes;
    for (unsigned p = 0; video_plane(view.fourcc, width, height, p, &rows, &bytes); p++) {
        for (int y = 0; y < rows; y++) {
            for (int x = 0; x < bytes; x++) {
                view.plane[p][y * view.stride[p] + x] =
                    noise((uint32_t)((int)p * 1000003 + y * 4099 + x));
            }
        }
    }
    return packet;
}

/* The largest distance of the picture from means over k x k pixels of the noise. */
static double distance_from_means(const rm_packet *out, int k)
{
    picture view = video_picture(out);
    int rows, bytes;
    double worst = 0;
    for (unsigned p = 0; video_plane(view.fourcc, view.width, view.height, p, &rows, &bytes); p++) {
        for (int y = 0; y < rows; y++) {
            for (int x = 0; x < bytes; x++) {
                double sum = 0;
                for (int i = 0; i < k * k; i++) {
                    sum += noise(
                        (uint32_t)((int)p * 1000003 + (y * k + i / k) * 4099 + x * k + i % k));
                }
                double off = fabs(view.plane[p][y * view.stride[p] + x] - sum / (k * k));
                worst = off > worst ? off : worst;
            }
        }
    }
    return worst;
}

TEST(whole_multiples_are_shrunk_to_means)
{
    for (int k = 2; k <= 8; k++) {
        rm_harness *harness = harness_of("video.scale", "{\"width\": 64, \"height\": 48}");
        rm_packet *out = through(harness, noisy_i420(harness, 64 * k, 48 * k));
        CHECK_INT(out->header.format.video.width, 64);
        CHECK_INT(out->header.format.video.height, 48);
        CHECK_NEAR(distance_from_means(out, k), 0, k <= 2 ? 0.5 : 1.1); /* they round down */
        rm_packet_unref(out);
        rm_harness_free(harness);
    }
}

/* Shrunk by 2.7, 3.3 and 5.3: far from a whole number, so that skipped pixels would show. */
TEST(other_sizes_are_shrunk_without_skipping_pixels)
{
    static const int sides[] = {96, 78, 48};
    for (size_t i = 0; i < RMI_COUNT(sides); i++) {
        char params[64];
        snprintf(params, sizeof params, "{\"width\": %d, \"height\": %d}", sides[i], sides[i]);
        rm_harness *harness = harness_of("video.scale", params);
        rm_packet *in = picture_new(harness, RM_FOURCC_GRAY8, 256, 256);
        picture view = video_picture(in);
        for (int y = 0; y < 256; y++) {
            for (int x = 0; x < 256; x++) { /* lines of one pixel: their mean is grey */
                view.plane[0][y * view.stride[0] + x] = x % 2 ? 255 : 0;
            }
        }
        rm_packet *out = through(harness, in);
        CHECK_INT(pixels_off(out, 0, 0, sides[i], sides[i], (const uint8_t[4]){128}, 4), 0);
        rm_packet_unref(out);
        rm_harness_free(harness);
    }
}

TEST(without_a_filter_pixels_are_repeated)
{
    rm_harness *harness =
        harness_of("video.scale", "{\"width\": 48, \"height\": 32, \"filter\": \"none\"}");
    rm_packet *in = noisy_i420(harness, 24, 16);
    rm_packet_ref(in);
    rm_packet *out = through(harness, in);
    int wrong = 0;
    for (int y = 0; y < 32; y++) {
        for (int x = 0; x < 48; x++) {
            for (int c = 0; c < 3; c++) {
                wrong += component_at(out, x, y, c) != component_at(in, x / 2, y / 2, c);
            }
        }
    }
    CHECK_INT(wrong, 0);
    rm_packet_unref(in);
    rm_packet_unref(out);
    rm_harness_free(harness);
}

/* libyuv interpolates interleaved pixels with 7 bits and rounds down, up to 2 levels a step. */
static int rounding(uint32_t fourcc)
{
    return fourcc == RM_FOURCC_I420 || fourcc == RM_FOURCC_GRAY8 ? 1 : 6;
}

TEST(each_layout_and_filter_keeps_a_plain_colour)
{
    static const char *const filters[] = {"none", "linear", "bilinear", "box"};
    static const int sizes[][4] = {{5, 3, 7, 4}, {33, 17, 8, 5}, {64, 64, 1, 1}, {1, 1, 9, 9}};
    static const uint8_t colour[4] = {200, 90, 30, 170};
    for (size_t i = 0; i < RMI_COUNT(layouts) * RMI_COUNT(filters) * RMI_COUNT(sizes); i++) {
        const int *size = sizes[i % 4];
        char params[128];
        snprintf(params, sizeof params, "{\"width\": %d, \"height\": %d, \"filter\": \"%s\"}",
                 size[2], size[3], filters[i / 4 % 4]);
        rm_harness *harness = harness_of("video.scale", params);
        rm_packet *in = picture_new(harness, layouts[i / 16], size[0], size[1]);
        picture_fill(in, colour);
        rm_packet *out = through(harness, in);
        CHECK_INT(out->header.format.video.fourcc, layouts[i / 16]);
        CHECK_INT(out->header.format.video.width, size[2]);
        CHECK_INT(out->header.format.video.height, size[3]);
        CHECK_INT(pixels_off(out, 0, 0, size[2], size[3], colour, rounding(layouts[i / 16])), 0);
        rm_packet_unref(out);
        rm_harness_free(harness);
    }
}

/* H.273 section 8.3: R, G, B of a colour in limited (1) or full (2) range. */
static void rgb_of(const uint8_t yuv[4], double kr, double kb, int range, uint8_t rgb[4])
{
    double y = range == 2 ? yuv[0] / 255.0 : (yuv[0] - 16) / 219.0;
    double u = (yuv[1] - 128) / (range == 2 ? 255.0 : 224.0);
    double v = (yuv[2] - 128) / (range == 2 ? 255.0 : 224.0);
    double r = y + 2 * (1 - kr) * v, b = y + 2 * (1 - kb) * u;
    double g = (y - kr * r - kb * b) / (1 - kr - kb);
    double all[] = {r, g, b};
    for (int c = 0; c < 3; c++) {
        double value = floor(all[c] * 255 + 0.5);
        rgb[c] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
    rgb[3] = 255;
}

TEST(colours_follow_the_matrix_and_range_of_the_header)
{
    static const struct {
        int height;
        uint8_t matrix, range;
        double kr, kb;
    } rows[] = {
        {64, 6, 1, 0.299, 0.114},    {64, 5, 2, 0.299, 0.114},    {64, 1, 1, 0.2126, 0.0722},
        {64, 1, 2, 0.2126, 0.0722},  {64, 9, 1, 0.2627, 0.0593},  {64, 2, 0, 0.299, 0.114},
        {720, 2, 1, 0.2126, 0.0722}, {720, 0, 0, 0.2126, 0.0722},
    };
    static const uint8_t colours[][4] = {
        {81, 90, 240}, {145, 54, 34}, {41, 240, 110}, {180, 128, 128}};
    for (size_t i = 0; i < RMI_COUNT(rows) * 4 * 4; i++) {
        bool to_rgba = i & 1, from_nv12 = i & 2;
        const uint8_t *colour = colours[i / 4 % 4];
        uint8_t want[4];
        rm_harness *harness = harness_of("video.scale", to_rgba ? "{\"format\": \"RGBA\"}"
                                                                : "{\"format\": \"RGB3\"}");
        rm_packet *in = picture_new(harness, from_nv12 ? RM_FOURCC_NV12 : RM_FOURCC_I420, 32,
                                    rows[i / 16].height);
        in->header.format.video.matrix = rows[i / 16].matrix;
        in->header.format.video.range = rows[i / 16].range;
        picture_fill(in, colour);
        rgb_of(colour, rows[i / 16].kr, rows[i / 16].kb, rows[i / 16].range, want);
        rm_packet *out = through(harness, in);
        CHECK_INT(pixels_off(out, 0, 0, 32, rows[i / 16].height, want, 3), 0);
        CHECK_INT(out->header.format.video.matrix, 0);
        CHECK_INT(out->header.format.video.range, 2);
        rm_packet_unref(out);
        rm_harness_free(harness);
    }
}

TEST(rgb_becomes_bt601_and_says_so)
{
    static const uint8_t colours[][4] = {
        {200, 30, 60, 255}, {20, 180, 90, 255}, {255, 255, 255, 255}};
    for (size_t i = 0; i < RMI_COUNT(colours) * 4; i++) {
        const uint8_t *rgb = colours[i / 4];
        rm_harness *harness =
            harness_of("video.scale", i & 1 ? "{\"format\": \"I420\", \"width\": 20}"
                                            : "{\"format\": \"NV12\", \"width\": 20}");
        rm_packet *in = picture_new(harness, i & 2 ? RM_FOURCC_RGBA : RM_FOURCC_RGB24, 40, 40);
        picture_fill(in, rgb);
        rm_packet *out = through(harness, in);
        double y = (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]) / 255;
        double u = (rgb[2] / 255.0 - y) / 1.772, v = (rgb[0] / 255.0 - y) / 1.402;
        uint8_t want[4] = {(uint8_t)(y * 219 + 16.5), (uint8_t)(u * 224 + 128.5),
                           (uint8_t)(v * 224 + 128.5)};
        CHECK_INT(pixels_off(out, 0, 0, 20, 20, want, 2), 0);
        CHECK_INT(out->header.format.video.matrix, 6);
        CHECK_INT(out->header.format.video.range, 1);
        rm_packet_unref(out);
        rm_harness_free(harness);
    }
}

TEST(any_layout_becomes_any_other)
{
    /* Mid grey in limited range, so that it is the same in all of them but for the scale. */
    for (size_t i = 0; i < RMI_COUNT(layouts) * RMI_COUNT(layouts); i++) {
        uint32_t from = layouts[i / 5], to = layouts[i % 5];
        char params[96];
        snprintf(params, sizeof params, "{\"width\": 22, \"height\": 14, \"format\": \"%s\"}",
                 layout_names[i % 5]);
        static const uint8_t yuv[4] = {126, 128, 128, 0}, rgb[4] = {128, 128, 128, 255};
        rm_harness *harness = harness_of("video.scale", params);
        rm_packet *in = picture_new(harness, from, 44, 28);
        in->header.format.video.range = video_is_rgb(from) ? 2 : 1;
        picture_fill(in, video_is_rgb(from) ? rgb : yuv);
        rm_packet *out = through(harness, in);
        CHECK_INT(out->header.format.video.fourcc, to);
        CHECK_INT(pixels_off(out, 0, 0, 22, 14, video_is_rgb(to) ? rgb : yuv, 2), 0);
        rm_packet_unref(out);
        rm_harness_free(harness);
    }
}

TEST(sizes_follow_the_shape)
{
    static const struct {
        const char *params;
        int from[2], to[2];
        int sar[2];
    } rows[] = {
        {"{\"width\": 320}", {1280, 720}, {320, 180}, {0, 0}},
        {"{\"height\": 240}", {1280, 720}, {426, 240}, {0, 0}},
        {"{\"width\": 300, \"height\": 300}", {640, 480}, {300, 300}, {4, 3}},
        {"{\"width\": 300, \"height\": 300, \"aspect\": \"fit\"}", {640, 320}, {300, 150}, {0, 0}},
        {"{\"width\": 300, \"height\": 300, \"aspect\": \"fit\"}", {320, 640}, {150, 300}, {0, 0}},
        {"{\"width\": 300, \"height\": 300, \"aspect\": \"pad\"}", {640, 320}, {300, 300}, {0, 0}},
        {"{\"width\": 16, \"height\": 16, \"aspect\": \"fit\"}", {16000, 10}, {16, 2}, {0, 0}},
        {"{\"format\": \"GREY\"}", {33, 17}, {33, 17}, {0, 0}},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rm_harness *harness = harness_of("video.scale", rows[i].params);
        rm_packet *in = picture_new(harness, RM_FOURCC_I420, rows[i].from[0], rows[i].from[1]);
        rm_packet *out = through(harness, in);
        CHECK_INT(out->header.format.video.width, rows[i].to[0]);
        CHECK_INT(out->header.format.video.height, rows[i].to[1]);
        if (i < 6) {
            CHECK_INT(out->header.format.video.sar_num, rows[i].sar[0]);
            CHECK_INT(out->header.format.video.sar_den, rows[i].sar[1]);
        }
        rm_packet_unref(out);
        rm_harness_free(harness);
    }
}

TEST(bars_are_black_and_the_picture_is_in_the_middle)
{
    static const uint8_t colour[4] = {180, 70, 200, 250}, rgb_black[4] = {0, 0, 0, 255},
                         black[4] = {16, 128, 128, 0};
    for (size_t i = 0; i < RMI_COUNT(layouts); i++) {
        rm_harness *harness =
            harness_of("video.scale", "{\"width\": 64, \"height\": 64, \"aspect\": \"pad\"}");
        rm_packet *in = picture_new(harness, layouts[i], 128, 64);
        picture_fill(in, colour);
        rm_packet *out = through(harness, in);
        const uint8_t *bar = video_is_rgb(layouts[i]) ? rgb_black : black;
        CHECK_INT(pixels_off(out, 0, 0, 64, 16, bar, 0), 0);
        CHECK_INT(pixels_off(out, 0, 16, 64, 48, colour, 1), 0);
        CHECK_INT(pixels_off(out, 0, 48, 64, 64, bar, 0), 0);
        rm_packet_unref(out);
        rm_harness_free(harness);
    }
}

TEST(what_is_as_wanted_goes_on_untouched)
{
    rm_harness *harness = harness_of("video.scale", "{\"width\": 32, \"format\": \"I420\"}");
    rm_packet *in = picture_new(harness, RM_FOURCC_I420, 32, 18);
    CHECK(through(harness, in) == in);
    rm_packet_unref(in);
    rm_harness_free(harness);
}

TEST(times_flags_and_metadata_go_along_and_unknown_colours_stay_what_they_were)
{
    static const uint8_t map[] = {0x81, 0xa1, 'k', 0x07};
    rm_harness *harness = harness_of("video.scale", "{\"width\": 64}");
    rm_packet *in = picture_new(harness, RM_FOURCC_I420, 1280, 720);
    in->header.pts_ns = 123456789;
    in->header.duration_ns = 40000000;
    in->header.flags = RM_FLAG_KEY;
    in->header.format.video.rate_num = 25;
    in->header.format.video.rate_den = 1;
    CHECK_INT(rm_packet_set_metadata(in, map, sizeof map), RM_OK);
    rm_packet *out = through(harness, in);
    CHECK_INT(out->header.pts_ns, 123456789);
    CHECK_INT(out->header.duration_ns, 40000000);
    CHECK_INT(out->header.flags, RM_FLAG_KEY);
    CHECK_INT(out->header.format.video.rate_num, 25);
    CHECK_INT(out->header.format.video.matrix, 1); /* 720 rows: BT.709; 36 rows would be BT.601 */
    CHECK_INT(out->header.metadata_bytes, sizeof map);
    CHECK(out->metadata && memcmp(out->metadata, map, sizeof map) == 0);
    rm_packet_unref(out);
    rm_harness_free(harness);
}

TEST(the_format_may_change_in_mid_stream)
{
    static const uint8_t colour[4] = {100, 110, 120, 255};
    rm_harness *harness = harness_of("video.scale", "{\"width\": 40, \"height\": 30}");
    for (int i = 0; i < 20; i++) {
        rm_packet *in = picture_new(harness, layouts[i % 5], 300 - 13 * i, 20 + 31 * i);
        picture_fill(in, colour);
        rm_packet *out = through(harness, in);
        CHECK_INT(out->header.format.video.width, 40);
        CHECK_INT(pixels_off(out, 0, 0, 40, 30, colour, rounding(layouts[i % 5])), 0);
        rm_packet_unref(out);
    }
    rm_harness_end(harness, 0);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(a_steady_stream_allocates_nothing)
{
    rm_harness *harness =
        harness_of("video.scale", "{\"width\": 50, \"height\": 38, \"format\": \"RGBA\"}");
    uint64_t allocations = 0;
    for (int i = 0; i < 50; i++) {
        allocations = i == 10 ? rmi_alloc_count() : allocations;
        rm_packet_unref(through(harness, picture_new(harness, RM_FOURCC_NV12, 160, 120)));
    }
    CHECK_INT(rmi_alloc_count() - allocations, 0);
    rm_harness_free(harness);
}

/* Opens, scales one picture, closes. */
static rm_status one_picture(void)
{
    rm_harness *harness = NULL;
    rm_error err = RM_ERROR_INIT;
    rm_packet *packet = NULL;
    rm_status status = rm_harness_load(
        "video.scale", "{\"width\": 50, \"height\": 38, \"format\": \"RGBA\"}", &harness, &err);
    picture view = {RM_FOURCC_NV12, 160, 120, {NULL}, {0}};
    if (status == RM_OK) {
        status = rm_harness_packet_new(harness, video_lay_out(&view, NULL), &packet);
    }
    if (status == RM_OK) {
        rm_packet_header *h = &packet->header;
        h->kind = RM_KIND_VIDEO;
        h->format.video.fourcc = RM_FOURCC_NV12;
        h->format.video.width = 160;
        h->format.video.height = 120;
        h->format.video.planes = 2;
        h->instance.video.offset_bytes[1] = 192 * 120;
        h->instance.video.stride_bytes[0] = h->instance.video.stride_bytes[1] = 192;
        status = rm_harness_push(harness, 0, packet);
    }
    if (status == RM_OK) {
        status = rm_harness_run(harness, &err);
        status = status >= 0 ? rm_harness_pull(harness, 0, &packet) : status;
        if (status == RM_OK) {
            rm_packet_unref(packet);
        }
    }
    rm_harness_free(harness);
    return status;
}

TEST(each_allocation_may_fail)
{
    for (unsigned nth = 1; nth < 2000; nth++) {
        rmi_alloc_fault_begin(nth);
        rm_status status = one_picture();
        if (!rmi_alloc_fault_end()) {
            CHECK_INT(status, RM_OK);
            CHECK(nth > 20);
            return;
        }
        /* RM_OK: what failed was asked for once more, or can be done without. */
        CHECK(status == RM_ENOMEM || status == RM_OK || status == RM_EAGAIN);
    }
    CHECK(!"the loop ends");
}

TEST(after_an_interrupt_what_follows_is_scaled)
{
    rm_harness *harness = harness_of("video.scale", "{\"width\": 16}");
    rm_packet_unref(through(harness, picture_new(harness, RM_FOURCC_GRAY8, 32, 32)));
    CHECK_INT(rm_session_interrupt(rm_harness_session(harness), NULL), RM_OK);
    (void)run_well(harness);
    rm_packet *out = through(harness, picture_new(harness, RM_FOURCC_GRAY8, 64, 32));
    CHECK_INT(out->header.format.video.height, 8);
    rm_packet_unref(out);
    rm_harness_free(harness);
}

TEST(a_header_that_lies_is_refused)
{
    for (int i = 0; i < 5; i++) {
        rm_harness *harness = harness_of("video.scale", "{\"width\": 16, \"height\": 16}");
        rm_packet *in = picture_new(harness, RM_FOURCC_I420, 64, 64);
        rm_packet_header *h = &in->header;
        i == 0 ? (void)(h->format.video.width = 65) : (void)0;
        i == 1 ? (void)(h->instance.video.offset_bytes[2] = 1u << 30) : (void)0;
        i == 2 ? (void)(h->instance.video.stride_bytes[1] = 0xffffffffu) : (void)0;
        i == 3 ? (void)(h->format.video.height = 0) : (void)0;
        i == 4 ? (void)(h->format.video.width = 100000) : (void)0;
        CHECK_INT(rm_harness_push(harness, 0, in), RM_OK);
        rm_error err = run_badly(harness);
        CHECK_INT(err.code, i < 3 ? RM_CODE_PACKET_HEADER : RM_CODE_PACKET_FORMAT);
        CHECK(err.message[0] != 0);
        rm_harness_free(harness);
    }
}

TEST(wrong_parameters_are_named)
{
    static const struct {
        const char *params, *part;
        int code;
    } rows[] = {
        {"{\"aspect\": \"pad\", \"width\": 8}", "aspect is pad, height is not given",
         RM_CODE_PARAM_MISSING},
        {"{\"aspect\": \"fit\"}", "aspect is fit, width is not given", RM_CODE_PARAM_MISSING},
        {"{\"width\": 20000}", "width is 20000 pixels, want 0 to 16384", RM_CODE_PARAM_RANGE},
        {"{\"filter\": \"area\"}", "want one of none|linear|bilinear|box", RM_CODE_PARAM_RANGE},
        {"{\"format\": \"BGRA\"}", "want one of same|I420", RM_CODE_PARAM_RANGE},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rm_error err = refusal_of("video.scale", rows[i].params);
        CHECK_INT(err.code, rows[i].code);
        CHECK_CONTAINS(err.message, rows[i].part);
    }
}

TEST_MAIN(T(whole_multiples_are_shrunk_to_means), T(other_sizes_are_shrunk_without_skipping_pixels),
          T(without_a_filter_pixels_are_repeated), T(each_layout_and_filter_keeps_a_plain_colour),
          T(colours_follow_the_matrix_and_range_of_the_header), T(rgb_becomes_bt601_and_says_so),
          T(any_layout_becomes_any_other), T(sizes_follow_the_shape),
          T(bars_are_black_and_the_picture_is_in_the_middle),
          T(what_is_as_wanted_goes_on_untouched),
          T(times_flags_and_metadata_go_along_and_unknown_colours_stay_what_they_were),
          T(the_format_may_change_in_mid_stream), T(a_steady_stream_allocates_nothing),
          T(each_allocation_may_fail), T(after_an_interrupt_what_follows_is_scaled),
          T(a_header_that_lies_is_refused), T(wrong_parameters_are_named))
