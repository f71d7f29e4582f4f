/* convert.h — samples from one format and layout to another.
 *
 *     u8 s16 s32 f32 f64  ×  interleaved or one plane a channel  ─▶  any other of them
 *
 * Full scale is 1.0: an integer of n bits is divided by 2^(n-1); u8 has its zero at 128. Towards
 * integers values are rounded (from floats half to even, from wider integers half up) and saturate;
 * a NaN is silence. What a wider format can hold comes back bit for bit.
 *
 * Threads: any; pure functions.
 */
#ifndef RMI_DSP_CONVERT_H
#define RMI_DSP_CONVERT_H

#include <stddef.h>
#include <stdint.h>

/* The values of rm_sample_format. */
enum { RMI_U8 = 1, RMI_S16, RMI_S32, RMI_F32, RMI_F64, RMI_SAMPLE_FORMATS };

/* Where the samples of some channels lie. plane_bytes: from one channel's plane to the next; 0:
 * frames are interleaved. */
typedef struct rmi_audio {
    void *data;
    size_t plane_bytes;
    uint32_t channels;
    uint8_t format;
} rmi_audio;

/* Bytes of a sample; 0 for a format that is none. */
static inline size_t rmi_sample_bytes(uint8_t format)
{
    static const uint8_t bytes[RMI_SAMPLE_FORMATS] = {0, 1, 2, 4, 4, 8};
    return format < RMI_SAMPLE_FORMATS ? bytes[format] : 0;
}

/* The first sample of a channel, and how many samples lie from one of its samples to the next. */
void *rmi_audio_channel(const rmi_audio *audio, uint32_t channel, size_t first_frame);
static inline size_t rmi_audio_stride(const rmi_audio *audio)
{
    return audio->plane_bytes ? 1 : audio->channels;
}

/* count samples; strides in samples. The two must not overlap. */
void rmi_samples_convert(void *to, uint8_t to_format, size_t to_stride, const void *from,
                         uint8_t from_format, size_t from_stride, size_t count);

/* All channels of `from`; `to` has as many. */
void rmi_audio_convert(const rmi_audio *to, const rmi_audio *from, size_t frames);

#endif
