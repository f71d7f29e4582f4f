#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <remotemedia/format.h>

#include "base/cleanup.h"

/* Where a field of a kind lies in the format line: `bytes` at `offset`; 0: not there. */
typedef struct field_row {
    const char *name;
    uint8_t offset, bytes;
} field_row;

#define LINE_FIELD(kind, member)                                                                   \
    {                                                                                              \
#member, offsetof(rm_format_line, kind.member), sizeof(((rm_format_line *)0)->kind.member) \
    }

static const field_row field_rows[][RM_FIELD_COUNT] = {
    [RM_KIND_AUDIO] = {LINE_FIELD(audio, rate_hz), LINE_FIELD(audio, channels),
                       LINE_FIELD(audio, sample_format), LINE_FIELD(audio, planar)},
    [RM_KIND_VIDEO] = {LINE_FIELD(video, fourcc), LINE_FIELD(video, width),
                       LINE_FIELD(video, height)},
    [RM_KIND_TENSOR] = {LINE_FIELD(tensor, dtype), LINE_FIELD(tensor, ndim)},
    [RM_KIND_ENCODED] = {LINE_FIELD(encoded, codec), LINE_FIELD(encoded, rate_hz),
                         LINE_FIELD(encoded, channels), LINE_FIELD(encoded, width),
                         LINE_FIELD(encoded, height)},
    [RM_KIND_CONTROL] = {{NULL, 0, 0}},
};

static const field_row *field_row_of(uint8_t kind, uint32_t index)
{
    if (kind >= RMI_COUNT(field_rows) || index >= RM_FIELD_COUNT || !field_rows[kind][index].name) {
        return NULL;
    }
    return &field_rows[kind][index];
}

const char *rm_format_field_name(uint8_t kind, uint32_t index)
{
    const field_row *row = field_row_of(kind, index);
    return row ? row->name : NULL;
}

/* ---- values by name */

typedef const char *(*name_fn)(uint8_t value);

static name_fn names_of(const char *field, uint8_t *ret_last)
{
    if (strcmp(field, "sample_format") == 0) {
        *ret_last = RM_SAMPLE_F64;
        return rm_sample_format_name;
    }
    if (strcmp(field, "dtype") == 0) {
        *ret_last = RM_DTYPE_C128;
        return rm_dtype_name;
    }
    return NULL;
}

static bool is_fourcc(const char *field)
{
    return strcmp(field, "fourcc") == 0 || strcmp(field, "codec") == 0;
}

static bool parse_number(const char *text, size_t length, int64_t *ret_value)
{
    int64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9' || value > UINT32_MAX) {
            return false;
        }
        value = value * 10 + (text[i] - '0');
    }
    *ret_value = value;
    return length > 0 && value <= UINT32_MAX;
}

static bool parse_value(const char *field, const char *text, size_t length, int64_t *ret_value)
{
    if (is_fourcc(field)) {
        if (length != 4) {
            return false;
        }
        *ret_value =
            RM_FOURCC((uint8_t)text[0], (uint8_t)text[1], (uint8_t)text[2], (uint8_t)text[3]);
        return true;
    }
    uint8_t last = 0;
    name_fn name = names_of(field, &last);
    for (uint8_t v = 1; name && v <= last; v++) {
        if (strlen(name(v)) == length && memcmp(name(v), text, length) == 0) {
            *ret_value = v;
            return true;
        }
    }
    return !name && parse_number(text, length, ret_value);
}

/* ---- parsing */

typedef struct words {
    const char *at;
    rm_error *err;
} words;

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

/* The next word: up to a space or '|', which is a word of its own. Empty at the end. */
static size_t next_word(words *w, const char **ret_word)
{
    while (is_space(*w->at)) {
        w->at++;
    }
    *ret_word = w->at;
    if (*w->at == '|') {
        w->at++;
        return 1;
    }
    while (*w->at && !is_space(*w->at) && *w->at != '|') {
        w->at++;
    }
    return (size_t)(w->at - *ret_word);
}

static rm_status wrong(words *w, const char *what, const char *word, size_t length)
{
    return rm_fail(w->err, RM_EINVAL, "format: '%.*s' is not %s", (int)length, word, what);
}

static rm_status parse_values(words *w, const char *name, rm_field *field, const char *text,
                              size_t length)
{
    const char *dots = memmem(text, length, "..", 2);
    if (dots) {
        size_t low = (size_t)(dots - text), high = length - low - 2;
        if (names_of(name, &(uint8_t){0}) || is_fourcc(name) ||
            !parse_number(text, low, &field->value[0]) ||
            !parse_number(dots + 2, high, &field->value[1]) || field->value[0] > field->value[1]) {
            return wrong(w, "a range low..high", text, length);
        }
        field->mode = RM_FIELD_RANGE;
        return RM_OK;
    }
    field->mode = RM_FIELD_SET;
    const char *end = text + length;
    while (text <= end) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        size_t part = (size_t)((comma ? comma : end) - text);
        if (field->count == RM_FIELD_VALUES_MAX) {
            return wrong(w, "within the 8 values that a set may have", text, part);
        }
        if (!parse_value(name, text, part, &field->value[field->count])) {
            return rm_fail(w->err, RM_EINVAL, "format: '%.*s' is not a value of %s", (int)part,
                           text, name);
        }
        field->count++;
        text += part + 1;
    }
    return RM_OK;
}

