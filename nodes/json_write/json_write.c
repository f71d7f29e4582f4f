/* json.write — each packet as one line of JSON.
 *
 * A line is made whole, then written; what a slow reader has not taken yet stays in `line`, so that
 * a line is never torn, by an interrupt neither.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "../file_place.h"

enum { COME_BACK_NS = 1000000, LINE_BYTES_MIN = 4096 };
#define LINE_BYTES_MAX ((size_t)128 << 20) /* a value's text and what stands around it */

typedef struct json_params {
    const char *path;
    bool envelope;
} json_params;

typedef struct line {
    char *text;
    size_t bytes, capacity;
    bool failed; /* no memory, or too long */
} line;

typedef struct json_writer {
    file_out file;
    line line;
    size_t done;  /* of the line */
    bool current; /* the line is that of the packet that process() has in hand */
} json_writer;

/* ---- the line */

static bool reserve(line *l, size_t more)
{
    if (l->failed || more > LINE_BYTES_MAX - l->bytes) {
        l->failed = true;
        return false;
    }
    if (l->bytes + more <= l->capacity) {
        return true;
    }
    size_t capacity = 2 * (l->bytes + more);
    char *text = rm_alloc(capacity);
    if (!text) {
        l->failed = true;
        return false;
    }
    if (l->bytes) {
        memcpy(text, l->text, l->bytes);
    }
    rm_free(l->text);
    l->text = text;
    l->capacity = capacity;
    return true;
}

static void add(line *l, const char *text, size_t bytes)
{
    if (bytes && reserve(l, bytes)) {
        memcpy(l->text + l->bytes, text, bytes);
        l->bytes += bytes;
    }
}

static void RM_PRINTF(2, 3) addf(line *l, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    add(l, text, bytes < 0 ? 0 : (size_t)bytes);
}

static rm_status add_msgpack(line *l, const void *data, size_t bytes, rm_error *err)
{
    char *json = NULL;
    rm_status status = rm_value_to_json(data, bytes, &json, err);
    if (status == RM_OK) {
        add(l, json, strlen(json));
        rm_free(json);
    }
    return status;
}

/* Text goes the way of values, as a msgpack string, so that there is one set of rules for it. */
static rm_status add_text(line *l, const char *text, size_t bytes, rm_error *err)
{
    if (bytes > UINT32_MAX - 5) {
        return rm_fail(err, RM_ELIMIT, "a text of %zu bytes is too long for a line of JSON", bytes);
    }
    uint8_t *packed = rm_alloc(5 + bytes);
    if (!packed) {
        return rm_fail(err, RM_ENOMEM, "no memory for a text of %zu bytes", bytes);
    }
    packed[0] = 0xdb; /* str 32 */
    for (int i = 0; i < 4; i++) {
        packed[1 + i] = (uint8_t)(bytes >> (24 - 8 * i));
    }
    if (bytes) {
        memcpy(packed + 5, text, bytes);
    }
    rm_status status = add_msgpack(l, packed, 5 + bytes, err);
    rm_free(packed);
    return status;
}

/* ---- packets */

static void add_fourcc(line *l, const char *name, uint32_t code)
{
    addf(l, ",\"%s\":\"", name);
    for (int i = 0; i < 4; i++) {
        int c = (int)(code >> 8 * i & 255);
        addf(l, "%c", c >= ' ' && c < 127 && c != '"' && c != '\\' ? c : '?');
    }
    add(l, "\"", 1);
}

static void add_shape(line *l, const rm_packet_header *h)
{
    addf(l, ",\"dtype\":\"%s\",\"shape\":[", rm_dtype_name(h->format.tensor.dtype));
    for (uint32_t i = 0; i < h->format.tensor.ndim && i < 8; i++) {
        addf(l, "%s%" PRIu32, i ? "," : "", h->instance.tensor.shape[i]);
    }
    add(l, "]", 1);
}

