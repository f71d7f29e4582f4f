/* packet.h — the packet: all that moves on an edge.
 *
 *   +----------------+----------------+----------------+        +-----------+----------+
 *   | common, 64 B   | format, 32 B   | process, 64 B  |  --->  | payload   | metadata |
 *   |                | instance, 32 B | (never leaves) |        | 64-aligned| msgpack  |
 *   +----------------+----------------+----------------+        +-----------+----------+
 *     the 128-byte header: the same in memory, shared memory, gRPC and WASM guests
 *
 *   common    what the engine and the links read
 *   format    what a stream *is*: equal from packet to packet, compared with one 32-byte memcmp
 *   instance  what this packet *has*: frames, planes, shape
 *
 * Little-endian. Unused bytes are zero. A packet is immutable once it was emitted, and then shared
 * by reference; before that its one holder writes it.
 *
 * Ownership: references are counted; rm_packet_ref() and rm_packet_unref() from any thread.
 */
#ifndef REMOTEMEDIA_PACKET_H
#define REMOTEMEDIA_PACKET_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RM_PACKET_VERSION = 1, RM_PACKET_HEADER_BYTES = 128, RM_PACKET_ALIGNMENT = 64 };
#define RM_PACKET_PAYLOAD_MAX ((uint64_t)1 << 32) /* 4 GiB */
enum { RM_METADATA_MAX = 65536 };                 /* bytes */
#define RM_TIME_NONE INT64_MIN                    /* pts_ns of a packet without a time */

typedef enum rm_kind {
    RM_KIND_ANY = 0, /* in formats only */
    RM_KIND_AUDIO = 1,
    RM_KIND_VIDEO,
    RM_KIND_TENSOR,
    RM_KIND_TEXT, /* UTF-8, no NUL at the end */
    RM_KIND_BYTES,
    RM_KIND_VALUE,   /* one msgpack value */
    RM_KIND_OBJECT,  /* a live object of this process, held by `owner` */
    RM_KIND_ENCODED, /* one packet of a codec */
    RM_KIND_CONTROL  /* end of stream, barrier: the engine's own */
} rm_kind;

typedef enum rm_memory { RM_MEMORY_HOST = 0, RM_MEMORY_DMABUF, RM_MEMORY_CUDA } rm_memory;

/* header.flags */
enum {
    RM_FLAG_KEY = 1u << 0,           /* can be decoded alone */
    RM_FLAG_DISCONTINUITY = 1u << 1, /* data is missing before this packet */
    RM_FLAG_CORRUPT = 1u << 2,       /* made from damaged input */
    RM_FLAG_FINAL = 1u << 3, /* the last word on its item; without it: partial, to be replaced */
    RM_FLAG_PTS_REPAIRED = 1u << 4 /* pts_ns was missing or went backwards */
};

typedef enum rm_sample_format {
    RM_SAMPLE_NONE = 0,
    RM_SAMPLE_U8,
    RM_SAMPLE_S16,
    RM_SAMPLE_S32,
    RM_SAMPLE_F32,
    RM_SAMPLE_F64
} rm_sample_format;

typedef enum rm_dtype {
    RM_DTYPE_NONE = 0,
    RM_DTYPE_BOOL,
    RM_DTYPE_U8,
    RM_DTYPE_S8,
    RM_DTYPE_U16,
    RM_DTYPE_S16,
    RM_DTYPE_U32,
    RM_DTYPE_S32,
    RM_DTYPE_U64,
    RM_DTYPE_S64,
    RM_DTYPE_F16,
    RM_DTYPE_F32,
    RM_DTYPE_F64,
    RM_DTYPE_C64,
    RM_DTYPE_C128
} rm_dtype;

#define RM_FOURCC(a, b, c, d) \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define RM_FOURCC_I420 RM_FOURCC('I', '4', '2', '0')  /* planes Y, U, V; chroma halved both ways */
#define RM_FOURCC_NV12 RM_FOURCC('N', 'V', '1', '2')  /* planes Y, UV */
#define RM_FOURCC_RGB24 RM_FOURCC('R', 'G', 'B', '3') /* bytes R, G, B */
#define RM_FOURCC_RGBA RM_FOURCC('R', 'G', 'B', 'A')  /* bytes R, G, B, A */
#define RM_FOURCC_GRAY8 RM_FOURCC('G', 'R', 'E', 'Y')

/* header.format.control.op */
enum { RM_OP_END = 1, RM_OP_BARRIER = 2 };

/* ITU-T H.273 code points for primaries, transfer, matrix; 0 and 2: unknown. range: 0 unknown,
 * 1 limited, 2 full. rotation: quarter turns clockwise, 0 to 3. */
