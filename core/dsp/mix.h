/* mix.h — from one set of channels to another by a matrix.
 *
 *     out[o] = Σ matrix[o × inputs + i] · in[i]
 *
 * Coefficients: Recommendation ITU-R BS.775-3, annex 4 (downward mixing): centre and surround go to
 * left and right at 1/√2, surround to mono at 1/2, the low frequency channel is left out. They are
 * then divided by one number, so that the sum of no row is above 1: full scale in never clips.
 */
#ifndef RMI_DSP_MIX_H
#define RMI_DSP_MIX_H

#include "dsp/convert.h"

enum { RMI_MIX_CHANNELS_MAX = 64 };

/* The mask that stands for 0: mono, stereo, 3.0, quad, 5.0, 5.1, 6.1, 7.1; 0 for other counts. */
uint64_t rmi_mix_default_mask(uint32_t channels);

/* Fills outputs × inputs coefficients, both counts 1 to RMI_MIX_CHANNELS_MAX. Masks are
 * WAVEFORMATEXTENSIBLE bits; 0: rmi_mix_default_mask(). Channels that no mask describes are taken
 * by number: the i-th goes to output i, round about. */
void rmi_mix_matrix(uint32_t inputs, uint64_t input_mask, uint32_t outputs, uint64_t output_mask,
                    double *matrix);

/* Mixes and converts in one pass; in double precision where either side has more than 24 bits. */
void rmi_mix(const rmi_audio *to, const rmi_audio *from, size_t frames, const double *matrix);

#endif
