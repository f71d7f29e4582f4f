/* Values: JSON text ⇄ msgpack. jansson reads the one, msgpack-c the other. */
#include <jansson.h>
#include <math.h>
#include <msgpack.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <remotemedia/value.h>

#include "base/alloc.h"
#include "media/claim.h"

enum { DEPTH_MAX = 30 }; /* msgpack-c's own stack holds 32 */
#define VALUE_BYTES_MAX ((size_t)64 << 20)

/* ---- a growing text */

typedef struct text {
    char *data;
    size_t length, capacity;
    rm_status status; /* the first failure */
} text;

static void append(text *t, const void *data, size_t bytes)
{
    if (t->status != RM_OK) {
        return;
    }
    if (t->length + bytes + 1 > t->capacity) {
        size_t capacity = 2 * (t->length + bytes + 1) + 64;
        char *grown = capacity > 8 * VALUE_BYTES_MAX ? NULL : rmi_realloc(t->data, capacity);
        if (!grown) {
            t->status = RM_ENOMEM;
            return;
        }
        t->data = grown;
        t->capacity = capacity;
    }
    memcpy(t->data + t->length, data, bytes);
    t->length += bytes;
    t->data[t->length] = '\0';
}

static void append_text(text *t, const char *string)
{
    append(t, string, strlen(string));
}

/* ---- base64, RFC 4648 section 4 */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void append_base64(text *t, const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 3) {
        size_t n = bytes - i < 3 ? bytes - i : 3;
        uint32_t group = (uint32_t)data[i] << 16 | (n > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                         (n > 2 ? data[i + 2] : 0);
        char digits[4] = {base64_digits[group >> 18], base64_digits[group >> 12 & 63],
                          n > 1 ? base64_digits[group >> 6 & 63] : '=',
                          n > 2 ? base64_digits[group & 63] : '='};
        append(t, digits, sizeof digits);
    }
}

/* Decodes into `data`, which holds 3/4 of the length. */
static bool decode_base64(const char *digits, size_t length, uint8_t *data, size_t *ret_bytes)
{
    size_t bytes = 0;
    if (length % 4 != 0) {
        return false;
    }
    for (size_t i = 0; i < length; i += 4) {
        uint32_t group = 0;
        size_t padding = 0;
        for (size_t k = 0; k < 4; k++) {
            char c = digits[i + k];
            const char *at = c ? strchr(base64_digits, c) : NULL;
            bool is_padding = c == '=' && i + 4 == length && k >= 2;
            if ((!at && !is_padding) || (at && padding)) {
                return false;
            }
            padding += is_padding;
            group = group << 6 | (at ? (uint32_t)(at - base64_digits) : 0);
        }
        for (size_t k = 0; k < 3 - padding; k++) {
            data[bytes++] = (uint8_t)(group >> (16 - 8 * k));
        }
    }
    *ret_bytes = bytes;
    return true;
}

/* ---- JSON to msgpack */

typedef struct packing {
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    rm_error *err;
} packing;

static rm_status pack(packing *p, json_t *json, unsigned depth);

static rm_status packed(packing *p, int result)
{
    return result == 0 ? RM_OK : rm_fail(p->err, RM_ENOMEM, "no memory for a value");
}

static rm_status pack_text(packing *p, const char *string, size_t length)
{
    return packed(p, msgpack_pack_str_with_body(&p->packer, string, length));
}

static rm_status pack_array(packing *p, json_t *array, unsigned depth)
{
    rm_status status = packed(p, msgpack_pack_array(&p->packer, json_array_size(array)));
    for (size_t i = 0; status == RM_OK && i < json_array_size(array); i++) {
        status = pack(p, json_array_get(array, i), depth + 1);
    }
    return status;
}

/* A tuple or set: the array's own msgpack inside an extension. */
static rm_status pack_sequence(packing *p, json_t *array, int type, unsigned depth)
{
    packing inner = {.err = p->err};
    msgpack_sbuffer_init(&inner.buffer);
    msgpack_packer_init(&inner.packer, &inner.buffer, msgpack_sbuffer_write);
    rm_status status = pack_array(&inner, array, depth);
    if (status == RM_OK) {
        status = packed(p, msgpack_pack_ext_with_body(&p->packer, inner.buffer.data,
                                                      inner.buffer.size, (int8_t)type));
    }
    msgpack_sbuffer_destroy(&inner.buffer);
    return status;
}

