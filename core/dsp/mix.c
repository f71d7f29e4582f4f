/* Mix matrices from channel positions, and the loop that applies one. */
#include "dsp/mix.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Positions, in the order of the mask's bits. */
enum { FL, FR, FC, LFE, BL, BR, FLC, FRC, BC, SL, SR, POSITIONS };

#define HALF_POWER 0.70710678118654752440

/* Where a position goes that the output lacks: the first row whose outputs are all there. */
typedef struct route {
    uint8_t from, to, also; /* also = to: one output only */
    double gain;
} route;

static const route routes[] = {
    {FL, FC, FC, HALF_POWER},  {FR, FC, FC, HALF_POWER},  {FC, FL, FR, HALF_POWER},
    {BL, SL, SL, 1.0},         {BL, FL, FL, HALF_POWER},  {BL, FC, FC, 0.5},
    {BR, SR, SR, 1.0},         {BR, FR, FR, HALF_POWER},  {BR, FC, FC, 0.5},
    {SL, BL, BL, 1.0},         {SL, FL, FL, HALF_POWER},  {SL, FC, FC, 0.5},
    {SR, BR, BR, 1.0},         {SR, FR, FR, HALF_POWER},  {SR, FC, FC, 0.5},
    {BC, BL, BR, HALF_POWER},  {BC, SL, SR, HALF_POWER},  {BC, FL, FR, 0.5},
    {BC, FC, FC, HALF_POWER},  {FLC, FL, FL, HALF_POWER}, {FLC, FC, FC, 0.5},
    {FRC, FR, FR, HALF_POWER}, {FRC, FC, FC, 0.5},
};

uint64_t rmi_mix_default_mask(uint32_t channels)
{
    static const uint16_t masks[] = {
        0,
        1 << FC,
        1 << FL | 1 << FR,
        1 << FL | 1 << FR | 1 << FC,
        1 << FL | 1 << FR | 1 << BL | 1 << BR,
        1 << FL | 1 << FR | 1 << FC | 1 << BL | 1 << BR,
        1 << FL | 1 << FR | 1 << FC | 1 << LFE | 1 << BL | 1 << BR,
        1 << FL | 1 << FR | 1 << FC | 1 << LFE | 1 << BC | 1 << SL | 1 << SR,
        1 << FL | 1 << FR | 1 << FC | 1 << LFE | 1 << BL | 1 << BR | 1 << SL | 1 << SR,
    };
    return channels < sizeof masks / sizeof masks[0] ? masks[channels] : 0;
}

/* Index of each position's channel, -1 where it is not there. False: the mask does not say. */
static bool locate(uint32_t channels, uint64_t mask, int channel_at[POSITIONS])
{
    mask = channels == 1 ? 1 << FC : mask ? mask : rmi_mix_default_mask(channels);
    if (mask == 0 || mask >> POSITIONS || (uint32_t)__builtin_popcountll(mask) != channels) {
        return false;
    }
    int next = 0;
    for (int p = 0; p < POSITIONS; p++) {
        channel_at[p] = mask >> p & 1 ? next++ : -1;
    }
    return true;
}

static void mix_by_position(uint32_t inputs, const int in[POSITIONS], const int out[POSITIONS],
                            double *matrix)
{
    for (int p = 0; p < POSITIONS; p++) {
        if (in[p] < 0) {
            continue;
        }
        if (out[p] >= 0) {
            matrix[(uint32_t)out[p] * inputs + (uint32_t)in[p]] = 1.0;
            continue;
        }
        for (size_t r = 0; r < sizeof routes / sizeof routes[0]; r++) {
            const route *way = &routes[r];
            if (way->from == p && out[way->to] >= 0 && out[way->also] >= 0) {
                double gain = inputs == 1 ? 1.0 : way->gain; /* mono is as loud on each side */
                matrix[(uint32_t)out[way->to] * inputs + (uint32_t)in[p]] = gain;
                matrix[(uint32_t)out[way->also] * inputs + (uint32_t)in[p]] = gain;
                break;
            }
        }
    }
}

static void mix_by_number(uint32_t inputs, uint32_t outputs, double *matrix)
{
    for (uint32_t o = 0; inputs == 1 && o < outputs; o++) {
        matrix[o] = 1.0;
    }
    for (uint32_t i = 0; inputs > 1 && i < inputs; i++) {
        matrix[i % outputs * inputs + i] = 1.0;
    }
}

void rmi_mix_matrix(uint32_t inputs, uint64_t input_mask, uint32_t outputs, uint64_t output_mask,
                    double *matrix)
{
    int in[POSITIONS], out[POSITIONS];
    memset(matrix, 0, sizeof *matrix * inputs * outputs);
    if (locate(inputs, input_mask, in) && locate(outputs, output_mask, out)) {
        mix_by_position(inputs, in, out, matrix);
    } else {
        mix_by_number(inputs, outputs, matrix);
    }
    double largest = 1.0;
    for (uint32_t o = 0; o < outputs; o++) {
        double sum = 0;
        for (uint32_t i = 0; i < inputs; i++) {
            sum += fabs(matrix[o * inputs + i]);
        }
        largest = sum > largest ? sum : largest;
    }
    for (uint32_t k = 0; k < inputs * outputs; k++) {
        matrix[k] /= largest;
    }
}

/* ---- applying */

enum { BLOCK_FRAMES = 256 };

/* One output channel over one block: sums into `sum`, through `one`. */
#define MIX_BLOCK(name, type, format_of_type)                                                   \
    static void name(const rmi_audio *to, const rmi_audio *from, uint32_t output, size_t first, \
                     size_t count, const double *row)                                           \
    {                                                                                           \
        type sum[BLOCK_FRAMES] = {0}, one[BLOCK_FRAMES];                                        \
        for (uint32_t i = 0; i < from->channels; i++) {                                         \
            const type gain = (type)row[i];                                                     \
            if (gain == 0) {                                                                    \
                continue;                                                                       \
            }                                                                                   \
            rmi_samples_convert(one, format_of_type, 1, rmi_audio_channel(from, i, first),      \
                                from->format, rmi_audio_stride(from), count);                   \
            for (size_t k = 0; k < count; k++) {                                                \
                sum[k] += gain * one[k];                                                        \
            }                                                                                   \
        }                                                                                       \
        rmi_samples_convert(rmi_audio_channel(to, output, first), to->format,                   \
                            rmi_audio_stride(to), sum, format_of_type, 1, count);               \
    }

MIX_BLOCK(mix_block_f32, float, RMI_F32)
MIX_BLOCK(mix_block_f64, double, RMI_F64)

static bool is_wide(uint8_t format)
{
    return format == RMI_S32 || format == RMI_F64;
}

void rmi_mix(const rmi_audio *to, const rmi_audio *from, size_t frames, const double *matrix)
{
    bool wide = is_wide(to->format) || is_wide(from->format);
    for (size_t first = 0; first < frames; first += BLOCK_FRAMES) {
        size_t count = frames - first < BLOCK_FRAMES ? frames - first : BLOCK_FRAMES;
        for (uint32_t o = 0; o < to->channels; o++) {
            const double *row = matrix + (size_t)o * from->channels;
            if (wide) {
                mix_block_f64(to, from, o, first, count, row);
            } else {
                mix_block_f32(to, from, o, first, count, row);
            }
        }
    }
}
