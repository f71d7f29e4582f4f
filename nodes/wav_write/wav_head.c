#include "wav_head.h"

#include <stddef.h>
#include <string.h>

#include "dsp/mix.h"

enum { TAG_PCM = 1, TAG_FLOAT = 3, TAG_EXTENSIBLE = 0xFFFE, DS64_BYTES = 28 };

#define SIZE_UNKNOWN 0xFFFFFFFFu

typedef struct writer {
    uint8_t *bytes;
    uint32_t used;
} writer;

static void put(writer *w, uint64_t value, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        w->bytes[w->used++] = (uint8_t)(value >> 8 * i);
    }
}

static void put_chunk(writer *w, const char *id, uint32_t bytes)
{
    memcpy(w->bytes + w->used, id, 4);
    w->used += 4;
    put(w, bytes, 4);
}

static bool is_float(const wav_head *head)
{
    return head->line.audio.sample_format == RM_SAMPLE_F32 ||
           head->line.audio.sample_format == RM_SAMPLE_F64;
}

static uint64_t mask_of(const wav_head *head)
{
    uint64_t mask = head->line.audio.channel_mask;
    return mask ? mask : rmi_mix_default_mask(head->line.audio.channels);
}

/* What the short form cannot say: more than two channels, where they stand, more than 16 bits. */
static bool is_extensible(const wav_head *head)
{
    uint32_t channels = head->line.audio.channels;
    return channels > 2 || mask_of(head) != rmi_mix_default_mask(channels) ||
           (!is_float(head) && head->sample_bytes > 2);
}

/* The rest of an extensible format: valid bits, mask, and the tag as the begin of a GUID. */
static void put_extension(writer *w, const wav_head *head, uint32_t tag)
{
    static const uint8_t guid_end[14] = {0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80,
                                         0x00, 0x00, 0xAA, 0x00, 0x38, 0x9B, 0x71};
    put(w, 22, 2);
    put(w, 8ull * head->sample_bytes, 2);
    put(w, mask_of(head), 4);
    put(w, tag, 2);
    memcpy(w->bytes + w->used, guid_end, sizeof guid_end);
    w->used += sizeof guid_end;
}

static void put_format(writer *w, const wav_head *head)
{
    uint32_t channels = head->line.audio.channels, rate_hz = head->line.audio.rate_hz;
    uint32_t block = head->sample_bytes * channels, tag = is_float(head) ? TAG_FLOAT : TAG_PCM;
    bool extensible = is_extensible(head);
    put_chunk(w, "fmt ", extensible ? 40 : tag == TAG_FLOAT ? 18 : 16);
    put(w, extensible ? TAG_EXTENSIBLE : tag, 2);
    put(w, channels, 2);
    put(w, rate_hz, 4);
    put(w, (uint64_t)rate_hz * block, 4);
    put(w, block, 2);
    put(w, 8ull * head->sample_bytes, 2);
    if (extensible) {
        put_extension(w, head, tag);
    } else if (tag == TAG_FLOAT) {
        put(w, 0, 2); /* all but PCM says how much more there is */
    }
}

static uint32_t head_length(const wav_head *head)
{
    uint32_t format = is_extensible(head) ? 40 : is_float(head) ? 18 : 16;
    return 12 + (head->room_for_64 ? 8 + DS64_BYTES : 0) + 8 + format + (is_float(head) ? 12 : 0) +
           8;
}

uint32_t wav_head_make(const wav_head *head, uint64_t data_bytes, uint8_t *bytes)
{
    writer w = {bytes, 0};
    bool known = data_bytes != WAV_HEAD_UNKNOWN;
    uint64_t frames = data_bytes / ((uint64_t)head->sample_bytes * head->line.audio.channels);
    uint64_t riff_bytes = known ? head_length(head) - 8 + data_bytes + (data_bytes & 1) : 0;
    bool is_large = riff_bytes >= SIZE_UNKNOWN, is_64 = is_large && head->room_for_64;
    bool is_said = known && !is_large; /* by the 32 bits of RIFF */
    put_chunk(&w, is_64 ? "RF64" : "RIFF", is_said ? (uint32_t)riff_bytes : SIZE_UNKNOWN);
    memcpy(w.bytes + w.used, "WAVE", 4);
    w.used += 4;
    if (head->room_for_64) {
        put_chunk(&w, is_64 ? "ds64" : "JUNK", DS64_BYTES);
        put(&w, is_64 ? riff_bytes : 0, 8);
        put(&w, is_64 ? data_bytes : 0, 8);
        put(&w, is_64 ? frames : 0, 8);
        put(&w, 0, 4);
    }
    put_format(&w, head);
    if (is_float(head)) {
        put_chunk(&w, "fact", 4);
        put(&w, is_said ? frames : SIZE_UNKNOWN, 4);
    }
    put_chunk(&w, "data", is_said ? (uint32_t)data_bytes : SIZE_UNKNOWN);
    return w.used;
}
