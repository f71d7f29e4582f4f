/* wav.write — audio packets into a WAVE file or stream.
 *
 * The head is written with unknown sizes first and, where the file can be written twice, again with
 * the sizes at the end. A pipe keeps the unknown sizes, which readers take as "until the end".
 */
#include <errno.h>

#include "../audio_packet.h"
#include "../file_place.h"
#include "wav_head.h"

enum { BLOCK_SAMPLES = 4096, COME_BACK_NS = 1000000 };

/* Index of the parameter's choice. */
enum { FORMAT_KEEP, FORMAT_U8, FORMAT_S16, FORMAT_S24, FORMAT_S32, FORMAT_F32, FORMAT_F64 };

typedef struct write_params {
    const char *path;
    int64_t sample_format;
} write_params;

typedef struct writer {
    file_out file;
    wav_head head; /* its line is interleaved; rate_hz 0: not known yet */
    bool seekable, finished;
    int64_t start; /* where the file begins: standard output may hold something already */
    uint32_t head_bytes;
    uint64_t data_bytes; /* written */
    uint32_t frame;      /* of the packet that is being written */
    size_t block_bytes, block_done;
    size_t head_done; /* a pipe may take the head in pieces */
    uint8_t head_text[WAV_HEAD_BYTES_MAX];
    union {
        uint8_t bytes[BLOCK_SAMPLES * 8];
        int32_t s32[BLOCK_SAMPLES];
    } block;
} writer;

/* ---- the format of the file */

static uint8_t line_format(int64_t choice, uint8_t keep)
{
    static const uint8_t formats[] = {
        0, RM_SAMPLE_U8, RM_SAMPLE_S16, RM_SAMPLE_S32, RM_SAMPLE_S32, RM_SAMPLE_F32, RM_SAMPLE_F64};
    return choice == FORMAT_KEEP ? keep : formats[choice];
}

static void begin_file(writer *w, const write_params *params, const rm_format_line *line)
{
    w->head.line = *line;
    w->head.line.audio.planar = 0;
    w->head.line.audio.sample_format =
        line_format(params->sample_format, line->audio.sample_format);
    w->head.sample_bytes =
        params->sample_format == FORMAT_S24 ? 3 : (uint8_t)audio_sample_bytes(&w->head.line);
    w->head.room_for_64 = w->seekable;
    w->head_bytes = wav_head_make(&w->head, WAV_HEAD_UNKNOWN, w->head_text);
}

/* The samples may come in any format; rate and channels stay what the file's head says. */
static rm_status check_line(const writer *w, const rm_format_line *line, rm_error *err)
{
    if (line->audio.rate_hz == w->head.line.audio.rate_hz &&
        line->audio.channels == w->head.line.audio.channels) {
        return RM_OK;
    }
    rm_status status =
        rm_fail_as(err, RM_CODE_PACKET_FORMAT,
                   "'%.300s' was begun with %u Hz, %u channels; now come %u Hz, %u", w->file.name,
                   w->head.line.audio.rate_hz, w->head.line.audio.channels, line->audio.rate_hz,
                   line->audio.channels);
    rm_error_help(err, "put audio.convert channels=%u and audio.resample rate_hz=%u before it",
                  w->head.line.audio.channels, w->head.line.audio.rate_hz);
    return status;
}

static rm_status write_control(rm_node *node, const rm_control *control, rm_error *err)
{
    writer *w = node->state;
    if (control->op == RM_CONTROL_INTERRUPT) {
        w->frame = 0; /* a block that was begun goes out whole, so that frames stay whole */
    }
    if (control->op != RM_CONTROL_FORMAT) {
        return RM_OK;
    }
    rm_status status = audio_check_line(control->line, err);
    if (status != RM_OK) {
        return status;
    }
    if (w->head.line.audio.rate_hz == 0) {
        begin_file(w, node->params, control->line);
        return RM_OK;
    }
    return check_line(w, control->line, err);
}

static rm_status write_open(rm_node *node, rm_error *err)
{
    const write_params *params = node->params;
    writer *w = node->state;
    rm_status status = file_out_open(&w->file, params->path, err);
    if (status == RM_OK) {
        w->start = w->file.regular ? lseek(w->file.fd, 0, SEEK_CUR) : -1;
        int flags = fcntl(w->file.fd, F_GETFL);
        w->seekable = w->start >= 0 && flags >= 0 && !(flags & O_APPEND);
    }
    return status;
}

/* ---- samples */

static void narrow_24(uint8_t *to, const int32_t *from, size_t samples)
{
    for (size_t i = 0; i < samples; i++, to += 3) {
        /* Half up, as core/dsp rounds integers; full scale saturates. */
        int64_t rounded = ((int64_t)from[i] + 128) >> 8;
        int32_t value = rounded > 8388607 ? 8388607 : (int32_t)rounded;
        to[0] = (uint8_t)value;
        to[1] = (uint8_t)(value >> 8);
        to[2] = (uint8_t)(value >> 16);
    }
}

