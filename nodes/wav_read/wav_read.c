/* wav.read — a WAVE file or stream, as audio packets.
 *
 * A regular file is looked at in open(), so that a bad one is told before anything runs. A pipe is
 * read as it comes: what is not there yet stays in the packet that is being filled, and the thread
 * is given back each READ_WAIT_MS.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../audio_packet.h"
#include "wav_parse.h"

enum { READ_WAIT_MS = 100, HEAD_PIECE_BYTES = 4096, COME_BACK_NS = 1000000 };

typedef struct read_params {
    const char *path;
    double packet_ms;
    bool paced, accept_truncated;
} read_params;

typedef struct reader {
    int fd;
    bool owned, regular, head_known;
    const char *name;
    wav_parser parser;
    rm_format_line line;
    uint32_t packet_frames, frame_bytes; /* frame_bytes: as stored */
    uint64_t frames, left_bytes;         /* given; still to come, or WAV_BYTES_UNKNOWN */
    rm_packet *packet;                   /* being filled, at `filled` bytes as stored */
    size_t filled;
    audio_pace pace;
} reader;

static rm_status read_fail_os(const reader *r, int os_errno, rm_error *err)
{
    return rm_fail_as(err, RM_CODE_MEDIA_OPEN, "cannot read '%.300s': %s", r->name,
                      strerror(os_errno));
}

/* RM_OK: *ret_bytes were read, 0 at the end. RM_EAGAIN: a pipe has nothing yet. */
static rm_status read_some(const reader *r, void *buffer, size_t bytes, size_t *ret_bytes,
                           rm_error *err)
{
    if (!r->regular) {
        struct pollfd ready = {.fd = r->fd, .events = POLLIN};
        int count = poll(&ready, 1, READ_WAIT_MS);
        if (count == 0 || (count < 0 && errno == EINTR)) {
            return RM_EAGAIN;
        }
    }
    ssize_t got;
    do {
        got = read(r->fd, buffer, bytes);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return errno == EAGAIN ? RM_EAGAIN : read_fail_os(r, errno, err);
    }
    *ret_bytes = (size_t)got;
    return RM_OK;
}

static void begin_stream(reader *r, const read_params *params)
{
    const wav_head *head = &r->parser.head;
    r->head_known = true;
    r->line.audio.rate_hz = head->rate_hz;
    r->line.audio.channels = head->channels;
    r->line.audio.sample_format = head->sample_format;
    r->line.audio.channel_mask = head->channel_mask;
    r->frame_bytes = (uint32_t)head->sample_bytes * head->channels;
    r->packet_frames = (uint32_t)audio_frames_of_ms(params->packet_ms, head->rate_hz);
    r->left_bytes = head->data_bytes;
}

/* Reads on in the head. RM_OK: it is known. RM_EAGAIN: a pipe has not all of it yet. */
static rm_status read_head(reader *r, const read_params *params, rm_error *err)
{
    uint8_t piece[HEAD_PIECE_BYTES];
    rm_status status = RM_MORE;
    while (status == RM_MORE) {
        size_t bytes = 0;
        status = read_some(r, piece, wav_parser_want(&r->parser), &bytes, err);
        if (status != RM_OK) {
            return status;
        }
        status = bytes ? wav_parser_feed(&r->parser, piece, bytes, err)
                       : wav_parser_ended(&r->parser, err);
    }
    if (status == RM_OK) {
        begin_stream(r, params);
    } else {
        rm_error_wrap(err, "'%.300s'", r->name);
    }
    return status;
}

static void read_close(rm_node *node)
{
    reader *r = node->state;
    rm_packet_unref(r->packet);
    r->packet = NULL;
    if (r->owned) {
        close(r->fd);
    }
}

