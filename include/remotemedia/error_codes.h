/* error_codes.h — the stable codes that users see as E0123.
 *
 * One line a code: number, name, status, one-sentence meaning. A number is never reused. Each has a
 * page docs/errors/E0123.md, which `remotemedia help E0123` prints.
 *
 *   0xx the status alone   1xx manifest   2xx planning   3xx node types and modules
 *   4xx running            5xx media files   6xx Python   7xx command line
 */
#ifndef REMOTEMEDIA_ERROR_CODES_H
#define REMOTEMEDIA_ERROR_CODES_H

#include "status.h"

/* A row is a line: tests and pages read it so. */
/* clang-format off */
#define RM_ERROR_CODES(X)                                                                     \
    X(1, INVALID, RM_EINVAL, "a value is not acceptable")                                     \
    X(2, NO_MEMORY, RM_ENOMEM, "memory is exhausted, or a memory bound is reached")           \
    X(3, FAILED, RM_EFAIL, "an operation failed")                                             \
    X(4, TRANSIENT, RM_ETRANSIENT, "an operation failed and may go well if tried again")      \
    X(5, LIMIT, RM_ELIMIT, "a declared limit was passed")                                     \
    X(6, CANCELED, RM_ECANCELED, "the run was cancelled")                                     \
    X(7, DEADLOCK, RM_EDEADLOCK, "the graph cannot move")                                     \
    X(8, NOT_FOUND, RM_ENOENT, "something named does not exist")                              \
    X(9, IO, RM_EIO, "the operating system could not read or write")                          \
    X(10, ABI, RM_EABI, "a module was built for another version")                             \
    X(11, UNSUPPORTED, RM_EUNSUPPORTED, "a known feature is not available here")              \
    X(101, MANIFEST_SYNTAX, RM_EINVAL, "the manifest is not valid JSON")                      \
    X(102, MANIFEST_VERSION, RM_EINVAL, "the manifest has an unknown version")                \
    X(103, MANIFEST_REQUIRES, RM_EUNSUPPORTED, "the manifest requires an unknown feature")    \
    X(104, MANIFEST_MISSING, RM_EINVAL, "a required field is missing")                        \
    X(105, MANIFEST_TYPE, RM_EINVAL, "a field has the wrong type")                            \
    X(106, MANIFEST_VALUE, RM_EINVAL, "a field has a value that is not allowed")              \
    X(107, MANIFEST_DUPLICATE, RM_EINVAL, "two things have the same name")                    \
    X(108, CONNECTION_DANGLING, RM_EINVAL, "a connection names a node or port that does not exist") \
    X(109, CONNECTION_CYCLE, RM_EINVAL, "the connections form a cycle")                       \
    X(110, MANIFEST_TOO_LARGE, RM_ELIMIT, "the manifest passes a size or depth limit")        \
    X(111, INLINE_SYNTAX, RM_EINVAL, "an inline pipeline is not well formed")                 \
    X(201, FORMAT_MISMATCH, RM_EINVAL, "two connected ports share no format")                 \
    X(202, PLACEMENT, RM_EUNSUPPORTED, "nothing can run a node")                              \
    X(203, PLACE_REFUSED, RM_EUNSUPPORTED, "a place refused a node")                            \
    X(301, NODE_TYPE_UNKNOWN, RM_ENOENT, "no module provides a node type of that name")       \
    X(302, PARAM_UNKNOWN, RM_EINVAL, "a node type has no parameter of that name")             \
    X(303, PARAM_TYPE, RM_EINVAL, "a parameter has the wrong type")                           \
    X(304, PARAM_RANGE, RM_EINVAL, "a parameter is out of range, or not one of the choices")  \
    X(305, PARAM_MISSING, RM_EINVAL, "a required parameter is missing")                       \
    X(306, MODULE_LOAD, RM_ENOENT, "a module could not be loaded")                            \
    X(307, MODULE_ABI, RM_EABI, "a module was built for another version")                     \
    X(308, TIER_MISSING, RM_EUNSUPPORTED, "nothing here can host a node's code")              \
    X(309, DEPENDENCY_MISSING, RM_EUNSUPPORTED, "an optional dependency of a node is missing")\
    X(401, NODE_OPEN, RM_EFAIL, "a node could not be opened")                                 \
    X(402, NODE_FAILED, RM_EFAIL, "a node failed on an item")                                 \
    X(403, EDGE_DEADLOCK, RM_EDEADLOCK, "an edge is full while its consumer waits for another input") \
    X(404, EMIT_LIMIT, RM_ELIMIT, "a node emitted more packets in one call than it declared") \
    X(405, PACKET_HEADER, RM_EINVAL, "a packet header is not well formed")                    \
    X(406, PACKET_FORMAT, RM_EINVAL, "a node got a packet of a format that it cannot take")   \
    X(407, MEMORY_DEADLOCK, RM_EDEADLOCK, "what waits for memory waits for what queues hold")    \
    X(408, CIRCUIT_OPEN, RM_ETRANSIENT, "a node that failed again and again is left alone for a while") \
    X(409, CHECKPOINT_REFUSED, RM_EUNSUPPORTED, "a session cannot be checkpointed")           \
    X(410, CHECKPOINT_BAD, RM_EINVAL, "a checkpoint is damaged, or of another graph")         \
    X(411, RECORD_REFUSED, RM_EUNSUPPORTED, "a session cannot be recorded")                   \
    X(412, RECORD_BAD, RM_EINVAL, "the record of a run is damaged, or does not fit")          \
    X(413, REPLAY_DIFFERS, RM_EFAIL, "a node did otherwise in a replay")                      \
    X(501, MEDIA_OPEN, RM_EIO, "a media file could not be opened")                            \
    X(502, MEDIA_DATA, RM_EFAIL, "a media file is damaged, truncated or of an unknown format")\
    X(503, MEDIA_WRITE, RM_EIO, "an output file could not be written")                        \
    X(601, PYTHON_IMPORT, RM_EFAIL, "a Python node could not be imported")                    \
    X(602, PYTHON_RAISED, RM_EFAIL, "a Python node raised an exception")                      \
    X(603, PYTHON_VALUE, RM_EINVAL, "a Python value cannot cross to the next node")           \
    X(701, USAGE, RM_EINVAL, "the command line is not understood")
/* clang-format on */

typedef enum rm_code {
    RM_CODE_NONE = 0,
#define RM_CODE_ENUMERATOR(number, name, status, meaning) RM_CODE_##name = number,
    RM_ERROR_CODES(RM_CODE_ENUMERATOR)
#undef RM_CODE_ENUMERATOR
} rm_code;

#endif
