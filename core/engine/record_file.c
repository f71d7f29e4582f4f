#include "engine/record_file.h"

#include <inttypes.h>
#include <string.h>

#include "base/crc32c.h"

enum { FILE_VERSION = 1, INTS_MAX = 12, VARINT_BYTES_MAX = 10 };

typedef struct file_head {
    char magic[8];
    uint32_t version, crc; /* crc: of the head with 0 here */
    char made_by[16];      /* RM_VERSION */
    uint8_t zero[32];
} file_head;

typedef struct chunk_head {
    uint64_t bytes;
    uint32_t bytes_crc, body_crc;
} chunk_head;

_Static_assert(sizeof(file_head) == RMI_RECORD_HEAD_BYTES, "a head has 64 bytes");
_Static_assert(sizeof(chunk_head) == RMI_RECORD_CHUNK_HEAD_BYTES, "a chunk's head has 16");

static const char magic[8] = {'r', 'm', 'r', 'e', 'c', 'r', 'd', '\n'};

/* ---- what an entry is made of */

#define INT(member) ((uint16_t)offsetof(rmi_record_entry, member))
#define PACKET_INTS INT(node), INT(port), INT(edges)

/* The numbers of an entry, in the order of the file; then its inputs, then its pieces. */
static const struct shape {
    uint16_t ints[INTS_MAX];
    uint8_t int_count, piece_count;
    bool has_inputs;
} shapes[RMI_RECORD_KINDS] = {
    [RMI_RECORD_GRAPH] = {.piece_count = 1},
    [RMI_RECORD_CALL] = {.ints = {INT(node), INT(flags), INT(now_ns), INT(input_count)},
                         .int_count = 4,
                         .has_inputs = true},
    [RMI_RECORD_RESULT] = {.ints = {INT(node), INT(flags), INT(status), INT(code), INT(count)},
                           .int_count = 5},
    [RMI_RECORD_SENT] = {.ints = {PACKET_INTS, INT(flags), INT(packet_kind), INT(payload_bytes),
                                  INT(origin_ns), INT(sums.header), INT(sums.metadata),
                                  INT(sums.payload)},
                         .int_count = 10},
    [RMI_RECORD_WHOLE] = {.ints = {PACKET_INTS}, .int_count = 3, .piece_count = 3},
    [RMI_RECORD_MARK] = {.ints = {PACKET_INTS}, .int_count = 3},
    [RMI_RECORD_UNSENT] = {.ints = {INT(edge)}, .int_count = 1},
    [RMI_RECORD_CONTROL] = {.ints = {INT(node), INT(op), INT(port), INT(packet_kind), INT(argument),
                                     INT(status)},
                            .int_count = 6,
                            .piece_count = 1},
    [RMI_RECORD_PARAMS] = {.ints = {INT(node)}, .int_count = 1, .piece_count = 1},
    [RMI_RECORD_CANCEL] = {.ints = {INT(node)}, .int_count = 1},
    [RMI_RECORD_END] = {.ints = {INT(status), INT(code)}, .int_count = 2, .piece_count = 1},
};

static int64_t *int_at(rmi_record_entry *entry, uint16_t offset)
{
    return (int64_t *)(void *)((uint8_t *)entry + offset);
}

/* ---- writing */

static void add_int(rmi_bytes *body, int64_t value)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    size_t count = 0;
    uint64_t left = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    while (left >= 0x80) {
        bytes[count++] = (uint8_t)(left | 0x80);
        left >>= 7;
    }
    bytes[count++] = (uint8_t)left;
    rmi_bytes_add(body, bytes, count);
}

void rmi_record_add(rmi_bytes *body, const rmi_record_entry *entry)
{
    const struct shape *shape = &shapes[entry->kind];
    uint8_t kind = (uint8_t)entry->kind;
    rmi_bytes_add(body, &kind, 1);
    for (unsigned i = 0; i < shape->int_count; i++) {
        int64_t value;
        memcpy(&value, (const uint8_t *)entry + shape->ints[i], sizeof value);
        add_int(body, value);
    }
    for (int64_t i = 0; shape->has_inputs && i < entry->input_count; i++) {
        add_int(body, entry->input[i].port);
        add_int(body, entry->input[i].edge);
        add_int(body, entry->input[i].skipped);
    }
    for (unsigned i = 0; i < shape->piece_count; i++) {
        add_int(body, (int64_t)entry->piece[i].bytes);
        rmi_bytes_add(body, entry->piece[i].data, entry->piece[i].bytes);
    }
}

static uint32_t head_crc(const file_head *head)
{
    file_head cleared = *head;
    cleared.crc = 0;
    return rmi_crc32c(0, &cleared, sizeof cleared);
}

void rmi_record_make_head(uint8_t *ret_head)
{
    file_head head = {.version = FILE_VERSION};
    memcpy(head.magic, magic, sizeof magic);
    memcpy(head.made_by, RM_VERSION, sizeof RM_VERSION);
    head.crc = head_crc(&head);
    memcpy(ret_head, &head, sizeof head);
}

void rmi_record_make_chunk_head(uint8_t *ret_head, const rmi_bytes *body)
{
    chunk_head head = {.bytes = body->bytes, .body_crc = rmi_crc32c(0, body->data, body->bytes)};
    head.bytes_crc = rmi_crc32c(0, &head.bytes, sizeof head.bytes);
    memcpy(ret_head, &head, sizeof head);
}