/* What the header says about a payload that is not for reading: ,"name":value… */
static void add_summary(line *l, const rm_packet_header *h)
{
    switch (h->kind) {
    case RM_KIND_AUDIO:
        addf(l, ",\"rate_hz\":%" PRIu32 ",\"channels\":%u,\"sample_format\":\"%s\"",
             h->format.audio.rate_hz, h->format.audio.channels,
             rm_sample_format_name(h->format.audio.sample_format));
        addf(l, ",\"planar\":%s,\"frames\":%" PRIu32, h->format.audio.planar ? "true" : "false",
             h->instance.audio.frames);
        break;
    case RM_KIND_VIDEO:
        add_fourcc(l, "fourcc", h->format.video.fourcc);
        addf(l, ",\"width\":%" PRIu32 ",\"height\":%" PRIu32, h->format.video.width,
             h->format.video.height);
        break;
    case RM_KIND_TENSOR: add_shape(l, h); break;
    case RM_KIND_ENCODED: add_fourcc(l, "codec", h->format.encoded.codec); break;
    default: break;
    }
    addf(l, ",\"payload_bytes\":%" PRIu64, h->payload_bytes);
}

/* ,"flags":["final",…] where there are any. */
static void add_flags(line *l, uint32_t flags)
{
    static const char *const names[] = {"key", "discontinuity", "corrupt", "final", "pts_repaired"};
    const char *before = ",\"flags\":[";
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (flags >> i & 1) {
            addf(l, "%s\"%s\"", before, names[i]);
            before = ",";
        }
    }
    if (before[1] == '\0') {
        add(l, "]", 1);
    }
}

static rm_status add_content(line *l, const rm_packet *packet, rm_error *err)
{
    return packet->header.kind == RM_KIND_TEXT
               ? add_text(l, packet->payload, packet->header.payload_bytes, err)
               : add_msgpack(l, packet->payload, packet->header.payload_bytes, err);
}

static rm_status add_object(line *l, const rm_packet *packet, bool has_content, rm_error *err)
{
    const rm_packet_header *h = &packet->header;
    rm_status status = RM_OK;
    addf(l, "{\"kind\":\"%s\",\"pts_ns\":", rm_kind_name(h->kind));
    if (h->pts_ns == RM_TIME_NONE) {
        add(l, "null", 4);
    } else {
        addf(l, "%" PRId64, h->pts_ns);
    }
    addf(l, ",\"duration_ns\":%" PRId64, h->duration_ns);
    add_flags(l, h->flags);
    if (has_content) {
        addf(l, ",\"%s\":", h->kind == RM_KIND_TEXT ? "text" : "value");
        status = add_content(l, packet, err);
    } else {
        add_summary(l, h);
    }
    if (status == RM_OK && h->metadata_bytes && packet->metadata) {
        addf(l, ",\"metadata\":");
        status = add_msgpack(l, packet->metadata, h->metadata_bytes, err);
    }
    add(l, "}", 1);
    return status;
}

static rm_status make_line(json_writer *w, const rm_packet *packet, bool envelope, rm_error *err)
{
    line *l = &w->line;
    bool has_content = packet->header.kind == RM_KIND_TEXT || packet->header.kind == RM_KIND_VALUE;
    l->bytes = w->done = 0;
    l->failed = false;
    rm_status status = has_content && !envelope ? add_content(l, packet, err)
                                                : add_object(l, packet, has_content, err);
    add(l, "\n", 1);
    if (status == RM_OK && l->failed) {
        status = rm_fail(err, RM_ENOMEM, "no memory for a line of JSON, at most %zu bytes",
                         LINE_BYTES_MAX);
    }
    if (status != RM_OK) {
        l->bytes = 0;
    }
    return status;
}

/* ---- the node */

static rm_status json_open(rm_node *node, rm_error *err)
{
    const json_params *params = node->params;
    json_writer *w = node->state;
    if (!reserve(&w->line, LINE_BYTES_MIN)) {
        return rm_fail(err, RM_ENOMEM, "no memory for a line of JSON");
    }
    rm_status status = file_out_open(&w->file, params->path, err);
    if (status != RM_OK) {
        rm_free(w->line.text);
    }
    return status;
}

/* Ends the line that is begun. RM_EAGAIN: the reader is slow. */
static rm_status write_line(rm_node *node, rm_error *err)
{
    json_writer *w = node->state;
    rm_status status = file_out_write(&w->file, w->line.text, w->line.bytes, &w->done, err);
    if (status == RM_EAGAIN) {
        rm_node_wake_at(node, rm_node_now(node) + COME_BACK_NS);
        return status;
    }
    if (status != RM_OK) { /* whole lines alone stay, where that can be */
        (void)file_out_take_back(&w->file, w->done);
    }
    w->line.bytes = w->done = 0;
    w->current = false;
    return status;
}

