#include "dsp/level.h"

#include <math.h>
#include <string.h>

enum { BLOCK_FRAMES = 256, LANES = 8 };

/* Non-negative floats are ordered as their bits are, and integers have a maximum that vectorises.
 */
static float block_peak(const float *samples, size_t count)
{
    int32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t bits;
        memcpy(&bits, &samples[i], sizeof bits);
        bits &= 0x7FFFFFFF;
        largest = bits > largest ? bits : largest;
    }
    float peak;
    memcpy(&peak, &largest, sizeof peak);
    return peak;
}

/* `samples` holds a whole block; what is past `count` is zero. */
static double block_square_sum(const float *samples)
{
    float lane[LANES] = {0};
    for (size_t i = 0; i < BLOCK_FRAMES; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            lane[k] += samples[i + k] * samples[i + k];
        }
    }
    double sum = 0;
    for (size_t k = 0; k < LANES; k++) {
        sum += (double)lane[k];
    }
    return sum;
}

void rmi_level_add(rmi_level *level, const rmi_audio *audio, uint32_t channel, size_t first_frame,
                   size_t count)
{
    for (size_t done = 0; done < count; done += BLOCK_FRAMES) {
        float block[BLOCK_FRAMES];
        size_t n = count - done < BLOCK_FRAMES ? count - done : BLOCK_FRAMES;
        rmi_samples_convert(block, RMI_F32, 1,
                            rmi_audio_channel(audio, channel, first_frame + done), audio->format,
                            rmi_audio_stride(audio), n);
        memset(block + n, 0, (BLOCK_FRAMES - n) * sizeof *block);
        float peak = block_peak(block, n);
        level->peak = peak > level->peak || isnan(peak) ? peak : level->peak;
        level->square_sum += block_square_sum(block);
    }
    level->frames += count;
}

static double decibels(double value, double factor)
{
    double db = factor * log10(value); /* log10(0) is -inf */
    return db < RMI_LEVEL_FLOOR_DB ? RMI_LEVEL_FLOOR_DB : db;
}

double rmi_level_rms_db(const rmi_level *level)
{
    return level->frames ? decibels(level->square_sum / (double)level->frames, 10)
                         : RMI_LEVEL_FLOOR_DB;
}

double rmi_level_peak_db(const rmi_level *level)
{
    return decibels((double)level->peak, 20);
}
