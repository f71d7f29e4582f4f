#include "engine/dead_letter.h"

#include <msgpack.h>
#include <stdbool.h>
#include <string.h>

static const char error_key[] = "error";

/* These and the next ones: 0, or another number without memory. */
static int put_text(msgpack_packer *packer, const char *text)
{
    return msgpack_pack_str_with_body(packer, text, strlen(text));
}

static int put_error(msgpack_packer *packer, const rm_error *error, uint32_t attempts)
{
    int failed = put_text(packer, error_key);
    failed |= msgpack_pack_map(packer, 5);
    failed |= put_text(packer, "node");
    failed |= put_text(packer, error->node);
    failed |= put_text(packer, "code");
    failed |= msgpack_pack_int(packer, (int)error->code);
    failed |= put_text(packer, "message");
    failed |= put_text(packer, error->message);
    failed |= put_text(packer, "item");
    failed |= msgpack_pack_uint64(packer, error->item);
    failed |= put_text(packer, "attempts");
    failed |= msgpack_pack_uint32(packer, attempts);
    return failed;
}

static bool is_error_key(const msgpack_object *key)
{
    return key->type == MSGPACK_OBJECT_STR && key->via.str.size == sizeof error_key - 1 &&
           memcmp(key->via.str.ptr, error_key, sizeof error_key - 1) == 0;
}

/* The entries of an older map, but for its error. */
static int put_entries(msgpack_packer *packer, const msgpack_object_map *map)
{
    int failed = 0;
    for (uint32_t i = 0; i < map->size; i++) {
        if (!is_error_key(&map->ptr[i].key)) {
            failed |= msgpack_pack_object(packer, map->ptr[i].key);
            failed |= msgpack_pack_object(packer, map->ptr[i].val);
        }
    }
    return failed;
}

static uint32_t count_entries(const msgpack_object_map *map)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < map->size; i++) {
        count += !is_error_key(&map->ptr[i].key);
    }
    return count;
}

bool rmi_dead_letter_mark(rm_packet *packet, const rm_error *error, uint32_t attempts)
{
    if (__atomic_load_n(&packet->host.refs, __ATOMIC_ACQUIRE) != 1) {
        return false;
    }
    bool marked = false;
    msgpack_unpacked old;
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_object_map map = {0};
    msgpack_unpacked_init(&old);
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    bool is_map = packet->header.metadata_bytes == 0;
    if (!is_map && msgpack_unpack_next(&old, packet->metadata, packet->header.metadata_bytes,
                                       NULL) == MSGPACK_UNPACK_SUCCESS) {
        is_map = old.data.type == MSGPACK_OBJECT_MAP;
        map = is_map ? old.data.via.map : map;
    }
    if (is_map) {
        int failed = msgpack_pack_map(&packer, count_entries(&map) + 1);
        failed |= put_entries(&packer, &map);
        failed |= put_error(&packer, error, attempts);
        marked = !failed && rm_packet_set_metadata(packet, buffer.data, buffer.size) == RM_OK;
    }
    msgpack_sbuffer_destroy(&buffer);
    msgpack_unpacked_destroy(&old);
    return marked;
}
