#include "media/find.h"

#include <string.h>

#include "media/claim.h"

typedef struct reader {
    const uint8_t *at, *end;
} reader;

/* What a tag is, with its length field read. */
typedef struct head {
    uint8_t tag;
    uint64_t length; /* of text, bytes, an extension's body; entries of a list; pairs of a map */
} head;

static bool read_bytes(reader *r, unsigned width, uint64_t *ret_number)
{
    uint64_t number = 0;
    if ((size_t)(r->end - r->at) < width) {
        return false;
    }
    for (unsigned i = 0; i < width; i++) {
        number = number << 8 | *r->at++;
    }
    *ret_number = number;
    return true;
}

/* Past one value, whatever is in it. */
static bool skip(reader *r)
{
    uint64_t wanted = 1, length;
    while (wanted > 0) {
        if (r->at == r->end) {
            return false;
        }
        rmi_claim c = rmi_claim_of(*r->at++);
        if (!read_bytes(r, c.width, &length)) {
            return false;
        }
        c.values += c.each * length;
        c.skip += c.each ? 0 : length;
        uint64_t left = (uint64_t)(r->end - r->at);
        if (c.skip > left || wanted - 1 + c.values > left - c.skip) {
            return false; /* each value needs a byte of its own */
        }
        r->at += c.skip;
        wanted += c.values - 1;
    }
    return true;
}

static bool is_text(uint8_t tag)
{
    return tag >> 5 == 5 || (tag >= 0xD9 && tag <= 0xDB);
}

static bool is_list(uint8_t tag)
{
    return tag >> 4 == 9 || tag == 0xDC || tag == 0xDD;
}

static bool is_map(uint8_t tag)
{
    return tag >> 4 == 8 || tag == 0xDE || tag == 0xDF;
}

static bool is_extension(uint8_t tag)
{
    return (tag >= 0xD4 && tag <= 0xD8) || (tag >= 0xC7 && tag <= 0xC9);
}

/* Of text, list, map and extension; of others the length means nothing. */
static bool read_head(reader *r, head *ret_head)
{
    if (r->at == r->end) {
        return false;
    }
    *ret_head = (head){.tag = *r->at++};
    uint8_t tag = ret_head->tag;
    if (tag < 0xC0) {
        ret_head->length = tag >> 5 == 5 ? tag & 31 : tag & 15;
        return true;
    }
    if (tag >= 0xD4 && tag <= 0xD8) {
        ret_head->length = (uint64_t)1 << (tag - 0xD4);
        return true;
    }
    return read_bytes(r, rmi_claim_of(tag).width, &ret_head->length);
}

/* The body of a tuple is a list of its own. */
static bool enter_tuple(reader *r, head *list)
{
    uint64_t type;
    if (!read_bytes(r, 1, &type) || type != RMI_EXT_TUPLE ||
        list->length > (uint64_t)(r->end - r->at)) {
        return false;
    }
    r->end = r->at + list->length;
    return read_head(r, list);
}

static bool key_is(reader *r, const char *name, size_t length, bool *ret_same)
{
    head key;
    reader before = *r;
    if (!read_head(r, &key)) {
        return false;
    }
    if (!is_text(key.tag)) {
        *r = before;
        *ret_same = false;
        return skip(r);
    }
    if (key.length > (uint64_t)(r->end - r->at)) {
        return false;
    }
    *ret_same = key.length == length && memcmp(r->at, name, length) == 0;
    r->at += key.length;
    return true;
}

static bool enter_map(reader *r, uint64_t pairs, const char *name, size_t length)
{
    for (uint64_t i = 0; i < pairs; i++) {
        bool same = false;
        if (!key_is(r, name, length, &same)) {
            return false;
        }
        if (same) {
            return true;
        }
        if (!skip(r)) {
            return false;
        }
    }
    return false;
}

