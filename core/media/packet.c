/* Names and sizes of what packets carry, and the check of a header that came from outside. */
#include <stdbool.h>
#include <string.h>

#include <remotemedia/packet.h>

#include "base/cleanup.h"

_Static_assert(sizeof(rm_packet_header) == RM_PACKET_HEADER_BYTES, "the header is 128 bytes");
_Static_assert(offsetof(rm_packet_header, pts_ns) == 8 &&
                   offsetof(rm_packet_header, sequence) == 32 &&
                   offsetof(rm_packet_header, epoch) == 48,
               "common part");
_Static_assert(offsetof(rm_packet_header, format) == 64 &&
                   offsetof(rm_packet_header, instance) == 96,
               "format and instance lines");
_Static_assert(sizeof(rm_format_line) == 32 && sizeof(rm_instance_line) == 32, "32-byte lines");
_Static_assert(sizeof(rm_packet) == 192, "three cache lines");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian hosts only");

typedef struct name_row {
    const char *name;
    uint32_t bytes;
} name_row;

static const name_row sample_formats[] = {
    [RM_SAMPLE_NONE] = {"none", 0}, [RM_SAMPLE_U8] = {"u8", 1},   [RM_SAMPLE_S16] = {"s16", 2},
    [RM_SAMPLE_S32] = {"s32", 4},   [RM_SAMPLE_F32] = {"f32", 4}, [RM_SAMPLE_F64] = {"f64", 8},
};

static const name_row dtypes[] = {
    [RM_DTYPE_NONE] = {"none", 0}, [RM_DTYPE_BOOL] = {"bool", 1}, [RM_DTYPE_U8] = {"u8", 1},
    [RM_DTYPE_S8] = {"s8", 1},     [RM_DTYPE_U16] = {"u16", 2},   [RM_DTYPE_S16] = {"s16", 2},
    [RM_DTYPE_U32] = {"u32", 4},   [RM_DTYPE_S32] = {"s32", 4},   [RM_DTYPE_U64] = {"u64", 8},
    [RM_DTYPE_S64] = {"s64", 8},   [RM_DTYPE_F16] = {"f16", 2},   [RM_DTYPE_F32] = {"f32", 4},
    [RM_DTYPE_F64] = {"f64", 8},   [RM_DTYPE_C64] = {"c64", 8},   [RM_DTYPE_C128] = {"c128", 16},
};

static const char *const kinds[] = {
    [RM_KIND_ANY] = "any",         [RM_KIND_AUDIO] = "audio",   [RM_KIND_VIDEO] = "video",
    [RM_KIND_TENSOR] = "tensor",   [RM_KIND_TEXT] = "text",     [RM_KIND_BYTES] = "bytes",
    [RM_KIND_VALUE] = "value",     [RM_KIND_OBJECT] = "object", [RM_KIND_ENCODED] = "encoded",
    [RM_KIND_CONTROL] = "control",
};

uint32_t rm_sample_format_bytes(uint8_t sample_format)
{
    return sample_format < RMI_COUNT(sample_formats) ? sample_formats[sample_format].bytes : 0;
}

const char *rm_sample_format_name(uint8_t sample_format)
{
    return sample_format < RMI_COUNT(sample_formats) ? sample_formats[sample_format].name : "none";
}

uint32_t rm_dtype_bytes(uint8_t dtype)
{
    return dtype < RMI_COUNT(dtypes) ? dtypes[dtype].bytes : 0;
}

const char *rm_dtype_name(uint8_t dtype)
{
    return dtype < RMI_COUNT(dtypes) ? dtypes[dtype].name : "none";
}

const char *rm_kind_name(uint8_t kind)
{
    return kind < RMI_COUNT(kinds) ? kinds[kind] : "unknown";
}

/* Bounds that keep every product below within 64 bits. */
enum { CHANNELS_MAX = 1024, SIDE_MAX = 1 << 16 };

static rm_status bad(rm_error *err, const char *what, uint64_t value, const char *want)
{
    return rm_fail_as(err, RM_CODE_PACKET_HEADER, "packet header: %s is %llu, want %s", what,
                      (unsigned long long)value, want);
}