static rm_status pack_bytes(packing *p, json_t *digits, int ext_type)
{
    size_t length = json_string_length(digits), bytes = 0;
    RMI_AUTO_MEMORY uint8_t *data = rmi_calloc(length / 4 * 3 + 1, 1);
    if (!data) {
        return rm_fail(p->err, RM_ENOMEM, "no memory for a value of %zu bytes", length);
    }
    if (!decode_base64(json_string_value(digits), length, data, &bytes)) {
        return rm_fail(p->err, RM_EINVAL, "$bytes is not base64: '%.40s'",
                       json_string_value(digits));
    }
    if (ext_type < 0) {
        return packed(p, msgpack_pack_bin_with_body(&p->packer, data, bytes));
    }
    return packed(p, msgpack_pack_ext_with_body(&p->packer, data, bytes, (int8_t)ext_type));
}

static rm_status pack_float(packing *p, const char *name)
{
    static const struct {
        const char *name;
        double value;
    } rows[] = {{"nan", NAN}, {"inf", INFINITY}, {"-inf", -INFINITY}};
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return packed(p, msgpack_pack_double(&p->packer, rows[i].value));
        }
    }
    return rm_fail(p->err, RM_EINVAL, "$float is '%.40s', want nan, inf or -inf", name);
}

static rm_status pack_int(packing *p, const char *digits)
{
    size_t sign = digits[0] == '-', length = strlen(digits);
    if (length == sign || strspn(digits + sign, "0123456789") != length - sign) {
        return rm_fail(p->err, RM_EINVAL, "$int is '%.40s', want decimal digits", digits);
    }
    return packed(p, msgpack_pack_ext_with_body(&p->packer, digits, length, RMI_EXT_INT));
}

static rm_status pack_pairs(packing *p, json_t *pairs, unsigned depth)
{
    rm_status status = packed(p, msgpack_pack_map(&p->packer, json_array_size(pairs)));
    for (size_t i = 0; status == RM_OK && i < json_array_size(pairs); i++) {
        json_t *pair = json_array_get(pairs, i);
        if (json_array_size(pair) != 2) {
            return rm_fail(p->err, RM_EINVAL, "$map: entry %zu is not [key, value]", i);
        }
        status = pack(p, json_array_get(pair, 0), depth + 1);
        if (status == RM_OK) {
            status = pack(p, json_array_get(pair, 1), depth + 1);
        }
    }
    return status;
}

/* {"$name": payload}: what JSON has no form for. */
static rm_status pack_text_form(packing *p, const char *name, json_t *payload, bool *ret_known)
{
    const char *string = json_string_value(payload);
    *ret_known = true;
    if (strcmp(name, "$bytes") == 0) {
        return pack_bytes(p, payload, -1);
    }
    if (strcmp(name, "$float") == 0) {
        return pack_float(p, string);
    }
    if (strcmp(name, "$int") == 0) {
        return pack_int(p, string);
    }
    if (strcmp(name, "$datetime") == 0) {
        return packed(p, msgpack_pack_ext_with_body(&p->packer, string, json_string_length(payload),
                                                    RMI_EXT_DATETIME));
    }
    *ret_known = false;
    return RM_OK;
}

static rm_status pack_list_form(packing *p, const char *name, json_t *payload, unsigned depth,
                                bool *ret_known)
{
    static const struct {
        const char *name;
        int8_t extension;
    } sequences[] = {
        {"$tuple", RMI_EXT_TUPLE}, {"$set", RMI_EXT_SET}, {"$ndarray", RMI_EXT_NDARRAY}};
    *ret_known = true;
    for (size_t i = 0; i < RMI_COUNT(sequences); i++) {
        if (strcmp(name, sequences[i].name) == 0) {
            return pack_sequence(p, payload, sequences[i].extension, depth);
        }
    }
    if (strcmp(name, "$map") == 0) {
        return pack_pairs(p, payload, depth);
    }
    json_t *type = json_array_get(payload, 0), *body = json_array_get(payload, 1);
    if (strcmp(name, "$ext") == 0 && json_is_integer(type) && json_is_string(body) &&
        json_integer_value(type) >= 0 && json_integer_value(type) <= 127) {
        return pack_bytes(p, body, (int)json_integer_value(type));
    }
    *ret_known = false;
    return RM_OK;
}

