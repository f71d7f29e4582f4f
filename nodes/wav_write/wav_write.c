/* wav.write — audio packets into a WAVE file or stream.
 *
 *     RIFF │ JUNK (28) │ fmt │ [fact] │ data …          the head is written with unknown sizes
 * first, RF64 │ ds64      │ fmt │ [fact] │ data …          and again, with the sizes, at the end
 *
 * JUNK keeps the place for a ds64 chunk, needed above 4 GiB (EBU Tech 3306). A pipe gets no JUNK
 * and keeps the unknown sizes, which readers take as "until the end".
 */
#include <errno.h>

#include "../audio_packet.h"
#include "../file_out.h"
#include "dsp/mix.h"

enum { HEAD_BYTES_MAX = 12 + 36 + 48 + 12 + 8, BLOCK_SAMPLES = 4096, COME_BACK_NS = 1000000 };
enum { TAG_PCM = 1, TAG_FLOAT = 3, TAG_EXTENSIBLE = 0xFFFE };

#define SIZE_UNKNOWN 0xFFFFFFFFu

/* Index of the parameter's choice. */
enum { FORMAT_KEEP, FORMAT_U8, FORMAT_S16, FORMAT_S24, FORMAT_S32, FORMAT_F32, FORMAT_F64 };

typedef struct write_params {
    const char *path;
    int64_t sample_format;
} write_params;

typedef struct writer {
    file_out file;
    rm_format_line line;  /* of the file: interleaved; rate_hz 0: not known yet */
    uint8_t sample_bytes; /* as stored: 3 for 24 bits, whose line says s32 */
    bool seekable, finished;
    int64_t start; /* where the file begins: standard output may hold something already */
    uint32_t head_bytes;
    uint64_t data_bytes; /* written */
    uint32_t frame;      /* of the packet that is being written */
    size_t block_bytes, block_done;
    size_t head_done; /* a pipe may take the head in pieces */
    uint8_t head[HEAD_BYTES_MAX];
    union {
        uint8_t bytes[BLOCK_SAMPLES * 8];
        int32_t s32[BLOCK_SAMPLES];
    } block;
} writer;

/* ---- the head */

typedef struct head {
    uint8_t *bytes;
    uint32_t used;
} head;

static void put(head *h, uint64_t value, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        h->bytes[h->used++] = (uint8_t)(value >> 8 * i);
    }
}

static void put_id(head *h, const char *id)
{
    for (int i = 0; i < 4; i++) {
        h->bytes[h->used++] = (uint8_t)id[i];
    }
}

static bool is_float(const writer *w)
{
    return w->line.audio.sample_format == RM_SAMPLE_F32 ||
           w->line.audio.sample_format == RM_SAMPLE_F64;
}

static void put_format(const writer *w, head *h)
{
    static const uint8_t guid_end[14] = {0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80,
                                         0x00, 0x00, 0xAA, 0x00, 0x38, 0x9B, 0x71};
    uint32_t channels = w->line.audio.channels, rate_hz = w->line.audio.rate_hz;
    uint32_t block = w->sample_bytes * channels, tag = is_float(w) ? TAG_FLOAT : TAG_PCM;
    uint64_t usual = rmi_mix_default_mask(channels), mask = w->line.audio.channel_mask;
    mask = mask ? mask : usual;
    bool extensible = channels > 2 || mask != usual || (tag == TAG_PCM && w->sample_bytes > 2);
    put_id(h, "fmt ");
    put(h, extensible ? 40 : 16, 4);
    put(h, extensible ? TAG_EXTENSIBLE : tag, 2);
    put(h, channels, 2);
    put(h, rate_hz, 4);
    put(h, (uint64_t)rate_hz * block, 4);
    put(h, block, 2);
    put(h, 8ull * w->sample_bytes, 2);
    if (extensible) {
        put(h, 22, 2);
        put(h, 8ull * w->sample_bytes, 2);
        put(h, mask, 4);
        put(h, tag, 2);
        for (size_t i = 0; i < sizeof guid_end; i++) {
            put(h, guid_end[i], 1);
        }
    }
}

/* known: with the sizes of what is written. */
static void make_head(writer *w, bool known)
{
    head h = {w->head, 0};
    uint32_t block = w->sample_bytes * (uint32_t)w->line.audio.channels;
    uint64_t riff_bytes = w->head_bytes - 8 + w->data_bytes + (w->data_bytes & 1);
    uint64_t frames = w->data_bytes / block;
    bool is_64 = known && riff_bytes >= SIZE_UNKNOWN;
    put_id(&h, is_64 ? "RF64" : "RIFF");
    put(&h, known && !is_64 ? riff_bytes : SIZE_UNKNOWN, 4);
    put_id(&h, "WAVE");
    if (w->seekable) {
        put_id(&h, is_64 ? "ds64" : "JUNK");
        put(&h, 28, 4);
        put(&h, is_64 ? riff_bytes : 0, 8);
        put(&h, is_64 ? w->data_bytes : 0, 8);
        put(&h, is_64 ? frames : 0, 8);
        put(&h, 0, 4);
    }
    put_format(w, &h);
    if (is_float(w)) {
        put_id(&h, "fact");
        put(&h, 4, 4);
        put(&h, known && frames < SIZE_UNKNOWN ? frames : SIZE_UNKNOWN, 4);
    }
    put_id(&h, "data");
    put(&h, known && !is_64 ? w->data_bytes : SIZE_UNKNOWN, 4);
    w->head_bytes = h.used;
}

