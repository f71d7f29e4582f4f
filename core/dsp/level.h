/* level.h — peak and power of a channel, added up block by block. */
#ifndef RMI_DSP_LEVEL_H
#define RMI_DSP_LEVEL_H

#include "dsp/convert.h"

/* What is quieter than this, digital silence among it, is given as this. */
#define RMI_LEVEL_FLOOR_DB (-120.0)

/* Zeroed at the start of a window. */
typedef struct rmi_level {
    double square_sum;
    float peak; /* largest |sample|; a NaN stays */
    uint64_t frames;
} rmi_level;

/* Adds `count` frames of one channel. */
void rmi_level_add(rmi_level *level, const rmi_audio *audio, uint32_t channel, size_t first_frame,
                   size_t count);

/* dB re full scale, where a full-scale square wave has 0 dB RMS, a full-scale sine -3.01. */
double rmi_level_rms_db(const rmi_level *level);
double rmi_level_peak_db(const rmi_level *level);

#endif