static rm_status pack_special(packing *p, const char *name, json_t *payload, unsigned depth)
{
    bool known = false;
    rm_status status = RM_OK;
    if (json_is_string(payload)) {
        status = pack_text_form(p, name, payload, &known);
    } else if (json_is_array(payload)) {
        status = pack_list_form(p, name, payload, depth, &known);
    }
    if (!known) {
        return rm_fail(p->err, RM_EINVAL, "'%.40s' is not one of the $-forms of a value", name);
    }
    return status;
}

static rm_status pack_object(packing *p, json_t *object, unsigned depth)
{
    const char *key;
    json_t *value;
    if (json_object_size(object) == 1) {
        key = json_object_iter_key(json_object_iter(object));
        if (key[0] == '$' && key[1] != '$') {
            return pack_special(p, key, json_object_get(object, key), depth);
        }
    }
    rm_status status = packed(p, msgpack_pack_map(&p->packer, json_object_size(object)));
    json_object_foreach(object, key, value)
    {
        size_t escaped = key[0] == '$' && key[1] == '$';
        if (status == RM_OK) {
            status = pack_text(p, key + escaped, strlen(key + escaped));
        }
        if (status == RM_OK) {
            status = pack(p, value, depth + 1);
        }
    }
    return status;
}

static rm_status pack(packing *p, json_t *json, unsigned depth)
{
    if (depth > DEPTH_MAX) {
        return rm_fail(p->err, RM_ELIMIT, "a value is more than %d levels deep", DEPTH_MAX);
    }
    switch (json_typeof(json)) {
    case JSON_NULL: return packed(p, msgpack_pack_nil(&p->packer));
    case JSON_TRUE: return packed(p, msgpack_pack_true(&p->packer));
    case JSON_FALSE: return packed(p, msgpack_pack_false(&p->packer));
    case JSON_INTEGER: return packed(p, msgpack_pack_int64(&p->packer, json_integer_value(json)));
    case JSON_REAL: return packed(p, msgpack_pack_double(&p->packer, json_real_value(json)));
    case JSON_STRING: return pack_text(p, json_string_value(json), json_string_length(json));
    case JSON_ARRAY: return pack_array(p, json, depth);
    case JSON_OBJECT: return pack_object(p, json, depth);
    }
    return RM_EINVAL;
}

rm_status rm_value_from_json(const char *json, size_t json_bytes, void **ret_data,
                             size_t *ret_bytes, rm_error *err)
{
    if (json_bytes > VALUE_BYTES_MAX) {
        return rm_fail(err, RM_ELIMIT, "a value of %zu bytes, want at most 64 MiB", json_bytes);
    }
    json_error_t where;
    json_t *tree = json_loadb(json, json_bytes,
                              JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    if (!tree) {
        return rm_fail_as(err, RM_CODE_MANIFEST_SYNTAX, "line %d, column %d: %s", where.line,
                          where.column, where.text);
    }
    packing p = {.err = err};
    msgpack_sbuffer_init(&p.buffer);
    msgpack_packer_init(&p.packer, &p.buffer, msgpack_sbuffer_write);
    rm_status status = pack(&p, tree, 0);
    json_decref(tree);
    void *data = status == RM_OK ? rmi_calloc(p.buffer.size, 1) : NULL;
    if (data) {
        memcpy(data, p.buffer.data, p.buffer.size);
        *ret_data = data;
        *ret_bytes = p.buffer.size;
    } else if (status == RM_OK) {
        status = rm_fail(err, RM_ENOMEM, "no memory for a value");
    }
    msgpack_sbuffer_destroy(&p.buffer);
    return status;
}

/* ---- msgpack to JSON */

static void print(text *t, const msgpack_object *object, unsigned depth);
static void print_packed(text *t, const char *data, size_t bytes, unsigned depth);

/* Length of the UTF-8 sequence at s (RFC 3629), 0 where there is none. */
static size_t utf8_length(const uint8_t *s, size_t left)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (n == 0 || n > left || s[0] > 0xF4) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    switch (s[0]) {
    case 0xE0: return s[1] >= 0xA0 ? n : 0; /* shorter forms exist */
    case 0xED: return s[1] < 0xA0 ? n : 0;  /* surrogates */
    case 0xF0: return s[1] >= 0x90 ? n : 0;
    case 0xF4: return s[1] < 0x90 ? n : 0; /* beyond U+10FFFF */
    default: return n;
    }
}

