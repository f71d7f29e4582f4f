/* value.h — the payload of value packets: one msgpack value, and its way from and to JSON.
 *
 * Extension types: 1 integer beyond 64 bits (decimal text), 2 tuple (a msgpack array), 3 set (a
 * msgpack array), 4 datetime (ISO 8601 text), 5 ndarray (a msgpack array [dtype, [length, …],
 * bytes]: dtype by its name in formats, elements little-endian in C order). JSON forms of what JSON
 * lacks use the manifest's keys:
 *
 *     {"$bytes": "base64"}  {"$float": "nan"|"inf"|"-inf"}  {"$int": "123…"}  {"$tuple": […]}
 *     {"$set": […]}  {"$datetime": "…"}  {"$ndarray": ["f32", [2, 3], {"$bytes": "base64"}]}
 *     {"$map": [[key, value], …]}   a map whose keys are not all text
 *     {"$ext": [type, "base64"]}                                        any other extension type
 *
 * A key that starts with '$' is written with a second one: {"$$x": 1}.
 *
 * Bounds: 30 levels deep; the text or the value at most 64 MiB.
 */
#ifndef REMOTEMEDIA_VALUE_H
#define REMOTEMEDIA_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "memory.h"

#ifdef __cplusplus
extern "C" {
#endif

/* JSON text to msgpack; the caller frees *ret_data by rm_free(). E0101 for text that is not JSON.
 */
RM_API RM_MUST_USE rm_status rm_value_from_json(const char *json, size_t json_bytes,
                                                void **ret_data, size_t *ret_bytes, rm_error *err);

/* msgpack to one line of JSON text with NUL; the caller frees *ret_json by rm_free(). RM_EINVAL for
 * bytes that are not one whole msgpack value. */
RM_API RM_MUST_USE rm_status rm_value_to_json(const void *data, size_t bytes, char **ret_json,
                                              rm_error *err);

/* What stands at one place of a value, as far as it can be compared. */
typedef enum rm_leaf_kind {
    RM_LEAF_OTHER = 0, /* bytes, a list, a map, … */
    RM_LEAF_NULL,
    RM_LEAF_BOOL, /* integer: 0 or 1 */
    RM_LEAF_INTEGER,
    RM_LEAF_REAL,
    RM_LEAF_TEXT
} rm_leaf_kind;

typedef struct rm_leaf {
    rm_leaf_kind kind;
    int64_t integer;
    double real;
    const char *text; /* text_bytes of UTF-8, without NUL */
    size_t text_bytes;
} rm_leaf;

/* Looks into a live object of a packet of kind object: what stands at `path` (names joined by '.';
 * "": the object itself) is shown to `found`, once, during this call. Nothing there: it returns. */
typedef void (*rm_read_object)(void *owner, const char *path,
                               void (*found)(void *context, const rm_leaf *leaf), void *context);

struct rm_blob;
struct rm_packet;
struct rm_error;
/* Appends the form in the value model, as the payload of a packet of kind value, of the live object
 * in this packet. < 0: it has none; the error names its class, and has the code E0603. */
typedef rm_status (*rm_pack_object)(void *context, const struct rm_packet *object,
                                    struct rm_blob *blob, struct rm_error *err);
/* The object of these bytes, which rm_pack_object() gave; release(owner) lets go of it, on any
 * thread.
 */
typedef rm_status (*rm_unpack_object)(void *context, const void *data, size_t bytes,
                                      void **ret_owner, void (**ret_release)(void *owner),
                                      struct rm_error *err);

#ifdef __cplusplus
}
#endif
#endif
