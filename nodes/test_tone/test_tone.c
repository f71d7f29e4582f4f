/* test.tone — a sine of exact phase, as audio packets. */
#include <math.h>
#include <string.h>

#include "../audio_packet.h"
#include "dsp/tone.h"

enum { PIECE_FRAMES = 1024 };

typedef struct tone_params {
    int64_t rate_hz, channels, sample_format;
    double frequency_hz, gain_db, duration_ms, packet_ms;
    bool paced;
} tone_params;

typedef struct tone {
    rm_format_line line;
    double amplitude;
    uint32_t packet_frames;
    uint64_t next, end; /* frames; end 0: never */
    audio_pace pace;
} tone;

/* Index of the parameter's choice to rm_sample_format. */
static uint8_t tone_sample_format(const tone_params *params)
{
    return params->sample_format == 0 ? RM_SAMPLE_F32 : RM_SAMPLE_S16;
}

static rm_status tone_plan(const void *params_, const rm_format *in, rm_format *out, rm_error *err)
{
    const tone_params *params = params_;
    (void)in;
    if (params->frequency_hz > (double)params->rate_hz / 2) {
        return rm_fail_as(err, RM_CODE_PARAM_RANGE,
                          "frequency_hz is %g Hz, want at most half of rate_hz, %g Hz",
                          params->frequency_hz, (double)params->rate_hz / 2);
    }
    out[0].field[0] = (rm_field){RM_FIELD_SET, 1, {params->rate_hz}};
    out[0].field[1] = (rm_field){RM_FIELD_SET, 1, {params->channels}};
    out[0].field[2] = (rm_field){RM_FIELD_SET, 1, {tone_sample_format(params)}};
    out[0].field[3] = (rm_field){RM_FIELD_SET, 1, {0}};
    return RM_OK;
}

static rm_status tone_open(rm_node *node, rm_error *err)
{
    const tone_params *params = node->params;
    tone *t = node->state;
    rm_format unused = {.kind = RM_KIND_AUDIO};
    rm_status status = tone_plan(params, NULL, &unused, err);
    if (status != RM_OK) {
        return status;
    }
    t->line.audio.rate_hz = (uint32_t)params->rate_hz;
    t->line.audio.channels = (uint16_t)params->channels;
    t->line.audio.sample_format = tone_sample_format(params);
    t->amplitude = pow(10, params->gain_db / 20);
    t->packet_frames = (uint32_t)audio_frames_of_ms(params->packet_ms, t->line.audio.rate_hz);
    t->end = params->duration_ms > 0
                 ? audio_frames_of_ms(params->duration_ms, t->line.audio.rate_hz)
                 : 0;
    return RM_OK;
}

static void tone_fill(const tone *t, double frequency_hz, rm_packet *packet)
{
    rmi_audio audio = audio_of(packet);
    uint32_t frames = packet->header.instance.audio.frames;
    for (uint32_t done = 0; done < frames; done += PIECE_FRAMES) {
        double piece[PIECE_FRAMES];
        size_t count = frames - done < PIECE_FRAMES ? frames - done : PIECE_FRAMES;
        rmi_tone(piece, count, t->next + done, frequency_hz, t->line.audio.rate_hz, t->amplitude);
        for (uint32_t c = 0; c < audio.channels; c++) {
            rmi_samples_convert(rmi_audio_channel(&audio, c, done), audio.format,
                                rmi_audio_stride(&audio), piece, RMI_F64, 1, count);
        }
    }
}