static rm_status parse_field(words *w, rm_format *format, const char *word, size_t length)
{
    const char *equals = memchr(word, '=', length);
    size_t name_length = equals ? (size_t)(equals - word) : length;
    for (uint32_t i = 0; equals && rm_format_field_name(format->kind, i); i++) {
        const char *name = rm_format_field_name(format->kind, i);
        if (strlen(name) == name_length && memcmp(name, word, name_length) == 0) {
            if (format->field[i].mode != RM_FIELD_ANY) {
                return wrong(w, "named once", word, length);
            }
            return parse_values(w, name, &format->field[i], equals + 1, length - name_length - 1);
        }
    }
    return rm_fail(w->err, RM_EINVAL, "format: '%.*s' is not a field of kind %s", (int)length, word,
                   rm_kind_name(format->kind));
}

static rm_status parse_kind(words *w, rm_format *format, const char *word, size_t length)
{
    for (uint8_t kind = RM_KIND_ANY; kind < RM_KIND_CONTROL; kind++) {
        const char *name = rm_kind_name(kind);
        if (strlen(name) == length && memcmp(name, word, length) == 0) {
            format->kind = kind;
            return RM_OK;
        }
    }
    return wrong(w, "a kind of packet", word, length);
}

/* One alternative, up to '|' or the end; *ret_more tells which. */
static rm_status parse_alternative(words *w, rm_format *format, bool *ret_more)
{
    const char *word;
    size_t length = next_word(w, &word);
    rm_status status = parse_kind(w, format, word, length);
    while (status == RM_OK && (length = next_word(w, &word)) > 0) {
        if (*word == '|') {
            *ret_more = true;
            return RM_OK;
        }
        status = parse_field(w, format, word, length);
    }
    *ret_more = false;
    return status;
}

rm_status rm_formats_parse(const char *text, rm_formats *ret_formats, rm_error *err)
{
    rm_formats formats = {0};
    words w = {text ? text : "", err};
    const char *word;
    words peek = w;
    bool more = next_word(&peek, &word) > 0;
    while (more) {
        if (formats.count == RM_FORMAT_ALTERNATIVES_MAX) {
            return rm_fail(err, RM_EINVAL, "format: more than %d alternatives",
                           RM_FORMAT_ALTERNATIVES_MAX);
        }
        rm_status status = parse_alternative(&w, &formats.alternative[formats.count++], &more);
        if (status != RM_OK) {
            return status;
        }
    }
    *ret_formats = formats;
    return RM_OK;
}

/* ---- printing */

typedef struct printer {
    char *at;
    size_t room; /* with the NUL */
    size_t length;
} printer;

static void print(printer *p, const char *text)
{
    size_t bytes = strlen(text);
    p->length += bytes;
    if (p->room > 1) {
        size_t part = bytes < p->room - 1 ? bytes : p->room - 1;
        memcpy(p->at, text, part);
        p->at += part;
        p->room -= part;
    }
    if (p->room) {
        *p->at = '\0';
    }
}

static void print_value(printer *p, const char *field, int64_t value)
{
    char text[24];
    uint8_t last = 0;
    name_fn name = names_of(field, &last);
    if (is_fourcc(field)) {
        for (unsigned i = 0; i < 4; i++) {
            uint8_t c = (uint8_t)(value >> 8 * i);
            text[i] = c >= 0x21 && c < 0x7F ? (char)c : '?';
        }
        text[4] = '\0';
    } else if (name) {
        snprintf(text, sizeof text, "%s", name((uint8_t)value));
    } else {
        snprintf(text, sizeof text, "%lld", (long long)value);
    }
    print(p, text);
}

static void print_format(printer *p, const rm_format *format)
{
    print(p, rm_kind_name(format->kind));
    for (uint32_t i = 0; rm_format_field_name(format->kind, i); i++) {
        const char *name = rm_format_field_name(format->kind, i);
        const rm_field *field = &format->field[i];
        if (field->mode == RM_FIELD_ANY) {
            continue;
        }
        print(p, " ");
        print(p, name);
        print(p, "=");
        if (field->mode == RM_FIELD_RANGE) {
            print_value(p, name, field->value[0]);
            print(p, "..");
            print_value(p, name, field->value[1]);
        }
        for (uint8_t v = 0; field->mode == RM_FIELD_SET && v < field->count; v++) {
            print(p, v ? "," : "");
            print_value(p, name, field->value[v]);
        }
    }
}

