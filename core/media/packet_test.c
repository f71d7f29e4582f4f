/* packet_test.c — a header from outside is believed only where every number in it holds. */
#include <remotemedia/packet.h>

#include "base/test.h"

static rm_packet_header audio(void)
{
    rm_packet_header h = {.version = 1, .kind = RM_KIND_AUDIO, .header_units = 2};
    h.payload_bytes = 960 * 2 * 4;
    h.format.audio.rate_hz = 48000;
    h.format.audio.channels = 2;
    h.format.audio.sample_format = RM_SAMPLE_F32;
    h.instance.audio.frames = 960;
    return h;
}

static rm_packet_header video(void)
{
    rm_packet_header h = {.version = 1, .kind = RM_KIND_VIDEO, .header_units = 2};
    h.payload_bytes = 64 * 48 * 3 / 2;
    h.format.video.fourcc = RM_FOURCC_I420;
    h.format.video.width = 64;
    h.format.video.height = 48;
    h.format.video.planes = 3;
    h.instance.video.offset_bytes[1] = 64 * 48;
    h.instance.video.offset_bytes[2] = 64 * 48 + 32 * 24;
    h.instance.video.stride_bytes[0] = 64;
    h.instance.video.stride_bytes[1] = h.instance.video.stride_bytes[2] = 32;
    return h;
}

static rm_packet_header tensor(void)
{
    rm_packet_header h = {.version = 1, .kind = RM_KIND_TENSOR, .header_units = 2};
    h.payload_bytes = 6 * 4;
    h.format.tensor.dtype = RM_DTYPE_F32;
    h.format.tensor.ndim = 2;
    h.instance.tensor.shape[0] = 2;
    h.instance.tensor.shape[1] = 3;
    return h;
}

/* Changes one field of a good header and wants the error to name it. */
#define CHECK_BAD(make, change, name)                                     \
    do {                                                                  \
        rm_packet_header h = make();                                      \
        rm_error err = RM_ERROR_INIT;                                     \
        CHECK_INT(rm_packet_header_check(&h, sizeof h, &err), RM_OK);     \
        change;                                                           \
        CHECK_INT(rm_packet_header_check(&h, sizeof h, &err), RM_EINVAL); \
        CHECK_INT(err.code, RM_CODE_PACKET_HEADER);                       \
        CHECK_CONTAINS(err.message, name);                                \
    } while (0)

TEST(the_common_part_is_checked)
{
    CHECK_BAD(audio, h.version = 2, "version");
    CHECK_BAD(audio, h.header_units = 1, "header_units");
    CHECK_BAD(audio, h.header_units = 255, "header_units");
    CHECK_BAD(audio, h.kind = 0, "kind");
    CHECK_BAD(audio, h.kind = RM_KIND_OBJECT, "kind");
    CHECK_BAD(audio, h.kind = 200, "kind");
    CHECK_BAD(audio, h.memory = RM_MEMORY_CUDA, "memory");
    CHECK_BAD(audio, h.flags = 1u << 9, "flags");
    CHECK_BAD(audio, h.duration_ns = -1, "duration_ns");
    CHECK_BAD(audio, h.payload_bytes = UINT64_MAX, "payload_bytes");
    CHECK_BAD(audio, h.metadata_bytes = 65537, "metadata_bytes");
    CHECK_BAD(audio, h.format.audio.zero[15] = 1, "unused bytes");
    CHECK_BAD(audio, h.instance.audio.zero[0] = 1, "unused bytes");
    rm_packet_header h = audio();
    CHECK_INT(rm_packet_header_check(&h, 127, NULL), RM_EINVAL);
    CHECK_INT(rm_packet_header_check(NULL, 128, NULL), RM_EINVAL);
}

