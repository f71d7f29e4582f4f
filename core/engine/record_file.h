/* record_file.h — the file that a recorded run is kept in.
 *
 *     head (64 bytes: magic, version, maker, CRC-32C) │ chunk │ chunk │ …
 *     chunk: bytes, CRC-32C of that number, CRC-32C of the body │ body: entries, none is cut in two
 *     entry: kind │ numbers, as zigzag varints │ pieces, each with its length before it
 *
 * The file only grows, so that one whose writer was killed is good up to its last whole chunk. One
 * that is damaged is refused, with the offset. docs/reference/record-file.md has all of it.
 *
 * Ownership: a reader borrows the bytes of the file; what an entry points to lies in them.
 * Threads: one at a time a writer or reader.
 */
#ifndef RMI_ENGINE_RECORD_FILE_H
#define RMI_ENGINE_RECORD_FILE_H

#include <remotemedia/node.h>
#include <remotemedia/packet.h>

#include "engine/checkpoint_file.h"

enum { RMI_RECORD_HEAD_BYTES = 64, RMI_RECORD_CHUNK_BYTES = 256 << 10, RMI_RECORD_PIECES_MAX = 3 };

typedef enum rmi_record_kind {
    RMI_RECORD_GRAPH = 1, /* text: the manifest, and the nodes and edges of its plan */
    RMI_RECORD_CALL,      /* a node is about to be called: with these inputs, at this time */
    RMI_RECORD_RESULT,    /* … what that came to */
    RMI_RECORD_SENT,      /* a packet of that call goes onto these edges of its port */
    RMI_RECORD_WHOLE,     /* as SENT, a packet that comes from elsewhere: all of it */
    RMI_RECORD_MARK,      /* as SENT, the mark of a copy (parallel.h) */
    RMI_RECORD_UNSENT,    /* the latest packet for this edge did not go there after all */
    RMI_RECORD_CONTROL,   /* control() was called */
    RMI_RECORD_PARAMS,    /* text: LIVE parameters of the node from here on */
    RMI_RECORD_CANCEL,    /* cancel() was called */
    RMI_RECORD_END,       /* how the run ended; text: its message */
    RMI_RECORD_KINDS
} rmi_record_kind;

/* rmi_record_entry.flags of a CALL and of a RESULT, and of a SENT. */
enum {
    RMI_CALL_SAME = 1,    /* the inputs of the call before, again */
    RMI_CALL_FLUSH = 2,   /* flush() */
    RMI_RESULT_LATER = 1, /* after RM_PENDING */
    RMI_RESULT_GONE = 2,  /* an interrupt came meanwhile: what it gave was dropped */
    RMI_SENT_ORIGIN = 1   /* origin_ns was told by the clock */
};

typedef struct rmi_record_piece {
    const void *data;
    size_t bytes;
} rmi_record_piece;

/* A packet was taken from this edge; `skipped` before it were dropped. */
typedef struct rmi_record_input {
    int64_t port, edge, skipped;
} rmi_record_input;

/* The parts of a packet that are compared. */
typedef struct rmi_record_sums {
    int64_t header, metadata, payload;
} rmi_record_sums;

/* What of it holds depends on its kind. */
typedef struct rmi_record_entry {
    rmi_record_kind kind;
    int64_t node, port, edge, flags, now_ns;
    int64_t edges; /* of the port, a bit each */
    int64_t status, code, count;
    int64_t payload_bytes, packet_kind, origin_ns;
    rmi_record_sums sums;
    int64_t op, argument;
    int64_t input_count;
    rmi_record_input input[RM_PORTS_MAX];
    rmi_record_piece piece[RMI_RECORD_PIECES_MAX]; /* text; or line; or header, metadata, payload */
    uint64_t offset;                               /* read: where it stands in the file */
} rmi_record_entry;

void rmi_record_add(rmi_bytes *body, const rmi_record_entry *entry);
/* ret_head has RMI_RECORD_HEAD_BYTES. */
void rmi_record_make_head(uint8_t *ret_head);
enum { RMI_RECORD_CHUNK_HEAD_BYTES = 16 };
/* ret_head has RMI_RECORD_CHUNK_HEAD_BYTES. */
void rmi_record_make_chunk_head(uint8_t *ret_head, const rmi_bytes *body);

typedef struct rmi_record_reader {
    const uint8_t *data;
    size_t bytes; /* up to the last whole chunk */
    size_t at, chunk_end;
    bool is_cut; /* a chunk was begun behind that */
} rmi_record_reader;

/* Checks all of the file. E0412: no record, of another version, or damaged; err has the offset. */
RM_MUST_USE rm_status rmi_record_read(rmi_record_reader *reader, const void *data, size_t bytes,
                                      rm_error *err);
/* RM_DONE: there are no more. E0412: not well formed. */
RM_MUST_USE rm_status rmi_record_next(rmi_record_reader *reader, rmi_record_entry *ret_entry,
                                      rm_error *err);

#endif
