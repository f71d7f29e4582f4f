#include "dsp/tone.h"

#include <math.h>

enum { TURN_FRAMES = 64 };

/* The phase of the n-th frame in turns, less its whole turns. For the whole part of the frequency n
 * counts modulo the rate only, so that the product is exact. */
static double phase_turns(uint64_t n, double frequency_hz, uint32_t rate_hz)
{
    double whole = floor(frequency_hz), part = frequency_hz - whole;
    double a = fmod(whole * (double)(n % rate_hz), rate_hz) / rate_hz;
    double b = part * (double)n / rate_hz;
    return a + (b - floor(b));
}

/* Exact at each 64th frame, a rotating phasor between. */
void rmi_tone(double *samples, size_t count, uint64_t first_frame, double frequency_hz,
              uint32_t rate_hz, double amplitude)
{
    const double tau = 6.28318530717958647692;
    double turn_sin = sin(tau * frequency_hz / rate_hz);
    double turn_cos = cos(tau * frequency_hz / rate_hz);
    double y = 0, x = 0;
    for (size_t k = 0; k < count; k++) {
        if (k % TURN_FRAMES == 0) {
            double phase = tau * phase_turns(first_frame + k, frequency_hz, rate_hz);
            y = amplitude * sin(phase);
            x = amplitude * cos(phase);
        }
        samples[k] = y;
        double next = y * turn_cos + x * turn_sin;
        x = x * turn_cos - y * turn_sin;
        y = next;
    }
}
