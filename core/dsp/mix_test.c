/* The matrices against the table of BS.775, normalised; and the loop that applies them. */
#include "dsp/mix.h"

#include <math.h>

#include "base/test.h"

enum { FL = 1, FR = 2, FC = 4, LFE = 8, SL = 0x200, SR = 0x400, BC = 0x100, TOP = 0x800 };

static const double half = 0.70710678118654752440;

static void check_row(const double *row, const double *want, double divisor, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        CHECK_NEAR(row[i], want[i] / divisor, 1e-12);
    }
}

TEST(a_downmix_of_5_1_is_that_of_bs_775)
{
    double matrix[2 * 6];
    double left[] = {1, 0, half, 0, half, 0}, right[] = {0, 1, half, 0, 0, half};
    double mono[] = {half, half, 1, 0, 0.5, 0.5};
    uint64_t masks[] = {0, FL | FR | FC | LFE | SL | SR};
    for (size_t m = 0; m < RMI_COUNT(masks); m++) {
        rmi_mix_matrix(6, masks[m], 2, 0, matrix);
        check_row(matrix, left, 1 + 2 * half, 6);
        check_row(matrix + 6, right, 1 + 2 * half, 6);
        rmi_mix_matrix(6, masks[m], 1, 0, matrix);
        check_row(matrix, mono, 2 + 2 * half, 6);
    }
}

TEST(stereo_and_mono_become_each_other)
{
    double matrix[2];
    rmi_mix_matrix(2, 0, 1, 0, matrix);
    check_row(matrix, (double[]){0.5, 0.5}, 1, 2);
    rmi_mix_matrix(1, 0, 2, 0, matrix);
    check_row(matrix, (double[]){1, 1}, 1, 2);
    rmi_mix_matrix(1, FL, 2, FL | FR, matrix); /* a single channel is mono, whatever its name */
    check_row(matrix, (double[]){1, 1}, 1, 2);
}

TEST(an_upmix_leaves_what_it_cannot_know_silent)
{
    double matrix[6 * 2], want[6 * 2] = {1, 0, 0, 1};
    rmi_mix_matrix(2, 0, 6, 0, matrix);
    check_row(matrix, want, 1, 12);
    rmi_mix_matrix(1, 0, 6, 0, matrix);
    check_row(matrix, (double[]){0, 0, 1, 0, 0, 0}, 1, 6);
}

TEST(channels_without_a_place_go_by_number)
{
    double matrix[10 * 3], want[10 * 3] = {0};
    rmi_mix_matrix(10, 0, 3, 0, matrix);
    for (uint32_t i = 0; i < 10; i++) {
        want[i % 3 * 10 + i] = 0.25; /* the first output takes four */
    }
    check_row(matrix, want, 1, 30);
    rmi_mix_matrix(3, FL | FR | TOP, 10, 0, matrix);
    memset(want, 0, sizeof want);
    for (uint32_t i = 0; i < 3; i++) {
        want[i * 3 + i] = 1;
    }
    check_row(matrix, want, 1, 30);
    rmi_mix_matrix(1, 0, 9, 0, matrix);
    check_row(matrix, (double[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, 1, 9);
}

TEST(no_matrix_can_clip_and_none_loses_all)
{
    double matrix[RMI_MIX_CHANNELS_MAX * RMI_MIX_CHANNELS_MAX];
    for (uint32_t in = 1; in <= 12; in++) {
        for (uint32_t out = 1; out <= 12; out++) {
            double largest = 0;
            rmi_mix_matrix(in, 0, out, 0, matrix);
            for (uint32_t o = 0; o < out; o++) {
                double sum = 0;
                for (uint32_t i = 0; i < in; i++) {
                    sum += fabs(matrix[o * in + i]);
                }
                CHECK(sum < 1 + 1e-12);
                largest = sum > largest ? sum : largest;
            }
            CHECK(largest > 1 - 1e-12);
        }
    }
    rmi_mix_matrix(4, FL | FR | FC | BC, 2, 0, matrix);
    check_row(matrix, (double[]){1, 0, half, 0.5}, 1.5 + half, 4);
}

TEST(frames_are_mixed_and_converted_in_one_pass)
{
    enum { FRAMES = 1000 }; /* several blocks and a rest */
    static int16_t in[FRAMES][2], out[FRAMES];
    static double planes[3][FRAMES];
    double matrix[2] = {0.5, 0.5}, three[6] = {1, 0, 0, 1, 0.25, -0.25};
    for (int i = 0; i < FRAMES; i++) {
        in[i][0] = (int16_t)(30 * i);
        in[i][1] = (int16_t)(-10 * i);
    }
    rmi_audio from = {in, 0, 2, RMI_S16}, mono = {out, 0, 1, RMI_S16};
    rmi_mix(&mono, &from, FRAMES, matrix);
    rmi_audio wide = {planes, sizeof planes[0], 3, RMI_F64};
    rmi_mix(&wide, &from, FRAMES, three);
    for (int i = 0; i < FRAMES; i++) {
        CHECK_INT(out[i], 10 * i);
        CHECK_NEAR(planes[0][i], 30 * i / 32768.0, 0);
        CHECK_NEAR(planes[1][i], -10 * i / 32768.0, 0);
        CHECK_NEAR(planes[2][i], 10 * i / 32768.0, 1e-15);
    }
}

TEST(full_scale_does_not_clip)
{
    int16_t in[6] = {32767, 32767, 32767, 32767, 32767, 32767}, out[2];
    double matrix[12];
    rmi_audio from = {in, 0, 6, RMI_S16}, to = {out, 0, 2, RMI_S16};
    rmi_mix_matrix(6, 0, 2, 0, matrix);
    rmi_mix(&to, &from, 1, matrix);
    CHECK_INT(out[0], 32767);
    CHECK_INT(out[1], 32767);
    int32_t wide_in[2] = {INT32_MIN, INT32_MIN}, wide_out;
    rmi_audio wide_from = {wide_in, 0, 2, RMI_S32}, wide_to = {&wide_out, 0, 1, RMI_S32};
    rmi_mix_matrix(2, 0, 1, 0, matrix);
    rmi_mix(&wide_to, &wide_from, 1, matrix);
    CHECK_INT(wide_out, INT32_MIN);
}

TEST_MAIN(T(a_downmix_of_5_1_is_that_of_bs_775), T(stereo_and_mono_become_each_other),
          T(an_upmix_leaves_what_it_cannot_know_silent), T(channels_without_a_place_go_by_number),
          T(no_matrix_can_clip_and_none_loses_all), T(frames_are_mixed_and_converted_in_one_pass),
          T(full_scale_does_not_clip))