size_t rm_format_print(const rm_format *format, char *buffer, size_t size)
{
    printer p = {buffer, size, 0};
    print(&p, "");
    print_format(&p, format);
    return p.length;
}

size_t rm_formats_print(const rm_formats *formats, char *buffer, size_t size)
{
    printer p = {buffer, size, 0};
    print(&p, formats->count ? "" : "any");
    for (uint32_t i = 0; i < formats->count; i++) {
        print(&p, i ? " | " : "");
        print_format(&p, &formats->alternative[i]);
    }
    return p.length;
}

/* ---- meeting */

static bool field_has(const rm_field *field, int64_t value)
{
    if (field->mode == RM_FIELD_ANY) {
        return true;
    }
    if (field->mode == RM_FIELD_RANGE) {
        return value >= field->value[0] && value <= field->value[1];
    }
    for (uint8_t i = 0; i < field->count; i++) {
        if (field->value[i] == value) {
            return true;
        }
    }
    return false;
}

static bool field_meet(const rm_field *a, const rm_field *b, rm_field *ret_common)
{
    rm_field common = {0};
    if (a->mode == RM_FIELD_ANY || b->mode == RM_FIELD_ANY) {
        *ret_common = a->mode == RM_FIELD_ANY ? *b : *a;
        return true;
    }
    if (a->mode == RM_FIELD_RANGE && b->mode == RM_FIELD_RANGE) {
        common.mode = RM_FIELD_RANGE;
        common.value[0] = a->value[0] > b->value[0] ? a->value[0] : b->value[0];
        common.value[1] = a->value[1] < b->value[1] ? a->value[1] : b->value[1];
        *ret_common = common;
        return common.value[0] <= common.value[1];
    }
    const rm_field *set = a->mode == RM_FIELD_SET ? a : b;
    const rm_field *other = set == a ? b : a;
    common.mode = RM_FIELD_SET;
    for (uint8_t i = 0; i < set->count; i++) {
        if (field_has(other, set->value[i])) {
            common.value[common.count++] = set->value[i];
        }
    }
    *ret_common = common;
    return common.count > 0;
}

rm_status rm_format_meet(const rm_format *a, const rm_format *b, rm_format *ret_common,
                         uint32_t *ret_field)
{
    rm_format common = {.kind = a->kind};
    uint32_t field = RM_FIELD_COUNT;
    bool met = true;
    if (a->kind == RM_KIND_ANY || b->kind == RM_KIND_ANY) {
        common = a->kind == RM_KIND_ANY ? *b : *a;
    } else if (a->kind != b->kind) {
        met = false;
    } else {
        for (uint32_t i = 0; met && i < RM_FIELD_COUNT; i++) {
            field = i;
            met = field_meet(&a->field[i], &b->field[i], &common.field[i]);
        }
    }
    if (!met) {
        if (ret_field) {
            *ret_field = field;
        }
        return RM_EINVAL;
    }
    if (ret_common) {
        *ret_common = common;
    }
    return RM_OK;
}

void rm_format_fix(rm_format *format)
{
    for (uint32_t i = 0; i < RM_FIELD_COUNT; i++) {
        if (format->field[i].mode != RM_FIELD_ANY) {
            int64_t first = format->field[i].value[0];
            format->field[i] = (rm_field){.mode = RM_FIELD_SET, .count = 1, .value = {first}};
        }
    }
}

/* ---- packets */

static int64_t line_get(const rm_format_line *line, const field_row *row)
{
    uint32_t value = 0;
    memcpy(&value, line->bytes + row->offset, row->bytes);
    return value;
}

int rm_format_accepts(const rm_format *format, uint8_t kind, const rm_format_line *line)
{
    if (format->kind == RM_KIND_ANY) {
        return 1;
    }
    if (format->kind != kind) {
        return 0;
    }
    for (uint32_t i = 0; i < RM_FIELD_COUNT; i++) {
        const field_row *row = field_row_of(kind, i);
        if (row && !field_has(&format->field[i], line_get(line, row))) {
            return 0;
        }
    }
    return 1;
}

void rm_format_to_line(const rm_format *format, rm_format_line *ret_line)
{
    memset(ret_line, 0, sizeof *ret_line);
    for (uint32_t i = 0; i < RM_FIELD_COUNT; i++) {
        const field_row *row = field_row_of(format->kind, i);
        if (row && format->field[i].mode != RM_FIELD_ANY) {
            uint32_t value = (uint32_t)format->field[i].value[0];
            memcpy(ret_line->bytes + row->offset, &value, row->bytes);
        }
    }
}

void rm_format_from_line(uint8_t kind, const rm_format_line *line, rm_format *ret_format)
{
    *ret_format = (rm_format){.kind = kind};
    for (uint32_t i = 0; i < RM_FIELD_COUNT; i++) {
        const field_row *row = field_row_of(kind, i);
        if (row) {
            ret_format->field[i] =
                (rm_field){.mode = RM_FIELD_SET, .count = 1, .value = {line_get(line, row)}};
        }
    }
}
