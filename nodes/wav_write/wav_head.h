/* wav_head.h — the head of a RIFF/WAVE file, up to its first sample.
 *
 *     RIFF │ JUNK (28) │ fmt │ [fact] │ data …
 *     RF64 │ ds64      │ fmt │ [fact] │ data …     above 4 GiB: EBU Tech 3306
 *
 * Does no output of its own. Threads: any; pure functions.
 */
#ifndef NODES_WAV_HEAD_H
#define NODES_WAV_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include <remotemedia/packet.h>

#define WAV_HEAD_UNKNOWN UINT64_MAX

enum { WAV_HEAD_BYTES_MAX = 128 };

typedef struct wav_head {
    rm_format_line line;  /* rate, channels, mask, sample format */
    uint8_t sample_bytes; /* as stored: 3 for 24 bits, whose line says s32 */
    bool room_for_64;     /* with JUNK, which keeps the place of a ds64 chunk */
} wav_head;

/* data_bytes: of all samples; WAV_HEAD_UNKNOWN: the sizes say so, as readers of pipes expect. The
 * length, at most WAV_HEAD_BYTES_MAX, is the same for each data_bytes. More than 4 GiB without room
 * for it becomes unknown. */
uint32_t wav_head_make(const wav_head *head, uint64_t data_bytes, uint8_t *bytes);

#endif