/* ---- the format of the file */

static uint8_t line_format(int64_t choice, uint8_t keep)
{
    static const uint8_t formats[] = {
        0, RM_SAMPLE_U8, RM_SAMPLE_S16, RM_SAMPLE_S32, RM_SAMPLE_S32, RM_SAMPLE_F32, RM_SAMPLE_F64};
    return choice == FORMAT_KEEP ? keep : formats[choice];
}

static void begin_file(writer *w, const write_params *params, const rm_format_line *line)
{
    w->line = *line;
    w->line.audio.planar = 0;
    w->line.audio.sample_format = line_format(params->sample_format, line->audio.sample_format);
    w->sample_bytes =
        params->sample_format == FORMAT_S24 ? 3 : (uint8_t)audio_sample_bytes(&w->line);
    make_head(w, false);
}

/* The samples may come in any format; rate and channels stay what the file's head says. */
static rm_status check_line(const writer *w, const rm_format_line *line, rm_error *err)
{
    if (line->audio.rate_hz == w->line.audio.rate_hz &&
        line->audio.channels == w->line.audio.channels) {
        return RM_OK;
    }
    rm_status status = rm_fail_as(err, RM_CODE_PACKET_FORMAT,
                                  "'%.300s' was begun with %u Hz, %u channels; now come %u Hz, %u",
                                  w->file.name, w->line.audio.rate_hz, w->line.audio.channels,
                                  line->audio.rate_hz, line->audio.channels);
    rm_error_help(err, "put audio.convert channels=%u and audio.resample rate_hz=%u before it",
                  w->line.audio.channels, w->line.audio.rate_hz);
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
    if (w->line.audio.rate_hz == 0) {
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
    rmi_audio to = {w->block.bytes, 0, from.channels, w->line.audio.sample_format};
    rmi_audio part = from;
    part.data = rmi_audio_channel(&from, 0, w->frame);
    rmi_audio_convert(&to, &part, frames);
    if (w->sample_bytes == 3) {
        narrow_24(w->block.bytes, w->block.s32, samples);
    }
    w->block_bytes = samples * w->sample_bytes;
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
        status = file_out_write(&w->file, w->head, w->head_bytes, &w->head_done, err);
    }
    if (status == RM_OK && w->block_done < w->block_bytes) {
        status = write_counted(w, w->block.bytes, w->block_bytes, &w->block_done, err);
    }
    return status;
}

/* Stored as it comes: the packet itself is written, whole, where the file takes it at once. */
static bool goes_straight(const writer *w, const rm_packet *packet)
{
    return w->file.regular && w->frame == 0 && w->sample_bytes != 3 &&
           packet->header.format.audio.sample_format == w->line.audio.sample_format &&
           !packet->header.format.audio.planar;
}

static rm_status write_packet(writer *w, const rm_packet *packet, rm_error *err)
{
    uint32_t frames = packet->header.instance.audio.frames;
    rm_status status = write_begun(w, err);
    if (status == RM_OK && goes_straight(w, packet)) {
        size_t done = 0;
        return write_counted(w, packet->payload,
                             (size_t)frames * w->sample_bytes * w->line.audio.channels, &done, err);
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
    make_head(w, true);
    ssize_t written = pwrite(w->file.fd, w->head, w->head_bytes, w->start);
    return written == (ssize_t)w->head_bytes
               ? RM_OK
               : file_out_fail(&w->file, written < 0 ? errno : EIO, err);
}

static rm_status write_flush(rm_node *node, rm_error *err)
{
    writer *w = node->state;
    if (w->line.audio.rate_hz == 0) {
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
        status = file_out_close(&w->file, err);
    }
    return status;
}

/* Without a flush (an error, a cancel) what was written is made readable all the same: a frame that
 * was begun goes, the sizes come. */
static void write_close(rm_node *node)
{
    writer *w = node->state;
    if (!w->finished && w->seekable && w->head_bytes && w->head_done == w->head_bytes) {
        w->data_bytes -= w->data_bytes % ((uint64_t)w->sample_bytes * w->line.audio.channels);
        if (ftruncate(w->file.fd, w->start + w->head_bytes + (int64_t)w->data_bytes) == 0) {
            (void)write_padding(w, NULL);
            (void)write_sizes(w, NULL);
        }
    }
    (void)file_out_close(&w->file, NULL);
}

static const rm_param write_table[] = {
    {.name = "path",
     .kind = RM_PARAM_STRING,
     .flags = RM_PARAM_REQUIRED,
     .offset = offsetof(write_params, path),
     .summary = "of the file, which is overwritten; - is standard output"},
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
};

RM_MODULE("wav.write", RM_VERSION, &write_type)