/* The next frames of the packet, as stored, into the block. */
static void fill_block(writer *w, const rm_packet *packet)
{
    rmi_audio from = audio_of(packet);
    uint32_t left = packet->header.instance.audio.frames - w->frame;
    uint32_t room = BLOCK_SAMPLES / from.channels, frames = left < room ? left : room;
    size_t samples = (size_t)frames * from.channels;
    rmi_audio to = {w->block.bytes, 0, from.channels, w->head.line.audio.sample_format};
    rmi_audio part = from;
    part.data = rmi_audio_channel(&from, 0, w->frame);
    rmi_audio_convert(&to, &part, frames);
    if (w->head.sample_bytes == 3) {
        narrow_24(w->block.bytes, w->block.s32, samples);
    }
    w->block_bytes = samples * w->head.sample_bytes;
    w->block_done = 0;
    w->frame += frames;
}

static rm_status write_counted(writer *w, const void *data, size_t bytes, size_t *done,
                               rm_error *err)
{
    size_t before = *done;
    rm_status status = file_out_write(&w->file, data, bytes, done, err);
    w->data_bytes += *done - before;
    return status;
}

/* What is begun: the head, then a block. */
static rm_status write_begun(writer *w, rm_error *err)
{
    rm_status status = RM_OK;
    if (w->head_done < w->head_bytes) {
        status = file_out_write(&w->file, w->head_text, w->head_bytes, &w->head_done, err);
    }
    if (status == RM_OK && w->block_done < w->block_bytes) {
        status = write_counted(w, w->block.bytes, w->block_bytes, &w->block_done, err);
    }
    return status;
}

/* Stored as it comes: the packet itself is written, whole, where the file takes it at once. */
static bool goes_straight(const writer *w, const rm_packet *packet)
{
    return w->file.regular && w->frame == 0 && w->head.sample_bytes != 3 &&
           packet->header.format.audio.sample_format == w->head.line.audio.sample_format &&
           !packet->header.format.audio.planar;
}

static rm_status write_packet(writer *w, const rm_packet *packet, rm_error *err)
{
    uint32_t frames = packet->header.instance.audio.frames;
    rm_status status = write_begun(w, err);
    if (status == RM_OK && goes_straight(w, packet)) {
        size_t done = 0, frame = (size_t)w->head.sample_bytes * w->head.line.audio.channels;
        status = write_counted(w, packet->payload, frames * frame, &done, err);
        if (status != RM_OK && file_out_take_back(&w->file, done % frame)) {
            w->data_bytes -= done % frame; /* what follows begins with a whole frame */
        }
        return status;
    }
    while (status == RM_OK && w->frame < frames) {
        fill_block(w, packet);
        status = write_begun(w, err);
    }
    return status;
}

static rm_status come_back(rm_node *node)
{
    rm_node_wake_at(node, rm_node_now(node) + COME_BACK_NS);
    return RM_EAGAIN;
}

static rm_status write_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    writer *w = node->state;
    const rm_packet *packet = inputs->packet[0];
    rm_status status = audio_check(packet, err);
    if (status == RM_OK) {
        status = write_packet(w, packet, err);
    }
    if (status == RM_EAGAIN) {
        return come_back(node);
    }
    w->frame = 0;
    return status;
}

/* ---- the end */

/* A stream without a packet still makes a file: of the format that was planned, as far as it is. */
static void begin_empty(rm_node *node)
{
    rm_format_line line = audio_planned_line(node, 0);
    line.audio.rate_hz = line.audio.rate_hz ? line.audio.rate_hz : 48000;
    line.audio.channels = line.audio.channels ? line.audio.channels : 1;
    line.audio.sample_format = line.audio.sample_format ? line.audio.sample_format : RM_SAMPLE_S16;
    begin_file(node->state, node->params, &line);
}

/* Every chunk has an even size. */
static rm_status write_padding(writer *w, rm_error *err)
{
    size_t done = 0;
    return w->data_bytes & 1 ? file_out_write(&w->file, "", 1, &done, err) : RM_OK;
}

/* The head again, with the sizes of what is there. */
static rm_status write_sizes(writer *w, rm_error *err)
{
    if (!w->seekable) {
        return RM_OK;
    }
    w->head_bytes = wav_head_make(&w->head, w->data_bytes, w->head_text);
    ssize_t written = pwrite(w->file.fd, w->head_text, w->head_bytes, w->start);
    return written == (ssize_t)w->head_bytes
               ? RM_OK
               : file_out_fail(&w->file, written < 0 ? errno : EIO, err);
}

