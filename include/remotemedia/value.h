/* value.h — the payload of value packets: one msgpack value, and its way from and to JSON.
 *
 * Extension types: 1 integer beyond 64 bits (decimal text), 2 tuple, 3 set, 4 datetime (ISO 8601
 * text). JSON forms of what JSON lacks use the manifest's keys: {"$bytes": base64}, {"$float":
 * "nan"}, {"$tuple": […]}, {"$set": […]}, {"$int": "…"}.
 *
 * Bounds: 64 levels deep; the text or the value at most 64 MiB.
 */
#ifndef REMOTEMEDIA_VALUE_H
#define REMOTEMEDIA_VALUE_H

#include <stddef.h>

#include "error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* JSON text to msgpack; the caller frees *ret_data by rm_free(). E0101 for text that is not JSON. */
RM_API RM_MUST_USE rm_status rm_value_from_json(const char *json, size_t json_bytes, void **ret_data,
                                                size_t *ret_bytes, rm_error *err);

/* msgpack to one line of JSON text with NUL; the caller frees *ret_json by rm_free(). RM_EINVAL for
 * bytes that are not one whole msgpack value. */
RM_API RM_MUST_USE rm_status rm_value_to_json(const void *data, size_t bytes, char **ret_json,
                                              rm_error *err);

#ifdef __cplusplus
}
#endif
#endif