static bool all_zero(const uint8_t *bytes, size_t count)
{
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

/* Bytes of the format and instance lines that a kind gives a meaning; the rest must be zero. */
static const struct {
    uint8_t format_bytes, instance_bytes;
} used_bytes[] = {
    [RM_KIND_AUDIO] = {16, 8}, [RM_KIND_VIDEO] = {30, 32},   [RM_KIND_TENSOR] = {10, 32},
    [RM_KIND_TEXT] = {16, 0},  [RM_KIND_BYTES] = {16, 0},    [RM_KIND_VALUE] = {16, 0},
    [RM_KIND_OBJECT] = {0, 0}, [RM_KIND_ENCODED] = {24, 12}, [RM_KIND_CONTROL] = {2, 16},
};

static rm_status check_common(const rm_packet_header *h, size_t header_bytes, rm_error *err)
{
    if (h->version != RM_PACKET_VERSION) {
        return bad(err, "version", h->version, "1");
    }
    if (h->header_units < 2 || (size_t)h->header_units * 64 > header_bytes) {
        return bad(err, "header_units", h->header_units, "2 to the bytes that are there / 64");
    }
    if (h->kind < RM_KIND_AUDIO || h->kind > RM_KIND_CONTROL || h->kind == RM_KIND_OBJECT) {
        return bad(err, "kind", h->kind, "1 to 9 without 7: a live object stays in its process");
    }
    if (h->memory != RM_MEMORY_HOST) {
        return bad(err, "memory", h->memory, "0, host memory");
    }
    if (h->flags & ~31u) {
        return bad(err, "flags", h->flags, "bits 0 to 4 only");
    }
    if (h->duration_ns < 0) {
        return bad(err, "duration_ns", (uint64_t)h->duration_ns, "0 or more");
    }
    if (h->payload_bytes > RM_PACKET_PAYLOAD_MAX) {
        return bad(err, "payload_bytes", h->payload_bytes, "at most 4294967296");
    }
    if (h->metadata_bytes > RM_METADATA_MAX) {
        return bad(err, "metadata_bytes", h->metadata_bytes, "at most 65536");
    }
    uint8_t f = used_bytes[h->kind].format_bytes, i = used_bytes[h->kind].instance_bytes;
    if (!all_zero(h->format.bytes + f, sizeof h->format - f) ||
        !all_zero(h->instance.bytes + i, sizeof h->instance - i)) {
        return rm_fail_as(err, RM_CODE_PACKET_HEADER,
                          "packet header: unused bytes of kind %s are not zero",
                          rm_kind_name(h->kind));
    }
    return RM_OK;
}

static rm_status check_audio(const rm_packet_header *h, rm_error *err)
{
    uint64_t sample = rm_sample_format_bytes(h->format.audio.sample_format);
    uint64_t channels = h->format.audio.channels, frames = h->instance.audio.frames;
    uint64_t stride = h->instance.audio.plane_stride_bytes;
    if (sample == 0) {
        return bad(err, "sample_format", h->format.audio.sample_format, "1 to 5");
    }
    if (h->format.audio.rate_hz == 0) {
        return bad(err, "rate_hz", 0, "1 or more");
    }
    if (channels == 0 || channels > CHANNELS_MAX) {
        return bad(err, "channels", channels, "1 to 1024");
    }
    if (h->format.audio.planar > 1) {
        return bad(err, "planar", h->format.audio.planar, "0 or 1");
    }
    if (h->format.audio.planar == 0 && stride != 0) {
        return bad(err, "plane_stride_bytes", stride, "0 for interleaved samples");
    }
    if (h->format.audio.planar && stride < frames * sample) {
        return bad(err, "plane_stride_bytes", stride, "at least one plane");
    }
    uint64_t end = h->format.audio.planar ? stride * (channels - 1) + frames * sample
                                          : frames * channels * sample;
    if (end > h->payload_bytes) {
        return bad(err, "frames", frames, "no more than the payload holds");
    }
    return RM_OK;
}

/* Rows and bytes a row of one plane; false for a plane that the layout does not have. */
static bool plane_shape(const rm_packet_header *h, unsigned plane, uint64_t *rows, uint64_t *bytes)
{
    uint64_t width = h->format.video.width, height = h->format.video.height;
    uint64_t half_width = (width + 1) / 2, half_height = (height + 1) / 2;
    *rows = height;
    switch (h->format.video.fourcc) {
    case RM_FOURCC_I420:
        *rows = plane ? half_height : height;
        *bytes = plane ? half_width : width;
        return plane < 3;
    case RM_FOURCC_NV12:
        *rows = plane ? half_height : height;
        *bytes = plane ? 2 * half_width : width;
        return plane < 2;
    case RM_FOURCC_RGB24: *bytes = 3 * width; return plane < 1;
    case RM_FOURCC_RGBA: *bytes = 4 * width; return plane < 1;
    case RM_FOURCC_GRAY8: *bytes = width; return plane < 1;
    default: return false;
    }
}

static rm_status check_video(const rm_packet_header *h, rm_error *err)
{
    uint32_t width = h->format.video.width, height = h->format.video.height;
    if (width == 0 || width > SIDE_MAX) {
        return bad(err, "width", width, "1 to 65536");
    }
    if (height == 0 || height > SIDE_MAX) {
        return bad(err, "height", height, "1 to 65536");
    }
    if (h->format.video.rotation > 3) {
        return bad(err, "rotation", h->format.video.rotation, "0 to 3");
    }
    unsigned planes = 0;
    uint64_t rows, bytes;
    while (planes < 4 && plane_shape(h, planes, &rows, &bytes)) {
        uint64_t offset = h->instance.video.offset_bytes[planes];
        uint64_t stride = h->instance.video.stride_bytes[planes];
        if (stride < bytes) {
            return bad(err, "stride_bytes", stride, "at least one row");
        }
        if (offset + stride * (rows - 1) + bytes > h->payload_bytes) {
            return bad(err, "offset_bytes", offset, "a plane within the payload");
        }
        planes++;
    }
    if (planes == 0) {
        return bad(err, "fourcc", h->format.video.fourcc, "I420, NV12, RGB3, RGBA or GREY");
    }
    if (h->format.video.planes != planes) {
        return bad(err, "planes", h->format.video.planes, "as many as the fourcc has");
    }
    for (unsigned p = planes; p < 4; p++) {
        if (h->instance.video.offset_bytes[p] || h->instance.video.stride_bytes[p]) {
            return bad(err, "planes", planes, "zeros behind the last plane");
        }
    }
    return RM_OK;
}

static rm_status check_tensor(const rm_packet_header *h, rm_error *err)
{
    uint64_t bytes = rm_dtype_bytes(h->format.tensor.dtype);
    if (bytes == 0) {
        return bad(err, "dtype", h->format.tensor.dtype, "1 to 14");
    }
    if (h->format.tensor.ndim > 8) {
        return bad(err, "ndim", h->format.tensor.ndim, "0 to 8");
    }
    for (unsigned d = 0; d < 8; d++) {
        if (d >= h->format.tensor.ndim) {
            if (h->instance.tensor.shape[d] || h->format.tensor.axes[d]) {
                return bad(err, "ndim", h->format.tensor.ndim, "zeros behind the last axis");
            }
        } else if (__builtin_mul_overflow(bytes, (uint64_t)h->instance.tensor.shape[d], &bytes)) {
            return bad(err, "shape", h->instance.tensor.shape[d], "a product within 64 bits");
        }
    }
    if (bytes > h->payload_bytes) {
        return bad(err, "shape", bytes, "no more bytes than the payload has");
    }
    return RM_OK;
}

rm_status rm_packet_header_check(const void *header, size_t header_bytes, rm_error *err)
{
    rm_packet_header h;
    if (!header || header_bytes < sizeof h) {
        return bad(err, "its size", header ? header_bytes : 0, "at least 128");
    }
    memcpy(&h, header, sizeof h);
    rm_status status = check_common(&h, header_bytes, err);
    if (status != RM_OK) {
        return status;
    }
    switch (h.kind) {
    case RM_KIND_AUDIO: return check_audio(&h, err);
    case RM_KIND_VIDEO: return check_video(&h, err);
    case RM_KIND_TENSOR: return check_tensor(&h, err);
    case RM_KIND_CONTROL:
        if (h.format.control.op < RM_OP_END || h.format.control.op > RM_OP_BARRIER) {
            return bad(err, "op", h.format.control.op, "1 or 2");
        }
        return RM_OK;
    default: return RM_OK;
    }
}