static rm_status read_open(rm_node *node, rm_error *err)
{
    const read_params *params = node->params;
    reader *r = node->state;
    bool standard = strcmp(params->path, "-") == 0;
    r->name = standard ? "standard input" : params->path;
    /* O_NONBLOCK: opening a named pipe must not wait for its writer. */
    r->fd = standard ? STDIN_FILENO : open(params->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (r->fd < 0) {
        return rm_fail_as(err, RM_CODE_MEDIA_OPEN, "cannot open '%.300s': %s", r->name,
                          strerror(errno));
    }
    r->owned = !standard;
    struct stat about;
    r->regular = fstat(r->fd, &about) == 0 && S_ISREG(about.st_mode);
    wav_parser_init(&r->parser);
    rm_status status = RM_OK;
    if (S_ISDIR(about.st_mode)) {
        status = read_fail_os(r, EISDIR, err);
    } else if (r->regular) {
        status = read_head(r, params, err);
    }
    if (status != RM_OK) {
        read_close(node);
    }
    return status;
}

/* How many bytes of samples the packet takes, as stored. */
static size_t packet_bytes(const reader *r)
{
    size_t bytes = (size_t)r->packet_frames * r->frame_bytes;
    return bytes < r->left_bytes ? bytes : (size_t)r->left_bytes;
}

/* 24 bits are read into the end of the packet, and become 32 from its start on. */
static uint8_t *stored_samples(const reader *r)
{
    size_t gap =
        r->parser.head.sample_bytes == 3 ? (size_t)r->packet_frames * r->line.audio.channels : 0;
    return (uint8_t *)r->packet->payload + gap;
}

/* Writing never catches up with reading: sample i ends at byte 4 i + 4 of the packet and is read
 * from byte n + 3 i of it, i below n. */
static void widen_24(int32_t *to, const uint8_t *from, size_t samples)
{
    for (size_t i = 0; i < samples; i++, from += 3) {
        uint32_t bits = (uint32_t)from[0] << 8 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 24;
        to[i] = (int32_t)bits;
    }
}

/* RM_OK: the packet is full, or *ret_ended. RM_EAGAIN: a pipe has nothing yet. */
static rm_status fill_packet(reader *r, bool *ret_ended, rm_error *err)
{
    size_t wanted = packet_bytes(r);
    while (r->filled < wanted) {
        size_t bytes = 0;
        rm_status status =
            read_some(r, stored_samples(r) + r->filled, wanted - r->filled, &bytes, err);
        if (status != RM_OK) {
            return status;
        }
        if (bytes == 0) {
            *ret_ended = true;
            return RM_OK;
        }
        r->filled += bytes;
    }
    return RM_OK;
}

static rm_status truncated(const reader *r, rm_error *err)
{
    uint64_t frames = r->parser.head.data_bytes / r->frame_bytes;
    rm_status status = rm_fail_as(
        err, RM_CODE_MEDIA_DATA,
        "'%.300s' is truncated: it ends after %llu of the %llu frames that its head promises",
        r->name, (unsigned long long)r->frames, (unsigned long long)frames);
    rm_error_help(err, "accept_truncated=true takes what is there");
    return status;
}

/* The input has ended before the packet was full: what is whole of it goes out; then it is the end,
 * or, where the head promised more, an error. */
static rm_status end_of_stream(rm_node *node, rm_error *err)
{
    const read_params *params = node->params;
    reader *r = node->state;
    bool good =
        r->left_bytes == WAV_BYTES_UNKNOWN || r->left_bytes == 0 || params->accept_truncated;
    if (r->filled < r->frame_bytes) {
        return good ? RM_DONE : truncated(r, err);
    }
    if (r->left_bytes == WAV_BYTES_UNKNOWN || params->accept_truncated) {
        r->left_bytes = 0;
    }
    return RM_OK;
}

static rm_status emit_packet(rm_node *node)
{
    reader *r = node->state;
    rm_packet *packet = r->packet;
    uint32_t frames = (uint32_t)(r->filled / r->frame_bytes);
    if (r->parser.head.sample_bytes == 3) {
        widen_24(packet->payload, stored_samples(r), (size_t)frames * r->line.audio.channels);
    }
    r->packet = NULL;
    if (r->left_bytes && r->left_bytes != WAV_BYTES_UNKNOWN) {
        r->left_bytes -= (uint64_t)frames * r->frame_bytes;
    }
    r->filled = 0;
    audio_set_frames(packet, frames);
    packet->header.pts_ns = audio_time_ns(r->frames, r->line.audio.rate_hz);
    r->frames += frames;
    rm_status status = rm_emit(node, 0, packet);
    return status == RM_OK && r->left_bytes == 0 ? RM_DONE : status;
}

/* Nothing is there: the strand looks at its mailbox, and comes back. */
static rm_status come_back(rm_node *node)
{
    rm_node_wake_at(node, rm_node_now(node) + COME_BACK_NS);
    return RM_EAGAIN;
}

static rm_status read_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const read_params *params = node->params;
    reader *r = node->state;
    (void)inputs;
    if (!r->head_known) {
        rm_status status = read_head(r, params, err);
        if (status != RM_OK) {
            return status == RM_EAGAIN ? come_back(node) : status;
        }
    }
    if (r->left_bytes == 0) {
        return RM_DONE;
    }
    int64_t pts_ns = audio_time_ns(r->frames, r->line.audio.rate_hz);
    if (params->paced && !audio_pace_is_due(&r->pace, node, pts_ns)) {
        return RM_EAGAIN;
    }
    if (!r->packet) {
        rm_status status = audio_packet_room(node, &r->line, r->packet_frames, &r->packet, err);
        if (status != RM_OK) {
            return status;
        }
    }
    bool ended = false;
    rm_status status = fill_packet(r, &ended, err);
    if (status == RM_OK && ended) {
        status = end_of_stream(node, err);
    }
    if (status != RM_OK) {
        return status == RM_EAGAIN ? come_back(node) : status;
    }
    return emit_packet(node);
}