typedef union rm_format_line {
    uint8_t bytes[32];
    struct {
        uint32_t rate_hz;
        uint16_t channels;
        uint8_t sample_format; /* rm_sample_format */
        uint8_t planar;        /* 0: frames interleaved; 1: one plane a channel */
        uint64_t channel_mask; /* WAVEFORMATEXTENSIBLE bits; 0: the default of that many channels */
        uint8_t zero[16];
    } audio;
    struct {
        uint32_t fourcc, width, height;
        uint16_t sar_num, sar_den;   /* shape of a pixel; 0/0: unknown */
        uint32_t rate_num, rate_den; /* pictures a second; 0/0: unknown or variable */
        uint8_t primaries, transfer, matrix, range, rotation, planes;
        uint8_t zero[2];
    } video;
    struct {
        uint8_t dtype; /* rm_dtype */
        uint8_t ndim;  /* 0 to 8 */
        char axes[8];  /* one letter an axis, as "TCHW"; zeros: not named */
        uint8_t zero[22];
    } tensor;
    struct {
        uint32_t codec; /* a fourcc */
        uint32_t rate_hz, width, height;
        uint16_t channels, profile;
        uint32_t config_id;
        uint8_t zero[8];
    } encoded;
    struct {
        char language[12]; /* BCP 47; zeros: not known */
        uint32_t schema;   /* 0: none */
        uint8_t zero[16];
    } text; /* text, value, bytes */
    struct {
        uint16_t op;
        uint8_t zero[30];
    } control;
} rm_format_line;

typedef union rm_instance_line {
    uint8_t bytes[32];
    struct {
        uint32_t frames;             /* samples a channel */
        uint32_t plane_stride_bytes; /* planar: from one plane to the next; else 0 */
        uint8_t zero[24];
    } audio;
    struct {
        uint32_t offset_bytes[4]; /* of each plane, in the payload */
        uint32_t stride_bytes[4]; /* from row to row */
    } video;
    struct {
        uint32_t shape[8]; /* C-contiguous */
    } tensor;
    struct {
        int64_t dts_ns;
        uint32_t frames;
        uint8_t zero[20];
    } encoded;
    struct {
        uint64_t id, argument;
        uint8_t zero[16];
    } control;
} rm_instance_line;

typedef struct rm_packet_header {
    uint8_t version;      /* RM_PACKET_VERSION */
    uint8_t kind;         /* rm_kind */
    uint8_t memory;       /* rm_memory */
    uint8_t header_units; /* header bytes / 64; a reader skips what it does not know */
    uint32_t flags;
    int64_t pts_ns;      /* presentation time, RM_TIME_NONE: none */
    int64_t duration_ns; /* 0: unknown */
    int64_t origin_ns;   /* when the item entered the graph, on the session's clock */
    uint64_t sequence;   /* on its edge, from 1, no gaps but counted drops */
    uint64_t payload_bytes;
    uint32_t epoch; /* +1 with each interrupt; older packets die on arrival */
    uint32_t stream_id;
    uint32_t metadata_bytes;
    uint32_t trace;
    rm_format_line format;
    rm_instance_line instance;
} rm_packet_header;

/* What the host keeps beside the header; no business of a node. */
typedef struct rm_packet_private {
    void *pool;
    void (*release)(void *owner);
    void *owner, *next;
    uint32_t refs, size_class;
    void *reserved;
} rm_packet_private;

typedef struct rm_packet {
    rm_packet_header header;
    void *payload;  /* payload_bytes, aligned to 64; NULL where there are none */
    void *metadata; /* metadata_bytes of a msgpack map; NULL where there are none */
    rm_packet_private host;
} rm_packet;

/* Thread: any. */
RM_API rm_packet *rm_packet_ref(rm_packet *packet);
/* Gives one reference back; with the last one the buffer goes to its pool, or to its release
 * function. NULL is fine. Thread: any. */
RM_API void rm_packet_unref(rm_packet *packet);

/* What a foreign buffer or a live object is held by; NULL for a packet from a pool. Thread: data.
 */
RM_API void *rm_packet_owner(const rm_packet *packet);

/* True where the caller holds the only reference, so that it may write in place. Never true of
 * memory that somebody else owns: a decoder goes on reading the pictures that it gave. Thread:
 * data. */
RM_API int rm_packet_is_sole(const rm_packet *packet);

/* Gives the packet a copy of this msgpack map. Fails with RM_ENOMEM, RM_EINVAL (over
 * RM_METADATA_MAX). Before the packet is emitted. Thread: its one holder. */
RM_API RM_MUST_USE rm_status rm_packet_set_metadata(rm_packet *packet, const void *data,
                                                    size_t bytes);

/* Checks a header that came from outside: version, units, kind, flags, unused bytes, and that
 * frames, planes, strides and shape lie within payload_bytes, without overflow. header_bytes is how
 * much of it there is. Fails with RM_EINVAL (E0405). Thread: any; no allocation. */
RM_API RM_MUST_USE rm_status rm_packet_header_check(const void *header, size_t header_bytes,
                                                    rm_error *err);

/* Bytes of one sample or element; 0 for an unknown value. Names as in manifests: "f32", "s16". */
RM_API uint32_t rm_sample_format_bytes(uint8_t sample_format);
RM_API const char *rm_sample_format_name(uint8_t sample_format);
RM_API uint32_t rm_dtype_bytes(uint8_t dtype);
RM_API const char *rm_dtype_name(uint8_t dtype);
RM_API const char *rm_kind_name(uint8_t kind);

#ifdef __cplusplus
}
#endif
#endif
