/* wav_parse.h — the head of a RIFF/WAVE stream, up to its first sample.
 *
 *     while ((status = …) == RM_MORE)
 *         read at most wav_parser_want() bytes ─▶ wav_parser_feed()
 *
 * Does no input of its own and never asks for a byte behind the head, so that it reads pipes as
 * well as files, and fuzzers. Knows RIFF, RF64 and BW64 (EBU Tech 3306, ITU-R BS.2088: more than 4
 * GiB), and the heads of writers that could not know the length: sizes 0, 0xFFFFFFFF and SoX's
 * 0x7FFFF000.
 *
 * Ownership: a plain value. Threads: one at a time.
 */
#ifndef NODES_WAV_PARSE_H
#define NODES_WAV_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <remotemedia/module.h>

#define WAV_BYTES_UNKNOWN UINT64_MAX

enum { WAV_RATE_HZ_MAX = 10000000, WAV_CHANNELS_MAX = 64 };

typedef struct wav_head {
    uint32_t rate_hz;
    uint16_t channels;
    uint8_t sample_format; /* rm_sample_format that holds them without loss */
    uint8_t sample_bytes;  /* as stored: 3 only for 24 bits */
    uint64_t channel_mask; /* 0: not said */
    uint64_t data_bytes;   /* of all samples; WAV_BYTES_UNKNOWN: until the end */
} wav_head;

typedef struct wav_parser {
    wav_head head;     /* valid once wav_parser_feed() gave RM_OK */
    uint64_t position; /* bytes taken */
    uint64_t skip;     /* bytes to pass over before `need` counts */
    uint64_t data64;   /* data size of a ds64 chunk */
    uint32_t riff_bytes;
    uint32_t have, need; /* of `bytes` */
    uint32_t chunk_bytes;
    uint8_t step;
    bool is_64, has_ds64, has_format;
    uint8_t bytes[40];
} wav_parser;

void wav_parser_init(wav_parser *parser);

/* How many bytes to feed next, 1 to 4,096; 0 once the head is complete. */
size_t wav_parser_want(const wav_parser *parser);

/* bytes: at most wav_parser_want(). RM_MORE: the head goes on. RM_OK: the samples follow. Fails
 * with E0502, saying what is wrong at which byte. */
rm_status wav_parser_feed(wav_parser *parser, const void *data, size_t bytes, rm_error *err);

/* The error of a stream that ended within its head. */
rm_status wav_parser_ended(const wav_parser *parser, rm_error *err);

#endif
