#include "wav_parse.h"

#include <string.h>

enum { STEP_RIFF, STEP_CHUNK, STEP_DS64, STEP_FORMAT, STEP_DONE };
enum { SKIP_PIECE_BYTES = 4096, FORMAT_BYTES_MIN = 16, FORMAT_BYTES_MAX = 40, DS64_BYTES = 24 };
enum { TAG_PCM = 1, TAG_FLOAT = 3, TAG_EXTENSIBLE = 0xFFFE };

#define SIZE_UNKNOWN 0xFFFFFFFFu
#define SIZE_UNKNOWN_SOX 0x7FFFF000u

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get32(const uint8_t *at)
{
    return get16(at) | (uint32_t)get16(at + 2) << 16;
}

static uint64_t get64(const uint8_t *at)
{
    return get32(at) | (uint64_t)get32(at + 4) << 32;
}

/* Four bytes as text; what is not printable becomes '?'. */
static void print_id(const uint8_t *at, char text[5])
{
    for (int i = 0; i < 4; i++) {
        text[i] = (char)(at[i] >= ' ' && at[i] < 127 ? at[i] : '?');
    }
    text[4] = 0;
}

static void next(wav_parser *p, uint8_t step, uint32_t need)
{
    p->step = step;
    p->need = need;
    p->have = 0;
}

void wav_parser_init(wav_parser *parser)
{
    memset(parser, 0, sizeof *parser);
    next(parser, STEP_RIFF, 12);
}

size_t wav_parser_want(const wav_parser *parser)
{
    if (parser->skip) {
        return parser->skip < SKIP_PIECE_BYTES ? (size_t)parser->skip : SKIP_PIECE_BYTES;
    }
    return parser->need - parser->have;
}

static rm_status not_wave(const char *begins, rm_error *err)
{
    rm_status status =
        rm_fail_as(err, RM_CODE_MEDIA_DATA,
                   "is no WAVE file: it begins with '%s', want RIFF, RF64 or BW64", begins);
    rm_error_help(err, "media.read reads other formats");
    return status;
}

static rm_status step_riff(wav_parser *p, rm_error *err)
{
    char id[5], form[5];
    print_id(p->bytes, id);
    print_id(p->bytes + 8, form);
    p->is_64 = memcmp(p->bytes, "RF64", 4) == 0 || memcmp(p->bytes, "BW64", 4) == 0;
    if (!p->is_64 && memcmp(p->bytes, "RIFF", 4) != 0) {
        return not_wave(id, err);
    }
    if (memcmp(p->bytes + 8, "WAVE", 4) != 0) {
        return rm_fail_as(err, RM_CODE_MEDIA_DATA,
                          "is no WAVE file: the form of its %s is '%s', want WAVE", id, form);
    }
    p->riff_bytes = get32(p->bytes + 4);
    next(p, STEP_CHUNK, 8);
    return RM_MORE;
}

/* Passes over what is left of the chunk and the byte that makes it even, to the next one. */
static rm_status next_chunk(wav_parser *p, uint32_t taken)
{
    p->skip = (uint64_t)p->chunk_bytes + (p->chunk_bytes & 1) - taken;
    next(p, STEP_CHUNK, 8);
    return RM_MORE;
}

static uint64_t data_bytes(const wav_parser *p)
{
    if (p->is_64 && p->chunk_bytes == SIZE_UNKNOWN) {
        return p->data64;
    }
    bool open = p->chunk_bytes == 0 && (p->riff_bytes == 0 || p->riff_bytes == SIZE_UNKNOWN);
    return open || p->chunk_bytes == SIZE_UNKNOWN || p->chunk_bytes == SIZE_UNKNOWN_SOX
               ? WAV_BYTES_UNKNOWN
               : p->chunk_bytes;
}

static rm_status chunk_data(wav_parser *p, rm_error *err)
{
    if (!p->has_format) {
        return rm_fail_as(err, RM_CODE_MEDIA_DATA,
                          "has its data chunk (byte %llu) before a fmt chunk",
                          (unsigned long long)(p->position - 8));
    }
    if (p->is_64 && !p->has_ds64) {
        return rm_fail_as(err, RM_CODE_MEDIA_DATA,
                          "has its data chunk (byte %llu) before a ds64 chunk",
                          (unsigned long long)(p->position - 8));
    }
    uint64_t bytes = data_bytes(p), frame = (uint64_t)p->head.sample_bytes * p->head.channels;
    p->head.data_bytes = bytes == WAV_BYTES_UNKNOWN ? bytes : bytes - bytes % frame;
    next(p, STEP_DONE, 0);
    return RM_OK;
}

static rm_status chunk_of_size(wav_parser *p, uint8_t step, uint32_t least, uint32_t most,
                               rm_error *err)
{
    if (p->chunk_bytes < least) {
        char id[5];
        print_id(p->bytes, id);
        return rm_fail_as(err, RM_CODE_MEDIA_DATA,
                          "has a '%s' chunk of %u bytes (byte %llu), want at least %u", id,
                          p->chunk_bytes, (unsigned long long)(p->position - 8), least);
    }
    next(p, step, p->chunk_bytes < most ? p->chunk_bytes : most);
    return RM_MORE;
}

