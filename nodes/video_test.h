/* video_test.h — what the tests of the video nodes share: pictures in and out. */
#ifndef NODES_VIDEO_TEST_H
#define NODES_VIDEO_TEST_H

#include "node_test.h"
#include "video_packet.h"

/* A picture packet, laid out as video_packet_new() does it; pixels are not set. */
static inline __attribute__((unused)) rm_packet *picture_new(rm_harness *harness, uint32_t fourcc,
                                                             int width, int height)
{
    rm_packet *packet = NULL;
    picture view = {fourcc, width, height, {NULL}, {0}};
    uint64_t bytes = video_lay_out(&view, NULL);
    CHECK_INT(rm_harness_packet_new(harness, bytes, &packet), RM_OK);
    (void)video_lay_out(&view, packet->payload);
    rm_packet_header *h = &packet->header;
    h->kind = RM_KIND_VIDEO;
    h->format.video.fourcc = fourcc;
    h->format.video.width = (uint32_t)width;
    h->format.video.height = (uint32_t)height;
    for (unsigned p = 0; p < VIDEO_PLANES_MAX && view.plane[p]; p++) {
        h->instance.video.offset_bytes[p] = (uint32_t)(view.plane[p] - (uint8_t *)packet->payload);
        h->instance.video.stride_bytes[p] = (uint32_t)view.stride[p];
        h->format.video.planes++;
    }
    return packet;
}

/* Sets the pixels of one value a component: Y U V or R G B A; for GREY the first. */
static inline __attribute__((unused)) void picture_fill(const rm_packet *packet,
                                                        const uint8_t components[4])
{
    picture view = video_picture(packet);
    int rows, bytes;
    for (unsigned p = 0; p < VIDEO_PLANES_MAX &&
                         video_plane(view.fourcc, view.width, view.height, p, &rows, &bytes);
         p++) {
        for (int y = 0; y < rows; y++) {
            uint8_t *row = view.plane[p] + (ptrdiff_t)y * view.stride[p];
            for (int x = 0; x < bytes; x++) {
                int of = view.fourcc == RM_FOURCC_RGB24  ? x % 3
                         : view.fourcc == RM_FOURCC_RGBA ? x % 4
                         : view.fourcc == RM_FOURCC_NV12 ? (int)p + (p ? x % 2 : 0)
                                                         : (int)p;
                row[x] = components[of];
            }
        }
    }
}

/* One component of the pixel at x, y: Y U V, R G B A, or grey. */
static inline __attribute__((unused)) int component_at(const rm_packet *packet, int x, int y, int c)
{
    picture view = video_picture(packet);
    int half = c && !video_is_rgb(view.fourcc);
    int column = half ? x / 2 : x, row = half ? y / 2 : y;
    switch (view.fourcc) {
    case RM_FOURCC_RGB24: return view.plane[0][row * view.stride[0] + 3 * column + c];
    case RM_FOURCC_RGBA: return view.plane[0][row * view.stride[0] + 4 * column + c];
    case RM_FOURCC_NV12:
        return c ? view.plane[1][row * view.stride[1] + 2 * column + c - 1]
                 : view.plane[0][row * view.stride[0] + column];
    default: return c < VIDEO_PLANES_MAX ? view.plane[c][row * view.stride[c] + column] : 0;
    }
}

/* How many components of each pixel differ from what is wanted by more than the tolerance. */
static inline __attribute__((unused)) int pixels_off(const rm_packet *packet, int x0, int y0,
                                                     int x1, int y1, const uint8_t want[4],
                                                     int tolerance)
{
    uint32_t fourcc = packet->header.format.video.fourcc;
    int components = fourcc == RM_FOURCC_RGBA ? 4 : fourcc == RM_FOURCC_GRAY8 ? 1 : 3, off = 0;
    for (int y = y0; y < y1; y++) {
        for (int x = x0; x < x1; x++) {
            for (int c = 0; c < components; c++) {
                int difference = component_at(packet, x, y, c) - want[c];
                off += difference > tolerance || difference < -tolerance;
            }
        }
    }
    return off;
}

/* Pushes it and takes what comes out. */
static inline __attribute__((unused)) rm_packet *through(rm_harness *harness, rm_packet *packet)
{
    CHECK_INT(rm_harness_push(harness, 0, packet), RM_OK);
    rm_packet *out = pull(harness, 0);
    rm_error err = RM_ERROR_INIT;
    CHECK(out != NULL);
    if (out) {
        CHECK_INT(rm_packet_header_check(&out->header, sizeof out->header, &err), RM_OK);
        CHECK_TEXT(err.message, "");
    }
    return out;
}

#endif
