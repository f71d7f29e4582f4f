#include "media/traceparent.h"

#include <string.h>

#include "base/alloc.h"
#include "media/find.h"

enum { KEY_BYTES = 11, ENTRY_BYTES = 1 + KEY_BYTES + 2 + RMI_TRACEPARENT_BYTES };
enum { FIXMAP = 0x80, FIXSTR = 0xa0, STR_8 = 0xd9, MAP_16 = 0xde };
static const char key[KEY_BYTES + 1] = "traceparent";

/* ---- as text */

/* -1: no digit. Capital letters are none (3.2.2). */
static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *text, uint8_t *ret_bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        ret_bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static char *write_hex(char *to, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        *to++ = digits[bytes[i] >> 4];
        *to++ = digits[bytes[i] & 15];
    }
    return to;
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

bool rmi_context_parse(const char *text, size_t bytes, rmi_context *ret_context)
{
    rmi_context read;
    uint8_t version;
    if (bytes < RMI_TRACEPARENT_BYTES || text[2] != '-' || text[35] != '-' || text[52] != '-' ||
        !read_hex(text, &version, 1) || !read_hex(text + 3, read.trace_id, 16) ||
        !read_hex(text + 36, read.span_id, 8) || !read_hex(text + 53, &read.flags, 1)) {
        return false;
    }
    bool whole = bytes == RMI_TRACEPARENT_BYTES || (version > 0 && text[55] == '-');
    if (!whole || version == 0xff || is_zero(read.trace_id, 16) || is_zero(read.span_id, 8)) {
        return false;
    }
    *ret_context = read;
    return true;
}

void rmi_context_print(const rmi_context *context, char ret_text[RMI_TRACEPARENT_BYTES + 1])
{
    char *to = ret_text;
    *to++ = '0';
    *to++ = '0';
    *to++ = '-';
    to = write_hex(to, context->trace_id, 16);
    *to++ = '-';
    to = write_hex(to, context->span_id, 8);
    *to++ = '-';
    *write_hex(to, &context->flags, 1) = 0;
}

/* ---- in metadata */

bool rmi_context_of(const rm_packet *packet, rmi_context *ret_context)
{
    rm_leaf leaf;
    return packet->header.metadata_bytes &&
           rmi_value_find(packet->metadata, packet->header.metadata_bytes, key, &leaf) &&
           leaf.kind == RM_LEAF_TEXT && rmi_context_parse(leaf.text, leaf.text_bytes, ret_context);
}

/* The head of a map: how many entries it says, and how many bytes it takes. 0 bytes: no map, or one
 * that is full. */
static size_t read_head(const uint8_t *map, size_t bytes, uint32_t *ret_count)
{
    if (bytes == 0) {
        *ret_count = 0;
        return 0;
    }
    if ((map[0] & 0xf0) == FIXMAP) {
        *ret_count = map[0] & 15;
        return 1;
    }
    if (map[0] == MAP_16 && bytes >= 3) {
        *ret_count = (uint32_t)map[1] << 8 | map[2];
        return *ret_count < UINT16_MAX ? 3 : 0;
    }
    return 0;
}

static size_t write_head(uint8_t *to, uint32_t count)
{
    if (count < 16) {
        to[0] = (uint8_t)(FIXMAP | count);
        return 1;
    }
    to[0] = MAP_16;
    to[1] = (uint8_t)(count >> 8);
    to[2] = (uint8_t)count;
    return 3;
}

static size_t write_entry(uint8_t *to, const rmi_context *context)
{
    char text[RMI_TRACEPARENT_BYTES + 1];
    rmi_context_print(context, text);
    to[0] = FIXSTR | KEY_BYTES;
    memcpy(to + 1, key, KEY_BYTES);
    to[1 + KEY_BYTES] = STR_8;
    to[2 + KEY_BYTES] = RMI_TRACEPARENT_BYTES;
    memcpy(to + 3 + KEY_BYTES, text, RMI_TRACEPARENT_BYTES);
    return ENTRY_BYTES;
}

bool rmi_context_put(rm_packet *packet, const rmi_context *context)
{
    const uint8_t *old = packet->metadata;
    size_t bytes = packet->header.metadata_bytes;
    uint32_t count = 0;
    size_t head = read_head(old, bytes, &count);
    if (bytes && !head) {
        return false;
    }
    uint8_t small[3 + ENTRY_BYTES], *map = small;
    if (bytes && !(map = rmi_calloc(1, bytes + 2 + ENTRY_BYTES))) {
        return false;
    }
    size_t length = write_head(map, count + 1);
    if (bytes) {
        memcpy(map + length, old + head, bytes - head);
        length += bytes - head;
    }
    length += write_entry(map + length, context);
    bool put = rm_packet_set_metadata(packet, map, length) == RM_OK;
    if (map != small) {
        rmi_free(map);
    }
    return put;
}
