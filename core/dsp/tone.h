/* tone.h — a sine whose phase is exact at any distance from its start. */
#ifndef RMI_DSP_TONE_H
#define RMI_DSP_TONE_H

#include <stddef.h>
#include <stdint.h>

/* samples[k] = amplitude · sin(2π · frequency_hz · (first_frame + k) / rate_hz), to within 1e-8 of
 * the amplitude for first_frame up to 2^40. */
void rmi_tone(double *samples, size_t count, uint64_t first_frame, double frequency_hz,
              uint32_t rate_hz, double amplitude);

#endif
