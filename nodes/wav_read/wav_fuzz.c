/* Any bytes as a WAVE file, fed in pieces of any size: the head is understood or refused, never
 * more is asked for than is right, and what is understood holds together. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wav_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_head(const wav_head *head)
{
    assert(head->channels >= 1 && head->channels <= WAV_CHANNELS_MAX);
    assert(head->rate_hz >= 1 && head->rate_hz <= WAV_RATE_HZ_MAX);
    assert(head->sample_bytes >= 1 && head->sample_bytes <= 8);
    assert(rm_sample_format_bytes(head->sample_format) >= head->sample_bytes);
    assert(head->data_bytes == WAV_BYTES_UNKNOWN ||
           head->data_bytes % ((uint32_t)head->sample_bytes * head->channels) == 0);
}

/* The first byte says how large the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1) {
        return 0;
    }
    size_t most = (size_t)data[0] + 1, at = 1;
    wav_parser parser;
    rm_error err = RM_ERROR_INIT;
    rm_status status = RM_MORE;
    wav_parser_init(&parser);
    while (status == RM_MORE && at < bytes) {
        size_t want = wav_parser_want(&parser), piece = bytes - at;
        assert(want >= 1 && want <= 4096);
        piece = piece < want ? piece : want;
        piece = piece < most ? piece : most;
        uint8_t *exact = malloc(piece); /* so that reading past it is seen */
        if (!exact) {
            abort();
        }
        memcpy(exact, data + at, piece);
        status = wav_parser_feed(&parser, exact, piece, &err);
        free(exact);
        at += piece;
        assert(parser.position == at - 1);
    }
    if (status == RM_OK) {
        assert(wav_parser_want(&parser) == 0);
        check_head(&parser.head);
    } else if (status == RM_MORE) {
        status = wav_parser_ended(&parser, &err);
    }
    assert(status == RM_OK || (status == RM_EFAIL && err.message[0]));
    return 0;
}