static rm_status tone_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const tone_params *params = node->params;
    tone *t = node->state;
    (void)inputs;
    int64_t pts_ns = audio_time_ns(t->next, t->line.audio.rate_hz);
    if (params->paced && !audio_pace_is_due(&t->pace, node, pts_ns)) {
        return RM_EAGAIN;
    }
    uint64_t left = t->end ? t->end - t->next : t->packet_frames;
    uint32_t frames = left < t->packet_frames ? (uint32_t)left : t->packet_frames;
    rm_packet *packet = NULL;
    rm_status status = audio_packet_new(node, &t->line, frames, &packet, err);
    if (status != RM_OK) {
        return status;
    }
    tone_fill(t, params->frequency_hz, packet);
    packet->header.pts_ns = pts_ns;
    t->next += frames;
    status = rm_emit(node, 0, packet);
    return status == RM_OK && t->end && t->next == t->end ? RM_DONE : status;
}

static rm_status tone_checkpoint(rm_node *node, rm_blob *blob, rm_error *err)
{
    const tone *t = node->state;
    (void)err;
    return rm_blob_append(blob, &t->next, sizeof t->next);
}

static rm_status tone_restore(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    tone *t = node->state;
    if (bytes != sizeof t->next) {
        return rm_fail(err, RM_EINVAL, "a saved tone has %zu bytes, want %zu", bytes,
                       sizeof t->next);
    }
    memcpy(&t->next, data, sizeof t->next);
    return RM_OK;
}

static const rm_param tone_table[] = {
    {.name = "rate_hz",
     .kind = RM_PARAM_INT,
     .offset = offsetof(tone_params, rate_hz),
     .default_json = "48000",
     .min = 1000,
     .max = 768000,
     .unit = "Hz",
     .summary = "frames a second"},
    {.name = "channels",
     .kind = RM_PARAM_INT,
     .offset = offsetof(tone_params, channels),
     .default_json = "1",
     .min = 1,
     .max = AUDIO_CHANNELS_MAX,
     .summary = "how many channels, all alike"},
    {.name = "frequency_hz",
     .kind = RM_PARAM_FLOAT,
     .offset = offsetof(tone_params, frequency_hz),
     .default_json = "440",
     .max = 384000,
     .unit = "Hz",
     .summary = "of the sine; at most half of rate_hz"},
    {.name = "gain_db",
     .kind = RM_PARAM_FLOAT,
     .offset = offsetof(tone_params, gain_db),
     .default_json = "-6",
     .min = -120,
     .max = 0,
     .unit = "dB",
     .summary = "peak of the sine re full scale"},
    {.name = "duration_ms",
     .kind = RM_PARAM_FLOAT,
     .offset = offsetof(tone_params, duration_ms),
     .default_json = "1000",
     .max = 1e12,
     .unit = "ms",
     .summary = "length; 0: without end"},
    {.name = "packet_ms",
     .kind = RM_PARAM_FLOAT,
     .offset = offsetof(tone_params, packet_ms),
     .default_json = "20",
     .min = 0.1,
     .max = 1000,
     .unit = "ms",
     .summary = "length of a packet, rounded to whole frames"},
    {.name = "sample_format",
     .kind = RM_PARAM_ENUM,
     .offset = offsetof(tone_params, sample_format),
     .default_json = "\"f32\"",
     .choices = "f32|s16",
     .summary = "of the samples"},
    {.name = "paced",
     .kind = RM_PARAM_BOOL,
     .offset = offsetof(tone_params, paced),
     .default_json = "false",
     .summary = "packets leave in real time, not as fast as they are taken"},
    {0},
};

static const rm_port tone_outputs[] = {
    {.name = "audio", .formats = "audio", .summary = "the tone, from 0 s on"}, {0}};

static const rm_node_type tone_type = {
    .struct_size = sizeof(rm_node_type),
    .name = "test.tone",
    .summary = "A sine of exact phase",
    .example = "test.tone frequency_hz=1000 duration_ms=500 ! audio.level ! json.write path=-",
    .outputs = tone_outputs,
    .params = tone_table,
    .params_size = sizeof(tone_params),
    .state_size = sizeof(tone),
    .plan = tone_plan,
    .open = tone_open,
    .process = tone_process,
    .checkpoint = tone_checkpoint,
    .restore = tone_restore,
};

RM_MODULE("test.tone", RM_VERSION, &tone_type)