static rm_status step_chunk(wav_parser *p, rm_error *err)
{
    p->chunk_bytes = get32(p->bytes + 4);
    if (memcmp(p->bytes, "data", 4) == 0) {
        return chunk_data(p, err);
    }
    if (memcmp(p->bytes, "fmt ", 4) == 0) {
        return chunk_of_size(p, STEP_FORMAT, FORMAT_BYTES_MIN, FORMAT_BYTES_MAX, err);
    }
    if (memcmp(p->bytes, "ds64", 4) == 0 && p->is_64) {
        return chunk_of_size(p, STEP_DS64, DS64_BYTES, DS64_BYTES, err);
    }
    return next_chunk(p, 0);
}

static rm_status step_ds64(wav_parser *p)
{
    p->data64 = get64(p->bytes + 8);
    p->has_ds64 = true;
    return next_chunk(p, DS64_BYTES);
}

/* The tag, or what the sub-format of an extensible one stands for: 2 bytes and a fixed GUID. */
static uint32_t format_tag(wav_parser *p)
{
    static const uint8_t guid_end[14] = {0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80,
                                         0x00, 0x00, 0xAA, 0x00, 0x38, 0x9B, 0x71};
    uint32_t tag = get16(p->bytes);
    if (tag == TAG_EXTENSIBLE && p->need >= FORMAT_BYTES_MAX &&
        memcmp(p->bytes + 26, guid_end, sizeof guid_end) == 0) {
        p->head.channel_mask = get32(p->bytes + 20);
        tag = get16(p->bytes + 24);
    }
    return tag;
}

/* 0: none of ours. */
static uint8_t sample_format_of(uint32_t tag, uint32_t bytes)
{
    static const uint8_t integers[] = {0, RM_SAMPLE_U8, RM_SAMPLE_S16, RM_SAMPLE_S32,
                                       RM_SAMPLE_S32};
    if (tag == TAG_PCM && bytes <= 4) {
        return integers[bytes];
    }
    if (tag == TAG_FLOAT && (bytes == 4 || bytes == 8)) {
        return bytes == 4 ? RM_SAMPLE_F32 : RM_SAMPLE_F64;
    }
    return 0;
}

static rm_status check_numbers(const wav_parser *p, rm_error *err)
{
    const wav_head *head = &p->head;
    if (head->channels == 0 || head->channels > WAV_CHANNELS_MAX) {
        return rm_fail_as(err, RM_CODE_MEDIA_DATA, "has %u channels, want 1 to %d", head->channels,
                          WAV_CHANNELS_MAX);
    }
    if (head->rate_hz == 0 || head->rate_hz > WAV_RATE_HZ_MAX) {
        return rm_fail_as(err, RM_CODE_MEDIA_DATA, "has a rate of %u Hz, want 1 to %d",
                          head->rate_hz, WAV_RATE_HZ_MAX);
    }
    return RM_OK;
}

static rm_status step_format(wav_parser *p, rm_error *err)
{
    p->head = (wav_head){.channels = get16(p->bytes + 2), .rate_hz = get32(p->bytes + 4)};
    rm_status status = check_numbers(p, err);
    if (status != RM_OK) {
        return status;
    }
    uint32_t tag = format_tag(p), bits = get16(p->bytes + 14), block = get16(p->bytes + 12);
    uint32_t bytes = (bits + 7) / 8;
    p->head.sample_bytes = (uint8_t)bytes;
    p->head.sample_format = bytes <= 8 ? sample_format_of(tag, bytes) : 0;
    if (!p->head.sample_format) {
        status = rm_fail_as(err, RM_CODE_MEDIA_DATA,
                            "has samples of format tag %#x with %u bits, want PCM (0x1) of 1 to 32 "
                            "bits or float (0x3) of 32 or 64",
                            tag, bits);
        rm_error_help(err, "media.read decodes compressed WAVE files");
        return status;
    }
    if (block != bytes * p->head.channels) {
        return rm_fail_as(err, RM_CODE_MEDIA_DATA,
                          "says %u bytes a frame, want %u: %u channels of %u bits", block,
                          bytes * p->head.channels, p->head.channels, bits);
    }
    p->has_format = true;
    return next_chunk(p, p->need);
}

static rm_status take_step(wav_parser *p, rm_error *err)
{
    switch (p->step) {
    case STEP_RIFF: return step_riff(p, err);
    case STEP_CHUNK: return step_chunk(p, err);
    case STEP_DS64: return step_ds64(p);
    default: return step_format(p, err);
    }
}

rm_status wav_parser_feed(wav_parser *parser, const void *data, size_t bytes, rm_error *err)
{
    parser->position += bytes;
    if (parser->skip) {
        parser->skip -= bytes;
        return RM_MORE;
    }
    memcpy(parser->bytes + parser->have, data, bytes);
    parser->have += (uint32_t)bytes;
    return parser->have < parser->need ? RM_MORE : take_step(parser, err);
}

rm_status wav_parser_ended(const wav_parser *parser, rm_error *err)
{
    unsigned long long position = parser->position;
    if (position == 0) {
        return rm_fail_as(err, RM_CODE_MEDIA_DATA, "is empty, want a WAVE file");
    }
    if (parser->step == STEP_RIFF) {
        char begins[5] = "";
        print_id(parser->bytes, begins);
        begins[position < 4 ? position : 4] = 0;
        return not_wave(begins, err);
    }
    return rm_fail_as(err, RM_CODE_MEDIA_DATA, "ends at byte %llu, before its data chunk",
                      position);
}
