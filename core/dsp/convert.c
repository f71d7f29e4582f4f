/* Sample conversion: one loop for each pair of formats, written so that the compiler makes vectors
 * of it. */
#include "dsp/convert.h"

#include <string.h>

void *rmi_audio_channel(const rmi_audio *audio, uint32_t channel, size_t first_frame)
{
    size_t bytes = rmi_sample_bytes(audio->format);
    char *data = audio->data;
    return audio->plane_bytes ? data + channel * audio->plane_bytes + first_frame * bytes
                              : data + (first_frame * audio->channels + channel) * bytes;
}

/* ---- rounding without a call: adding 1.5 × 2^23 (2^52) leaves the integer, rounded half to even,
 * in the low bits of the mantissa. */

static inline int32_t round_f32(float value)
{
    union {
        float f;
        int32_t i;
    } u = {value + 12582912.0f};
    return u.i - 0x4B400000;
}

static inline int32_t round_f64(double value)
{
    union {
        double f;
        int64_t i;
    } u = {value + 6755399441055744.0};
    return (int32_t)u.i;
}

static inline float clamp_f32(float value, float low, float high)
{
    value = value == value ? value : 0.0f;
    value = value > low ? value : low;
    return value < high ? value : high;
}

static inline double clamp_f64(double value, double low, double high)
{
    value = value == value ? value : 0.0;
    value = value > low ? value : low;
    return value < high ? value : high;
}

static inline int32_t at_most(int32_t value, int32_t high)
{
    return value < high ? value : high;
}

static inline int32_t s32_to_bits(int32_t x, int bits)
{
    int shift = 32 - bits;
    int32_t rounded = (x >> shift) + (x >> (shift - 1) & 1);
    return at_most(rounded, (1 << (bits - 1)) - 1);
}

/* ---- one function a pair; x is the sample */

#define PAIR(name, from_type, to_type, expression)                                       \
    static void name(void *to_, size_t to_stride, const void *from_, size_t from_stride, \
                     size_t count)                                                       \
    {                                                                                    \
        to_type *restrict to = to_;                                                      \
        const from_type *restrict from = from_;                                          \
        if (to_stride == 1 && from_stride == 1) {                                        \
            for (size_t i = 0; i < count; i++) {                                         \
                const from_type x = from[i];                                             \
                to[i] = (to_type)(expression);                                           \
            }                                                                            \
        } else if (to_stride == 1 && from_stride == 2) {                                 \
            for (size_t i = 0; i < count; i++) {                                         \
                const from_type x = from[2 * i];                                         \
                to[i] = (to_type)(expression);                                           \
            }                                                                            \
        } else {                                                                         \
            for (size_t i = 0; i < count; i++) {                                         \
                const from_type x = from[i * from_stride];                               \
                to[i * to_stride] = (to_type)(expression);                               \
            }                                                                            \
        }                                                                                \
    }

PAIR(u8_u8, uint8_t, uint8_t, x)
PAIR(u8_s16, uint8_t, int16_t, (x - 128) * 256)
PAIR(u8_s32, uint8_t, int32_t, (x - 128) * 16777216)
PAIR(u8_f32, uint8_t, float, (float)(x - 128) * (1.0f / 128))
PAIR(u8_f64, uint8_t, double, (x - 128) * (1.0 / 128))

PAIR(s16_u8, int16_t, uint8_t, at_most((x + 128) >> 8, 127) + 128)
PAIR(s16_s16, int16_t, int16_t, x)
PAIR(s16_s32, int16_t, int32_t, x * 65536)
PAIR(s16_f32, int16_t, float, (float)x *(1.0f / 32768))
PAIR(s16_f64, int16_t, double, x *(1.0 / 32768))

PAIR(s32_u8, int32_t, uint8_t, s32_to_bits(x, 8) + 128)
PAIR(s32_s16, int32_t, int16_t, s32_to_bits(x, 16))
PAIR(s32_s32, int32_t, int32_t, x)
PAIR(s32_f32, int32_t, float, (float)x *(1.0f / 2147483648.0f))
PAIR(s32_f64, int32_t, double, x *(1.0 / 2147483648.0))

PAIR(f32_u8, float, uint8_t, round_f32(clamp_f32(x * 128, -128, 127)) + 128)
PAIR(f32_s16, float, int16_t, round_f32(clamp_f32(x * 32768, -32768, 32767)))
PAIR(f32_s32, float, int32_t, round_f64(clamp_f64(x * 2147483648.0, -2147483648.0, 2147483647.0)))
PAIR(f32_f32, float, float, x)
PAIR(f32_f64, float, double, x)

PAIR(f64_u8, double, uint8_t, round_f64(clamp_f64(x * 128, -128, 127)) + 128)
PAIR(f64_s16, double, int16_t, round_f64(clamp_f64(x * 32768, -32768, 32767)))
PAIR(f64_s32, double, int32_t, round_f64(clamp_f64(x * 2147483648.0, -2147483648.0, 2147483647.0)))
PAIR(f64_f32, double, float, x)
PAIR(f64_f64, double, double, x)

typedef void (*pair)(void *to, size_t to_stride, const void *from, size_t from_stride,
                     size_t count);

/* [from][to] */
static const pair pairs[RMI_SAMPLE_FORMATS - 1][RMI_SAMPLE_FORMATS - 1] = {
    {u8_u8, u8_s16, u8_s32, u8_f32, u8_f64},      {s16_u8, s16_s16, s16_s32, s16_f32, s16_f64},
    {s32_u8, s32_s16, s32_s32, s32_f32, s32_f64}, {f32_u8, f32_s16, f32_s32, f32_f32, f32_f64},
    {f64_u8, f64_s16, f64_s32, f64_f32, f64_f64},
};

void rmi_samples_convert(void *to, uint8_t to_format, size_t to_stride, const void *from,
                         uint8_t from_format, size_t from_stride, size_t count)
{
    if (to_format == from_format && to_stride == 1 && from_stride == 1) {
        memcpy(to, from, count * rmi_sample_bytes(to_format));
        return;
    }
    pairs[from_format - 1][to_format - 1](to, to_stride, from, from_stride, count);
}

void rmi_audio_convert(const rmi_audio *to, const rmi_audio *from, size_t frames)
{
    if (!to->plane_bytes && !from->plane_bytes) {
        rmi_samples_convert(to->data, to->format, 1, from->data, from->format, 1,
                            frames * from->channels);
        return;
    }
    for (uint32_t c = 0; c < from->channels; c++) {
        rmi_samples_convert(rmi_audio_channel(to, c, 0), to->format, rmi_audio_stride(to),
                            rmi_audio_channel(from, c, 0), from->format, rmi_audio_stride(from),
                            frames);
    }
}