static bool enter_list(reader *r, uint64_t count, const char *name, size_t length)
{
    uint64_t index = 0;
    for (size_t i = 0; i < length; i++) {
        if (name[i] < '0' || name[i] > '9' || index > count) {
            return false;
        }
        index = 10 * index + (uint64_t)(name[i] - '0');
    }
    for (uint64_t i = 0; i < index; i++) {
        if (!skip(r)) {
            return false;
        }
    }
    return length > 0 && index < count;
}

/* One step of the path: what follows in the reader is what stands there. */
static bool enter(reader *r, const char *name, size_t length)
{
    head h;
    if (!read_head(r, &h)) {
        return false;
    }
    if (is_map(h.tag)) {
        return enter_map(r, h.length, name, length);
    }
    if (is_extension(h.tag) && !enter_tuple(r, &h)) {
        return false;
    }
    return is_list(h.tag) && enter_list(r, h.length, name, length);
}

static bool read_real(reader *r, unsigned width, rm_leaf *leaf)
{
    uint64_t bits;
    if (!read_bytes(r, width, &bits)) {
        return false;
    }
    if (width == 4) {
        float real;
        uint32_t half = (uint32_t)bits;
        memcpy(&real, &half, sizeof real);
        leaf->real = (double)real;
    } else {
        memcpy(&leaf->real, &bits, sizeof leaf->real);
    }
    leaf->kind = RM_LEAF_REAL;
    return true;
}

static bool read_integer(reader *r, unsigned width, bool is_signed, rm_leaf *leaf)
{
    uint64_t number;
    if (!read_bytes(r, width, &number)) {
        return false;
    }
    unsigned unused = 64 - 8 * width;
    leaf->kind = RM_LEAF_INTEGER;
    leaf->integer = is_signed ? (int64_t)(number << unused) >> unused : (int64_t)number;
    if (!is_signed && number > INT64_MAX) {
        leaf->kind = RM_LEAF_REAL;
        leaf->real = (double)number;
    }
    return true;
}

static bool read_text(reader *r, rm_leaf *leaf)
{
    head h;
    if (!read_head(r, &h) || h.length > (uint64_t)(r->end - r->at)) {
        return false;
    }
    leaf->kind = RM_LEAF_TEXT;
    leaf->text = (const char *)r->at;
    leaf->text_bytes = (size_t)h.length;
    return true;
}

static bool read_leaf(reader *r, rm_leaf *leaf)
{
    if (r->at == r->end) {
        return false;
    }
    uint8_t tag = *r->at;
    if (is_text(tag)) {
        return read_text(r, leaf);
    }
    r->at++;
    if (tag < 0x80 || tag >= 0xE0) {
        leaf->kind = RM_LEAF_INTEGER;
        leaf->integer = tag < 0x80 ? tag : tag - 0x100; /* 5 bits with a sign */
    } else if (tag == 0xC0) {
        leaf->kind = RM_LEAF_NULL;
    } else if (tag == 0xC2 || tag == 0xC3) {
        leaf->kind = RM_LEAF_BOOL;
        leaf->integer = tag == 0xC3;
    } else if (tag == 0xCA || tag == 0xCB) {
        return read_real(r, tag == 0xCA ? 4 : 8, leaf);
    } else if (tag >= 0xCC && tag <= 0xD3) {
        return read_integer(r, 1u << (tag & 3), tag >= 0xD0, leaf);
    }
    return true;
}

bool rmi_value_find(const void *data, size_t bytes, const char *path, rm_leaf *ret_leaf)
{
    const uint8_t *begin = data;
    reader r = {begin, begin ? begin + bytes : begin};
    rm_leaf leaf = {0};
    while (*path) {
        size_t length = strcspn(path, ".");
        if (!enter(&r, path, length)) {
            return false;
        }
        path += length + (path[length] == '.');
    }
    if (!read_leaf(&r, &leaf)) {
        return false;
    }
    *ret_leaf = leaf;
    return true;
}