static void print_string(text *t, const char *prefix, const char *string, size_t bytes)
{
    const uint8_t *s = (const uint8_t *)string;
    append_text(t, "\"");
    append_text(t, prefix);
    for (size_t i = 0; i < bytes;) {
        size_t n = utf8_length(s + i, bytes - i);
        if (n == 0) {
            t->status = t->status == RM_OK ? RM_EINVAL : t->status;
            return;
        }
        if (s[i] == '"' || s[i] == '\\') {
            append(t, (char[]){'\\', (char)s[i]}, 2);
        } else if (s[i] < 0x20 || s[i] == 0x7F) {
            char escape[8];
            snprintf(escape, sizeof escape, "\\u%04x", s[i]);
            append_text(t, escape);
        } else {
            append(t, s + i, n);
        }
        i += n;
    }
    append_text(t, "\"");
}

/* The shortest decimal that reads back as the same number. */
static void print_double(text *t, double value)
{
    char digits[40];
    if (!isfinite(value)) {
        append_text(t, isnan(value) ? "{\"$float\":\"nan\"}"
                       : value > 0  ? "{\"$float\":\"inf\"}"
                                    : "{\"$float\":\"-inf\"}");
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value) {
            break;
        }
    }
    bool is_real = false;
    for (char *c = digits; *c; c++) {
        bool is_digit = *c >= '0' && *c <= '9';
        if (!is_digit && *c != '-' && *c != '+' && *c != 'e') {
            *c = '.'; /* whatever the locale's decimal point is */
        }
        is_real |= !is_digit && *c != '-';
    }
    append_text(t, digits);
    append_text(t, is_real ? "" : ".0");
}

static void print_array(text *t, const msgpack_object_array *array, unsigned depth)
{
    append_text(t, "[");
    for (uint32_t i = 0; i < array->size; i++) {
        append_text(t, i ? "," : "");
        print(t, &array->ptr[i], depth + 1);
    }
    append_text(t, "]");
}

static void print_map(text *t, const msgpack_object_map *map, unsigned depth)
{
    bool all_text = true;
    for (uint32_t i = 0; i < map->size; i++) {
        all_text &= map->ptr[i].key.type == MSGPACK_OBJECT_STR;
    }
    append_text(t, all_text ? "{" : "{\"$map\":[");
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object_kv *pair = &map->ptr[i];
        append_text(t, i ? "," : "");
        if (all_text) {
            const msgpack_object_str *key = &pair->key.via.str;
            print_string(t, key->size > 0 && key->ptr[0] == '$' ? "$" : "", key->ptr, key->size);
            append_text(t, ":");
            print(t, &pair->val, depth + 1);
        } else {
            append_text(t, "[");
            print(t, &pair->key, depth + 1);
            append_text(t, ",");
            print(t, &pair->val, depth + 1);
            append_text(t, "]");
        }
    }
    append_text(t, all_text ? "}" : "]}");
}

static void print_ext(text *t, const msgpack_object_ext *ext, unsigned depth)
{
    char type[16];
    switch (ext->type) {
    case RMI_EXT_INT:
    case RMI_EXT_DATETIME:
        append_text(t, ext->type == RMI_EXT_INT ? "{\"$int\":" : "{\"$datetime\":");
        print_string(t, "", ext->ptr, ext->size);
        append_text(t, "}");
        return;
    case RMI_EXT_TUPLE:
    case RMI_EXT_SET:
    case RMI_EXT_NDARRAY:
        append_text(t, ext->type == RMI_EXT_TUPLE ? "{\"$tuple\":"
                       : ext->type == RMI_EXT_SET ? "{\"$set\":"
                                                  : "{\"$ndarray\":");
        print_packed(t, ext->ptr, ext->size, depth);
        append_text(t, "}");
        return;
    default:
        snprintf(type, sizeof type, "%d", ext->type);
        append_text(t, "{\"$ext\":[");
        append_text(t, type);
        append_text(t, ",\"");
        append_base64(t, (const uint8_t *)ext->ptr, ext->size);
        append_text(t, "\"]}");
    }
}