TEST(audio_lies_within_its_payload)
{
    CHECK_BAD(audio, h.instance.audio.frames = 961, "frames");
    CHECK_BAD(audio, h.instance.audio.frames = UINT32_MAX, "frames");
    CHECK_BAD(audio, h.format.audio.rate_hz = 0, "rate_hz");
    CHECK_BAD(audio, h.format.audio.channels = 0, "channels");
    CHECK_BAD(audio, h.format.audio.channels = 65535, "channels");
    CHECK_BAD(audio, h.format.audio.sample_format = 6, "sample_format");
    CHECK_BAD(audio, h.format.audio.planar = 2, "planar");
    CHECK_BAD(audio, h.instance.audio.plane_stride_bytes = 4, "plane_stride_bytes");
    CHECK_BAD(audio, h.format.audio.planar = 1, "plane_stride_bytes");
    CHECK_BAD(audio, (h.format.audio.planar = 1, h.instance.audio.plane_stride_bytes = 3844),
              "frames");
}

TEST(video_planes_lie_within_their_payload)
{
    CHECK_BAD(video, h.format.video.fourcc = 7, "fourcc");
    CHECK_BAD(video, h.format.video.width = 0, "width");
    CHECK_BAD(video, h.format.video.height = 1u << 31, "height");
    CHECK_BAD(video, h.format.video.planes = 2, "planes");
    CHECK_BAD(video, h.format.video.rotation = 4, "rotation");
    CHECK_BAD(video, h.instance.video.stride_bytes[0] = 63, "stride_bytes");
    CHECK_BAD(video, h.instance.video.stride_bytes[2] = UINT32_MAX, "offset_bytes");
    CHECK_BAD(video, h.instance.video.offset_bytes[2] = UINT32_MAX, "offset_bytes");
    CHECK_BAD(video, h.instance.video.offset_bytes[3] = 1, "planes");
    CHECK_BAD(video, h.payload_bytes--, "offset_bytes");
}

TEST(a_tensor_fits_its_payload)
{
    CHECK_BAD(tensor, h.format.tensor.dtype = 15, "dtype");
    CHECK_BAD(tensor, h.format.tensor.ndim = 9, "ndim");
    CHECK_BAD(tensor, h.format.tensor.ndim = 1, "ndim");
    CHECK_BAD(tensor, h.instance.tensor.shape[0] = 3, "shape");
    CHECK_BAD(tensor, (h.format.tensor.ndim = 8, memset(&h.instance, 0xFF, 32)), "shape");
    rm_packet_header empty = tensor();
    empty.instance.tensor.shape[0] = 0;
    empty.payload_bytes = 0;
    CHECK_INT(rm_packet_header_check(&empty, sizeof empty, NULL), RM_OK);
}

TEST(control_and_text_are_checked)
{
    rm_packet_header h = {.version = 1, .kind = RM_KIND_CONTROL, .header_units = 2};
    CHECK_INT(rm_packet_header_check(&h, sizeof h, NULL), RM_EINVAL);
    h.format.control.op = RM_OP_END;
    CHECK_INT(rm_packet_header_check(&h, sizeof h, NULL), RM_OK);
    h = (rm_packet_header){.version = 1, .kind = RM_KIND_TEXT, .header_units = 2};
    CHECK_INT(rm_packet_header_check(&h, sizeof h, NULL), RM_OK);
    h.instance.bytes[0] = 1;
    CHECK_INT(rm_packet_header_check(&h, sizeof h, NULL), RM_EINVAL);
}

TEST(names_and_sizes_agree)
{
    CHECK_TEXT(rm_kind_name(RM_KIND_ENCODED), "encoded");
    CHECK_TEXT(rm_kind_name(99), "unknown");
    CHECK_TEXT(rm_sample_format_name(RM_SAMPLE_S16), "s16");
    CHECK_INT(rm_sample_format_bytes(RM_SAMPLE_F64), 8);
    CHECK_INT(rm_sample_format_bytes(250), 0);
    CHECK_TEXT(rm_dtype_name(RM_DTYPE_C128), "c128");
    CHECK_INT(rm_dtype_bytes(RM_DTYPE_F16), 2);
    CHECK_INT(rm_dtype_bytes(15), 0);
}

TEST_MAIN(T(the_common_part_is_checked), T(audio_lies_within_its_payload),
          T(video_planes_lie_within_their_payload), T(a_tensor_fits_its_payload),
          T(control_and_text_are_checked), T(names_and_sizes_agree))
