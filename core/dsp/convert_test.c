/* Each pair of sample formats by value: full scale, rounding, saturation, round trips, layouts. */
#include "dsp/convert.h"

#include <math.h>
#include <stdlib.h>

#include <remotemedia/packet.h>

#include "base/test.h"

TEST(the_formats_are_those_of_packets)
{
    CHECK_INT(RMI_U8, RM_SAMPLE_U8);
    CHECK_INT(RMI_F64, RM_SAMPLE_F64);
    for (uint8_t f = 0; f <= RMI_SAMPLE_FORMATS; f++) {
        CHECK_INT(rmi_sample_bytes(f), rm_sample_format_bytes(f));
    }
}

/* One sample there, as a number. */
static double convert_one(double value, uint8_t from, uint8_t to)
{
    union {
        uint8_t u8;
        int16_t s16;
        int32_t s32;
        float f32;
        double f64;
    } in = {0}, out = {0};
    switch (from) {
    case RMI_U8: in.u8 = (uint8_t)value; break;
    case RMI_S16: in.s16 = (int16_t)value; break;
    case RMI_S32: in.s32 = (int32_t)value; break;
    case RMI_F32: in.f32 = (float)value; break;
    default: in.f64 = value; break;
    }
    rmi_samples_convert(&out, to, 1, &in, from, 1, 1);
    switch (to) {
    case RMI_U8: return out.u8;
    case RMI_S16: return out.s16;
    case RMI_S32: return out.s32;
    case RMI_F32: return (double)out.f32;
    default: return out.f64;
    }
}

TEST(each_pair_keeps_full_scale_zero_and_half)
{
    /* The values of -1, 0, 1/2 in each format. */
    static const double of[RMI_SAMPLE_FORMATS][3] = {
        {0},          {0, 128, 192}, {-32768, 0, 16384}, {-2147483648.0, 0, 1073741824.0},
        {-1, 0, 0.5}, {-1, 0, 0.5},
    };
    for (uint8_t from = 1; from < RMI_SAMPLE_FORMATS; from++) {
        for (uint8_t to = 1; to < RMI_SAMPLE_FORMATS; to++) {
            for (int v = 0; v < 3; v++) {
                CHECK_NEAR(convert_one(of[from][v], from, to), of[to][v], 0);
            }
        }
    }
}

TEST(integers_round_and_saturate)
{
    static const struct {
        uint8_t from, to;
        double in, out;
    } rows[] = {
        {RMI_F32, RMI_S16, 1.0, 32767},
        {RMI_F32, RMI_S16, -2.0, -32768},
        {RMI_F32, RMI_S16, 1e30, 32767},
        {RMI_F32, RMI_S16, (double)INFINITY, 32767},
        {RMI_F32, RMI_S16, (double)-INFINITY, -32768},
        {RMI_F32, RMI_S16, (double)NAN, 0},
        {RMI_F32, RMI_S16, 1.5 / 32768, 2},
        {RMI_F32, RMI_S16, 2.5 / 32768, 2},
        {RMI_F32, RMI_S16, -1.5 / 32768, -2},
        {RMI_F32, RMI_U8, 1.0, 255},
        {RMI_F32, RMI_U8, -3.0, 0},
        {RMI_F32, RMI_U8, (double)NAN, 128},
        {RMI_F32, RMI_S32, 1.0, 2147483647},
        {RMI_F32, RMI_S32, -1.5, -2147483648.0},
        {RMI_F32, RMI_S32, (double)NAN, 0},
        {RMI_F64, RMI_S32, 1.0, 2147483647},
        {RMI_F64, RMI_S32, 12345.4 / 2147483648.0, 12345},
        {RMI_F64, RMI_S16, 0.99999, 32767},
        {RMI_F64, RMI_S16, (double)NAN, 0},
        {RMI_F64, RMI_U8, 9, 255},
        {RMI_S32, RMI_S16, 32768, 1},
        {RMI_S32, RMI_S16, 32767, 0},
        {RMI_S32, RMI_S16, -32768, 0},
        {RMI_S32, RMI_S16, -32769, -1},
        {RMI_S32, RMI_S16, 2147483647, 32767},
        {RMI_S32, RMI_S16, -2147483648.0, -32768},
        {RMI_S32, RMI_U8, 2147483647, 255},
        {RMI_S16, RMI_U8, 32767, 255},
        {RMI_S16, RMI_U8, -32768, 0},
        {RMI_S16, RMI_U8, 128, 129},
        {RMI_S16, RMI_U8, 127, 128},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        double got = convert_one(rows[i].in, rows[i].from, rows[i].to);
        if (got != rows[i].out) {
            RMI_TEST_FAIL("row %zu: %.9g gives %.9g, want %.9g", i, rows[i].in, got, rows[i].out);
        }
    }
}

TEST(what_a_wider_format_holds_comes_back_bit_for_bit)
{
    static const struct {
        uint8_t narrow, wide;
    } rows[] = {{RMI_U8, RMI_S16},  {RMI_U8, RMI_F32},  {RMI_S16, RMI_S32},
                {RMI_S16, RMI_F32}, {RMI_S16, RMI_F64}, {RMI_S32, RMI_F64}};
    enum { COUNT = 65536 };
    uint8_t *in = malloc(COUNT * 4), *out = malloc(COUNT * 4), *between = malloc(COUNT * 8);
    for (size_t i = 0; i < COUNT * 4; i++) {
        in[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    for (size_t r = 0; r < RMI_COUNT(rows); r++) {
        rmi_samples_convert(between, rows[r].wide, 1, in, rows[r].narrow, 1, COUNT);
        rmi_samples_convert(out, rows[r].narrow, 1, between, rows[r].wide, 1, COUNT);
        CHECK_INT(memcmp(in, out, COUNT * rmi_sample_bytes(rows[r].narrow)), 0);
    }
    free(in);
    free(out);
    free(between);
}

TEST(layouts_are_changed_on_the_way)
{
    int16_t planes[2][8] = {{1, 2, 3}, {-1, -2, -3}}, back[2][8] = {{0}};
    float frames[6];
    rmi_audio planar = {planes, sizeof planes[0], 2, RMI_S16}, flat = {frames, 0, 2, RMI_F32};
    rmi_audio again = {back, sizeof back[0], 2, RMI_S16};
    rmi_audio_convert(&flat, &planar, 3);
    for (int i = 0; i < 6; i++) {
        CHECK_NEAR((double)frames[i] * 32768, (i % 2 ? -1 : 1) * (i / 2 + 1), 0);
    }
    rmi_audio_convert(&again, &flat, 3);
    CHECK_INT(memcmp(planes, back, sizeof planes), 0);
}

TEST_MAIN(T(the_formats_are_those_of_packets), T(each_pair_keeps_full_scale_zero_and_half),
          T(integers_round_and_saturate), T(what_a_wider_format_holds_comes_back_bit_for_bit),
          T(layouts_are_changed_on_the_way))