static void print(text *t, const msgpack_object *object, unsigned depth)
{
    char digits[24];
    if (depth > DEPTH_MAX) {
        t->status = t->status == RM_OK ? RM_ELIMIT : t->status;
    }
    if (t->status != RM_OK) {
        return;
    }
    switch (object->type) {
    case MSGPACK_OBJECT_NIL: append_text(t, "null"); break;
    case MSGPACK_OBJECT_BOOLEAN: append_text(t, object->via.boolean ? "true" : "false"); break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)object->via.u64);
        append_text(t, digits);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        snprintf(digits, sizeof digits, "%lld", (long long)object->via.i64);
        append_text(t, digits);
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64: print_double(t, object->via.f64); break;
    case MSGPACK_OBJECT_STR: print_string(t, "", object->via.str.ptr, object->via.str.size); break;
    case MSGPACK_OBJECT_BIN:
        append_text(t, "{\"$bytes\":\"");
        append_base64(t, (const uint8_t *)object->via.bin.ptr, object->via.bin.size);
        append_text(t, "\"}");
        break;
    case MSGPACK_OBJECT_ARRAY: print_array(t, &object->via.array, depth); break;
    case MSGPACK_OBJECT_MAP: print_map(t, &object->via.map, depth); break;
    case MSGPACK_OBJECT_EXT: print_ext(t, &object->via.ext, depth); break;
    }
}

/* msgpack-c reserves what an array's header claims. So that a few bytes cannot claim gigabytes, the
 * headers are walked first: every element needs a byte of its own. */
static bool claims_hold(const uint8_t *data, size_t bytes)
{
    size_t at = 0;
    uint64_t wanted = 1; /* values still to come */
    while (at < bytes && wanted > 0) {
        rmi_claim c = rmi_claim_of(data[at++]);
        uint64_t length = 0;
        if (c.width > bytes - at) {
            return false;
        }
        for (unsigned i = 0; i < c.width; i++) {
            length = length << 8 | data[at++];
        }
        c.values += c.each * length;
        c.skip += c.each ? 0 : length;
        wanted += c.values - 1;
        if (c.skip > bytes - at || wanted > bytes - at - c.skip) {
            return false;
        }
        at += c.skip;
    }
    return wanted == 0 && at == bytes;
}

static void print_packed(text *t, const char *data, size_t bytes, unsigned depth)
{
    if (t->status != RM_OK) {
        return;
    }
    msgpack_unpacked unpacked;
    size_t offset = 0;
    msgpack_unpacked_init(&unpacked);
    if (!claims_hold((const uint8_t *)data, bytes)) {
        t->status = RM_EINVAL;
    } else if (msgpack_unpack_next(&unpacked, data, bytes, &offset) != MSGPACK_UNPACK_SUCCESS) {
        t->status = RM_EINVAL;
    } else {
        print(t, &unpacked.data, depth);
    }
    msgpack_unpacked_destroy(&unpacked);
}

rm_status rm_value_to_json(const void *data, size_t bytes, char **ret_json, rm_error *err)
{
    text t = {.status = bytes > VALUE_BYTES_MAX ? RM_ELIMIT : RM_OK};
    append(&t, "", 0);
    print_packed(&t, data, bytes, 0);
    if (t.status == RM_OK) {
        *ret_json = t.data;
        return RM_OK;
    }
    rmi_free(t.data);
    switch ((int)t.status) {
    case RM_ENOMEM: return rm_fail(err, RM_ENOMEM, "no memory for a value as JSON");
    case RM_ELIMIT:
        return rm_fail(err, RM_ELIMIT, "a value is over 64 MiB, or more than %d levels deep",
                       DEPTH_MAX);
    default:
        return rm_fail(err, RM_EINVAL, "%zu bytes are not one whole msgpack value with UTF-8 text",
                       bytes);
    }
}
