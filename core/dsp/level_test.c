/* Levels of signals whose level is known. */
#include "dsp/level.h"

#include <math.h>

#include "base/test.h"
#include "dsp/tone.h"

TEST(a_sine_has_its_level)
{
    enum { FRAMES = 48000 };
    static double sine[FRAMES];
    static int16_t stereo[FRAMES][2];
    rmi_tone(sine, FRAMES, 0, 1000, 48000, 0.5);
    for (int i = 0; i < FRAMES; i++) {
        stereo[i][1] = (int16_t)lrint(sine[i] * 32768);
    }
    rmi_audio audio = {stereo, 0, 2, RMI_S16};
    rmi_level left = {0}, right = {0};
    rmi_level_add(&left, &audio, 0, 0, FRAMES);
    rmi_level_add(&right, &audio, 1, 0, 1000); /* in pieces of any size */
    rmi_level_add(&right, &audio, 1, 1000, 3);
    rmi_level_add(&right, &audio, 1, 1003, FRAMES - 1003);
    CHECK_NEAR(rmi_level_rms_db(&left), RMI_LEVEL_FLOOR_DB, 0);
    CHECK_NEAR(rmi_level_peak_db(&left), RMI_LEVEL_FLOOR_DB, 0);
    CHECK_NEAR(rmi_level_rms_db(&right), 20 * log10(0.5) - 3.0103, 0.001);
    CHECK_NEAR(rmi_level_peak_db(&right), 20 * log10(0.5), 0.001);
}

TEST(full_scale_is_zero_and_a_nan_is_told)
{
    float samples[300];
    for (int i = 0; i < 300; i++) {
        samples[i] = i % 2 ? 1.0f : -1.0f;
    }
    rmi_audio audio = {samples, 0, 1, RMI_F32};
    rmi_level level = {0};
    rmi_level_add(&level, &audio, 0, 0, 300);
    CHECK_NEAR(rmi_level_rms_db(&level), 0, 1e-9);
    CHECK_NEAR(rmi_level_peak_db(&level), 0, 1e-9);
    samples[7] = NAN;
    rmi_level_add(&level, &audio, 0, 0, 300);
    rmi_level_add(&level, &audio, 0, 8, 10);
    CHECK(isnan(rmi_level_peak_db(&level)));
    CHECK(isnan(rmi_level_rms_db(&level)));
}

TEST(nothing_is_the_floor)
{
    rmi_level level = {0};
    CHECK_NEAR(rmi_level_rms_db(&level), RMI_LEVEL_FLOOR_DB, 0);
}

TEST_MAIN(T(a_sine_has_its_level), T(full_scale_is_zero_and_a_nan_is_told), T(nothing_is_the_floor))
