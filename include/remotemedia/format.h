/* format.h — what a port accepts or gives: a list of alternatives, in order of preference.
 *
 * Written and printed as text, so that a port, a manifest and an error message all say it alike:
 *
 *     audio rate_hz=16000,8000 channels=1 sample_format=f32 planar=0 | audio sample_format=s16
 *
 *   alternatives  separated by '|', the preferred one first
 *   kind          any audio video tensor text bytes value object encoded
 *   field         name=value, name=value,value,… (a set, preferred first) or name=low..high; a
 * field that is not named may be anything audio         rate_hz channels sample_format planar video
 * fourcc width height          (fourcc by name: I420 NV12 RGB3 RGBA GREY) tensor        dtype ndim
 *   encoded       codec rate_hz channels width height
 */
#ifndef REMOTEMEDIA_FORMAT_H
#define REMOTEMEDIA_FORMAT_H

#include "packet.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RM_FIELD_COUNT = 5, RM_FIELD_VALUES_MAX = 8, RM_FORMAT_ALTERNATIVES_MAX = 8 };

typedef enum rm_field_mode { RM_FIELD_ANY = 0, RM_FIELD_SET, RM_FIELD_RANGE } rm_field_mode;

/* A set holds `count` values; a range value[0] ≤ x ≤ value[1]. A set of one is fixed. */
typedef struct rm_field {
    uint8_t mode; /* rm_field_mode */
    uint8_t count;
    int64_t value[RM_FIELD_VALUES_MAX];
} rm_field;

/* One alternative. fields stand in the order of the table above. */
typedef struct rm_format {
    uint8_t kind; /* rm_kind; RM_KIND_ANY: anything at all */
    rm_field field[RM_FIELD_COUNT];
} rm_format;

typedef struct rm_formats {
    uint32_t count; /* 0: anything at all */
    rm_format alternative[RM_FORMAT_ALTERNATIVES_MAX];
} rm_formats;

/* Parses the text form. NULL or "" gives "any". Fails with RM_EINVAL, naming the word that is
 * wrong. Thread: any; no allocation. */
RM_API RM_MUST_USE rm_status rm_formats_parse(const char *text, rm_formats *ret_formats,
                                              rm_error *err);

/* Writes the text form, always with NUL, cut where `size` ends. Returns the whole length. */
RM_API size_t rm_formats_print(const rm_formats *formats, char *buffer, size_t size);
RM_API size_t rm_format_print(const rm_format *format, char *buffer, size_t size);

/* The name of a field of a kind ("rate_hz"), or NULL past the last one. */
RM_API const char *rm_format_field_name(uint8_t kind, uint32_t index);

/* The common part of two alternatives, in a's order of preference. Returns RM_OK; or RM_EINVAL,
 * with *ret_field the first field that has none (RM_FIELD_COUNT: the kind). Both outputs may be
 * NULL. Thread: any; no allocation. */
RM_API rm_status rm_format_meet(const rm_format *a, const rm_format *b, rm_format *ret_common,
                                uint32_t *ret_field);

/* Each set or range becomes its first (lowest) value; what is "any" stays so. */
RM_API void rm_format_fix(rm_format *format);

/* True where a packet of this kind and format line fits the alternative. Thread: data. */
RM_API int rm_format_accepts(const rm_format *format, uint8_t kind, const rm_format_line *line);

/* The format line of a fixed format; a field that is "any" is zero. */
RM_API void rm_format_to_line(const rm_format *format, rm_format_line *ret_line);

/* The fixed format of a packet, for messages. */
RM_API void rm_format_from_line(uint8_t kind, const rm_format_line *line, rm_format *ret_format);

#ifdef __cplusplus
}
#endif
#endif