static rm_status json_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const json_params *params = node->params;
    json_writer *w = node->state;
    if (!w->current) {
        rm_status status = write_line(node, err); /* a torn one that an interrupt left */
        if (status == RM_OK) {
            status = make_line(w, inputs->packet[0], params->envelope, err);
        }
        if (status != RM_OK) {
            return status;
        }
        w->current = true;
    }
    return write_line(node, err);
}

static rm_status json_flush(rm_node *node, rm_error *err)
{
    json_writer *w = node->state;
    rm_status status = write_line(node, err);
    return status == RM_OK ? file_out_finish(&w->file, err) : status;
}

static rm_status json_control(rm_node *node, const rm_control *control, rm_error *err)
{
    json_writer *w = node->state;
    (void)err;
    if (control->op == RM_CONTROL_INTERRUPT) {
        w->current = false;
        w->line.bytes = w->done ? w->line.bytes : 0;
    }
    return RM_OK;
}

/* ---- checkpoints */

/* In front of the line that is begun. */
typedef struct saved {
    file_place place;
    uint64_t line_bytes, done;
    uint64_t current;
} saved;

static rm_status json_checkpoint(rm_node *node, rm_blob *blob, rm_error *err)
{
    const json_writer *w = node->state;
    saved s;
    memset(&s, 0, sizeof s);
    file_place_of(&w->file, &s.place);
    s.line_bytes = w->line.bytes;
    s.done = w->done;
    s.current = w->current;
    rm_status status = rm_blob_append(blob, &s, sizeof s);
    if (status == RM_OK) {
        status = rm_blob_append(blob, w->line.text, w->line.bytes);
    }
    return status == RM_OK ? RM_OK
                           : rm_fail(err, status, "cannot save a line of %zu bytes", w->line.bytes);
}

static rm_status json_restore(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    json_writer *w = node->state;
    saved s;
    if (bytes < sizeof s) {
        return rm_fail(err, RM_EINVAL, "a saved line has %zu bytes, want %zu or more", bytes,
                       sizeof s);
    }
    memcpy(&s, data, sizeof s);
    if (s.line_bytes != bytes - sizeof s || s.done > s.line_bytes) {
        return rm_fail(err, RM_EINVAL, "a saved line is cut short");
    }
    if (!reserve(&w->line, s.line_bytes)) {
        return rm_fail(err, RM_ENOMEM, "no memory for a line of JSON");
    }
    add(&w->line, (const char *)data + sizeof s, s.line_bytes);
    w->current = s.current;
    /* What cannot be cut back gets the line whole once more. */
    w->done = s.place.offset_bytes < 0 ? 0 : s.done;
    return file_place_return(&s.place, &w->file, err);
}

static void json_close(rm_node *node)
{
    json_writer *w = node->state;
    file_out_abandon(&w->file);
    rm_free(w->line.text);
}

static const rm_param json_table[] = {
    {.name = "path",
     .kind = RM_PARAM_STRING,
     .offset = offsetof(json_params, path),
     .default_json = "\"-\"",
     .summary = "of the file, which takes the place of an old one; - is standard output"},
    {.name = "envelope",
     .kind = RM_PARAM_BOOL,
     .offset = offsetof(json_params, envelope),
     .default_json = "false",
     .summary =
         "each line is an object with kind, pts_ns, duration_ns, flags, value or text, metadata"},
    {0},
};

static const rm_port json_inputs[] = {
    {.name = "in",
     .formats = "value | text | audio | video | tensor | encoded | bytes",
     .summary = "values and texts are written whole, of other packets what they are"},
    {0}};

static const rm_node_type json_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "json.write",
    .summary = "Write each packet as a line of JSON",
    .example = "test.tone duration_ms=500 ! audio.level ! json.write path=-",
    .flags = RM_NODE_BLOCKS | RM_NODE_LATE,
    .inputs = json_inputs,
    .params = json_table,
    .params_size = sizeof(json_params),
    .state_size = sizeof(json_writer),
    .open = json_open,
    .process = json_process,
    .flush = json_flush,
    .control = json_control,
    .close = json_close,
    .checkpoint = json_checkpoint,
    .restore = json_restore,
};

RM_MODULE("json.write", RM_VERSION, &json_type)