static rm_status write_flush(rm_node *node, rm_error *err)
{
    writer *w = node->state;
    if (w->head.line.audio.rate_hz == 0) {
        begin_empty(node);
    }
    rm_status status = write_begun(w, err);
    if (status == RM_OK) {
        status = write_padding(w, err);
    }
    if (status == RM_OK) {
        status = write_sizes(w, err);
    }
    if (status == RM_EAGAIN) {
        return come_back(node);
    }
    if (status == RM_OK) {
        w->finished = true;
        status = file_out_finish(&w->file, err);
    }
    return status;
}

/* Without a flush (an error, a cancel) what was written is made readable all the same: a frame that
 * was begun goes, the sizes come. */
static void write_close(rm_node *node)
{
    writer *w = node->state;
    if (!w->finished && w->seekable && w->head_bytes && w->head_done == w->head_bytes) {
        w->data_bytes -=
            w->data_bytes % ((uint64_t)w->head.sample_bytes * w->head.line.audio.channels);
        if (ftruncate(w->file.fd, w->start + w->head_bytes + (int64_t)w->data_bytes) == 0) {
            (void)write_padding(w, NULL);
            (void)write_sizes(w, NULL);
        }
    }
    file_out_abandon(&w->file);
}

/* ---- checkpoints */

/* The head as it was written first: it is written again at the end. */
typedef struct saved {
    file_place place;
    wav_head head;
    uint64_t head_bytes, head_done, data_bytes;
    uint8_t head_text[WAV_HEAD_BYTES_MAX];
} saved;

static rm_status write_checkpoint(rm_node *node, rm_blob *blob, rm_error *err)
{
    const writer *w = node->state;
    saved s;
    memset(&s, 0, sizeof s);
    file_place_of(&w->file, &s.place);
    if (!w->seekable || s.place.offset_bytes < 0) {
        return rm_fail_as(err, RM_CODE_CHECKPOINT_REFUSED,
                          "%.300s cannot be cut back to where a checkpoint was", w->file.name);
    }
    s.head = w->head;
    s.head_bytes = w->head_bytes;
    s.head_done = w->head_done;
    s.data_bytes = w->data_bytes;
    memcpy(s.head_text, w->head_text, sizeof s.head_text);
    rm_status status = rm_blob_append(blob, &s, sizeof s);
    return status == RM_OK ? RM_OK : rm_fail(err, status, "no memory to save a file's place");
}

static rm_status write_restore(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    writer *w = node->state;
    saved s;
    if (bytes != sizeof s) {
        return rm_fail(err, RM_EINVAL, "a saved file has %zu bytes, want %zu", bytes, sizeof s);
    }
    memcpy(&s, data, sizeof s);
    if (s.head_bytes > WAV_HEAD_BYTES_MAX || s.head_done > s.head_bytes) {
        return rm_fail(err, RM_EINVAL, "a saved file has a head of %llu bytes",
                       (unsigned long long)s.head_bytes);
    }
    w->head = s.head;
    w->head_bytes = (uint32_t)s.head_bytes;
    w->head_done = s.head_done;
    w->data_bytes = s.data_bytes;
    memcpy(w->head_text, s.head_text, sizeof s.head_text);
    rm_status status = file_place_return(&s.place, &w->file, err);
    w->start = 0;
    w->seekable = status == RM_OK;
    return status;
}

static const rm_param write_table[] = {
    {.name = "path",
     .kind = RM_PARAM_STRING,
     .flags = RM_PARAM_REQUIRED,
     .offset = offsetof(write_params, path),
     .summary = "of the file, which takes the place of an old one; - is standard output"},
    {.name = "sample_format",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(write_params, sample_format),
     .default_json = "\"keep\"",
     .choices = "keep|u8|s16|s24|s32|f32|f64",
     .summary = "of the samples in the file; keep: as in the first packet"},
    {0},
};

static const rm_port write_inputs[] = {
    {.name = "audio", .formats = "audio", .summary = "of one rate and number of channels"}, {0}};

static void each_codec(void (*show)(void *context, const char *name), void *context)
{
    show(context, "pcm_u8");
    show(context, "pcm_s16le");
    show(context, "pcm_s24le");
    show(context, "pcm_s32le");
    show(context, "pcm_f32le");
    show(context, "pcm_f64le");
}

static const rm_node_type write_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "wav.write",
    .summary = "Write a WAVE file or stream",
    .example = "test.tone duration_ms=500 ! wav.write path=tone.wav sample_format=s16",
    .flags = RM_NODE_BLOCKS | RM_NODE_LATE,
    .inputs = write_inputs,
    .params = write_table,
    .params_size = sizeof(write_params),
    .state_size = sizeof(writer),
    .open = write_open,
    .process = write_process,
    .flush = write_flush,
    .control = write_control,
    .close = write_close,
    .checkpoint = write_checkpoint,
    .restore = write_restore,
    .each_codec = each_codec,
};

RM_MODULE("wav.write", RM_VERSION, &write_type)