/* ---- reading */

static rm_status check_head(const void *data, size_t bytes, rm_error *err)
{
    file_head head;
    if (bytes < sizeof head || memcmp(data, magic, sizeof magic) != 0) {
        return rm_fail_as(err, RM_CODE_RECORD_BAD, "it is no record of a run");
    }
    memcpy(&head, data, sizeof head);
    if (head.crc != head_crc(&head)) {
        return rm_fail_as(err, RM_CODE_RECORD_BAD, "it is damaged: its head, at byte 0");
    }
    if (head.version != FILE_VERSION) {
        return rm_fail_as(err, RM_CODE_RECORD_BAD, "its version is %u, want %d", head.version,
                          FILE_VERSION);
    }
    if (strncmp(head.made_by, RM_VERSION, sizeof head.made_by) != 0) {
        return rm_fail_as(err, RM_CODE_RECORD_BAD, "it was made by version %.16s, want %s",
                          head.made_by, RM_VERSION);
    }
    return RM_OK;
}

/* RM_DONE: the file ends before the chunk does. */
static rm_status check_chunk(const uint8_t *data, size_t bytes, size_t at, size_t *ret_end,
                             rm_error *err)
{
    chunk_head head;
    if (bytes - at < sizeof head) {
        return RM_DONE;
    }
    memcpy(&head, data + at, sizeof head);
    if (head.bytes_crc != rmi_crc32c(0, &head.bytes, sizeof head.bytes)) {
        return rm_fail_as(err, RM_CODE_RECORD_BAD, "it is damaged: the chunk at byte %zu", at);
    }
    size_t begin = at + sizeof head;
    if (head.bytes > bytes - begin) {
        return RM_DONE;
    }
    if (head.body_crc != rmi_crc32c(0, data + begin, head.bytes)) {
        return rm_fail_as(err, RM_CODE_RECORD_BAD,
                          "it is damaged: within the %" PRIu64 " bytes from byte %zu on",
                          head.bytes, begin);
    }
    *ret_end = begin + head.bytes;
    return RM_OK;
}

rm_status rmi_record_read(rmi_record_reader *reader, const void *data, size_t bytes, rm_error *err)
{
    rm_status status = check_head(data, bytes, err);
    if (status != RM_OK) {
        return status;
    }
    size_t end = sizeof(file_head);
    while (status == RM_OK && end < bytes) {
        status = check_chunk(data, bytes, end, &end, err);
    }
    if (status < 0) {
        return status;
    }
    *reader = (rmi_record_reader){.data = data,
                                  .bytes = end,
                                  .at = sizeof(file_head),
                                  .chunk_end = sizeof(file_head),
                                  .is_cut = status == RM_DONE};
    return RM_OK;
}

static bool take_int(rmi_record_reader *reader, int64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && reader->at < reader->chunk_end; shift += 7) {
        uint8_t byte = reader->data[reader->at++];
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *ret_value = (int64_t)(value >> 1 ^ (0 - (value & 1)));
            return true;
        }
    }
    return false;
}

static bool take_inputs(rmi_record_reader *reader, rmi_record_entry *entry)
{
    bool good = entry->input_count >= 0 && entry->input_count <= RM_PORTS_MAX;
    for (int64_t i = 0; good && i < entry->input_count; i++) {
        rmi_record_input *input = &entry->input[i];
        good = take_int(reader, &input->port) && take_int(reader, &input->edge) &&
               take_int(reader, &input->skipped);
    }
    return good;
}

static bool take_piece(rmi_record_reader *reader, rmi_record_piece *piece)
{
    int64_t bytes = 0;
    if (!take_int(reader, &bytes) || bytes < 0 ||
        (uint64_t)bytes > reader->chunk_end - reader->at) {
        return false;
    }
    *piece = (rmi_record_piece){reader->data + reader->at, (size_t)bytes};
    reader->at += (size_t)bytes;
    return true;
}

static bool take_entry(rmi_record_reader *reader, rmi_record_entry *entry)
{
    uint8_t kind = reader->data[reader->at++];
    if (kind == 0 || kind >= RMI_RECORD_KINDS) {
        return false;
    }
    const struct shape *shape = &shapes[kind];
    entry->kind = (rmi_record_kind)kind;
    bool good = true;
    for (unsigned i = 0; good && i < shape->int_count; i++) {
        good = take_int(reader, int_at(entry, shape->ints[i]));
    }
    if (good && shape->has_inputs) {
        good = take_inputs(reader, entry);
    }
    for (unsigned i = 0; good && i < shape->piece_count; i++) {
        good = take_piece(reader, &entry->piece[i]);
    }
    return good;
}

rm_status rmi_record_next(rmi_record_reader *reader, rmi_record_entry *ret_entry, rm_error *err)
{
    while (reader->at == reader->chunk_end) {
        chunk_head head;
        if (reader->at == reader->bytes) {
            return RM_DONE;
        }
        memcpy(&head, reader->data + reader->at, sizeof head);
        reader->at += sizeof head;
        reader->chunk_end = reader->at + head.bytes;
    }
    size_t offset = reader->at;
    *ret_entry = (rmi_record_entry){.offset = offset};
    if (!take_entry(reader, ret_entry)) {
        return rm_fail_as(err, RM_CODE_RECORD_BAD, "it is damaged: the entry at byte %zu", offset);
    }
    return RM_OK;
}
