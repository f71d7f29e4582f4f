/* The tone against sin() itself, also far from its start and cut into pieces. */
#include "dsp/tone.h"

#include <math.h>

#include "base/test.h"

TEST(samples_are_those_of_sin)
{
    double samples[500];
    rmi_tone(samples, 500, 0, 440, 48000, 0.25);
    for (int n = 0; n < 500; n++) {
        CHECK_NEAR(samples[n], 0.25 * sin(6.28318530717958647692 * 440 * n / 48000), 1e-12);
    }
}

TEST(the_phase_is_exact_far_away)
{
    double near[100], far[100];
    /* 440.5 Hz at 44,100 Hz repeats after two seconds. */
    rmi_tone(near, 100, 17, 440.5, 44100, 1);
    rmi_tone(far, 100, 17 + (uint64_t)88200 * 10000000, 440.5, 44100, 1);
    for (int n = 0; n < 100; n++) {
        CHECK_NEAR(far[n], near[n], 1e-8);
    }
}

TEST(pieces_join)
{
    double whole[300], piece[300];
    rmi_tone(whole, 300, 0, 999.9, 16000, 1);
    rmi_tone(piece, 7, 0, 999.9, 16000, 1);
    rmi_tone(piece + 7, 130, 7, 999.9, 16000, 1);
    rmi_tone(piece + 137, 163, 137, 999.9, 16000, 1);
    for (int n = 0; n < 300; n++) {
        CHECK_NEAR(piece[n], whole[n], 1e-12);
    }
}

TEST_MAIN(T(samples_are_those_of_sin), T(the_phase_is_exact_far_away), T(pieces_join))