/* ---- checkpoints */

/* Of a regular file a packet is always filled within one call. */
typedef struct saved {
    uint64_t frames, left_bytes, size_bytes;
    int64_t offset_bytes, changed_s, changed_ns;
} saved;

static bool look_at_file(const reader *r, saved *ret_saved)
{
    struct stat about;
    if (!r->regular || !r->owned || fstat(r->fd, &about) != 0) {
        return false;
    }
    ret_saved->size_bytes = (uint64_t)about.st_size;
    ret_saved->changed_s = about.st_mtim.tv_sec;
    ret_saved->changed_ns = about.st_mtim.tv_nsec;
    return true;
}

static rm_status read_checkpoint(rm_node *node, rm_blob *blob, rm_error *err)
{
    const reader *r = node->state;
    saved s = {.frames = r->frames, .left_bytes = r->left_bytes};
    if (!look_at_file(r, &s)) {
        return rm_fail_as(err, RM_CODE_CHECKPOINT_REFUSED, "%.300s cannot be read again", r->name);
    }
    s.offset_bytes = lseek(r->fd, 0, SEEK_CUR);
    rm_status status = rm_blob_append(blob, &s, sizeof s);
    return status == RM_OK ? RM_OK : rm_fail(err, status, "no memory to save a place");
}

static rm_status read_restore(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    reader *r = node->state;
    saved s, now = {0};
    if (bytes != sizeof s) {
        return rm_fail(err, RM_EINVAL, "a saved place has %zu bytes, want %zu", bytes, sizeof s);
    }
    memcpy(&s, data, sizeof s);
    if (!look_at_file(r, &now) || now.size_bytes != s.size_bytes || now.changed_s != s.changed_s ||
        now.changed_ns != s.changed_ns) {
        return rm_fail_as(err, RM_CODE_CHECKPOINT_BAD,
                          "'%.300s' has changed since the checkpoint was made", r->name);
    }
    if (lseek(r->fd, s.offset_bytes, SEEK_SET) != s.offset_bytes) {
        return read_fail_os(r, errno, err);
    }
    r->frames = s.frames;
    r->left_bytes = s.left_bytes;
    return RM_OK;
}

static const rm_param read_table[] = {
    {.name = "path",
     .kind = RM_PARAM_STRING,
     .flags = RM_PARAM_REQUIRED,
     .offset = offsetof(read_params, path),
     .summary = "of the file; - is standard input"},
    {.name = "packet_ms",
     .kind = RM_PARAM_FLOAT,
     .offset = offsetof(read_params, packet_ms),
     .default_json = "20",
     .min = 0.1,
     .max = 1000,
     .unit = "ms",
     .summary = "length of a packet, rounded to whole frames; the last one may be shorter"},
    {.name = "paced",
     .kind = RM_PARAM_BOOL,
     .offset = offsetof(read_params, paced),
     .default_json = "false",
     .summary = "packets leave in real time, not as fast as they are taken"},
    {.name = "accept_truncated",
     .kind = RM_PARAM_BOOL,
     .offset = offsetof(read_params, accept_truncated),
     .default_json = "false",
     .summary = "a file that ends early is no error"},
    {0},
};

static const rm_port read_outputs[] = {
    {.name = "audio", .formats = "audio planar=0", .summary = "the samples, from 0 s on"}, {0}};

static void each_codec(void (*show)(void *context, const char *name), void *context)
{
    show(context, "pcm_u8");
    show(context, "pcm_s16le");
    show(context, "pcm_s24le");
    show(context, "pcm_s32le");
    show(context, "pcm_f32le");
    show(context, "pcm_f64le");
}

static const rm_node_type read_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "wav.read",
    .summary = "Read a WAVE file or stream",
    .example = "wav.read path=talk.wav ! audio.resample rate_hz=8000 ! wav.write path=talk8.wav",
    .flags = RM_NODE_BLOCKS,
    .outputs = read_outputs,
    .params = read_table,
    .params_size = sizeof(read_params),
    .state_size = sizeof(reader),
    .open = read_open,
    .process = read_process,
    .close = read_close,
    .checkpoint = read_checkpoint,
    .restore = read_restore,
    .each_codec = each_codec,
};

RM_MODULE("wav.read", RM_VERSION, &read_type)
