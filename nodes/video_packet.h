/* video_packet.h — what the video nodes share: checking, making and addressing pictures.
 *
 * Included by node modules and their tests; all inline, on the public headers.
 */
#ifndef NODES_VIDEO_PACKET_H
#define NODES_VIDEO_PACKET_H

#include <stdbool.h>

#include <remotemedia/module.h>

enum { VIDEO_SIDE_MAX = 16384, VIDEO_PLANES_MAX = 3, VIDEO_STRIDE_ALIGNMENT = 64 };

/* H.273 code points used here. */
enum {
    VIDEO_MATRIX_RGB = 0,
    VIDEO_MATRIX_BT709 = 1,
    VIDEO_MATRIX_UNKNOWN = 2,
    VIDEO_MATRIX_BT470BG = 5,
    VIDEO_MATRIX_BT601 = 6,
    VIDEO_MATRIX_BT2020 = 9,
    VIDEO_RANGE_LIMITED = 1,
    VIDEO_RANGE_FULL = 2
};

/* A picture in memory. plane[i] is NULL for planes that the layout lacks. */
typedef struct picture {
    uint32_t fourcc;
    int width, height;
    uint8_t *plane[VIDEO_PLANES_MAX];
    int stride[VIDEO_PLANES_MAX]; /* bytes from row to row */
} picture;

/* Rows and bytes a row of a plane; false for one that the layout lacks. */
static inline bool video_plane(uint32_t fourcc, int width, int height, unsigned plane,
                               int *ret_rows, int *ret_bytes)
{
    int half_width = (width + 1) / 2, half_height = (height + 1) / 2;
    unsigned planes = 1;
    *ret_rows = plane ? half_height : height;
    switch (fourcc) {
    case RM_FOURCC_I420:
        *ret_bytes = plane ? half_width : width;
        planes = 3;
        break;
    case RM_FOURCC_NV12:
        *ret_bytes = plane ? 2 * half_width : width;
        planes = 2;
        break;
    case RM_FOURCC_RGB24: *ret_bytes = 3 * width; break;
    case RM_FOURCC_RGBA: *ret_bytes = 4 * width; break;
    case RM_FOURCC_GRAY8: *ret_bytes = width; break;
    default: return false;
    }
    return plane < planes;
}

static inline bool video_is_rgb(uint32_t fourcc)
{
    return fourcc == RM_FOURCC_RGB24 || fourcc == RM_FOURCC_RGBA;
}

static inline rm_status video_check_line(const rm_format_line *line, rm_error *err)
{
    int rows, bytes;
    if (line->video.width == 0 || line->video.width > VIDEO_SIDE_MAX || line->video.height == 0 ||
        line->video.height > VIDEO_SIDE_MAX) {
        return rm_fail_as(err, RM_CODE_PACKET_FORMAT,
                          "picture is %u x %u, want sides of 1 to %d pixels", line->video.width,
                          line->video.height, VIDEO_SIDE_MAX);
    }
    if (!video_plane(line->video.fourcc, 1, 1, 0, &rows, &bytes)) {
        return rm_fail_as(err, RM_CODE_PACKET_FORMAT,
                          "picture has fourcc 0x%08x, want I420, NV12, RGB3, RGBA or GREY",
                          line->video.fourcc);
    }
    return RM_OK;
}

/* A packet may come from anybody's code: what its header says must lie within its payload. */
static inline rm_status video_check(const rm_packet *packet, rm_error *err)
{
    const rm_packet_header *h = &packet->header;
    rm_status status = video_check_line(&h->format, err);
    int rows = 0, bytes = 0;
    for (unsigned p = 0;
         status == RM_OK && video_plane(h->format.video.fourcc, (int)h->format.video.width,
                                        (int)h->format.video.height, p, &rows, &bytes);
         p++) {
        uint64_t stride = h->instance.video.stride_bytes[p];
        uint64_t end =
            h->instance.video.offset_bytes[p] + stride * (uint64_t)(rows - 1) + (uint64_t)bytes;
        if (stride < (uint64_t)bytes || stride > INT32_MAX || end > h->payload_bytes) {
            return rm_fail_as(
                err, RM_CODE_PACKET_HEADER,
                "plane %u of a %u x %u picture does not fit its payload of %llu bytes", p,
                h->format.video.width, h->format.video.height,
                (unsigned long long)h->payload_bytes);
        }
    }
    return status;
}

/* The pixels of a packet that video_check() has passed. */
static inline picture video_picture(const rm_packet *packet)
{
    const rm_packet_header *h = &packet->header;
    picture view = {h->format.video.fourcc,
                    (int)h->format.video.width,
                    (int)h->format.video.height,
                    {NULL},
                    {0}};
    int rows, bytes;
    for (unsigned p = 0; p < VIDEO_PLANES_MAX &&
                         video_plane(view.fourcc, view.width, view.height, p, &rows, &bytes);
         p++) {
        view.plane[p] = (uint8_t *)packet->payload + h->instance.video.offset_bytes[p];
        view.stride[p] = (int)h->instance.video.stride_bytes[p];
    }
    return view;
}

/* Lays the planes of a picture out in one block, rows aligned. Returns its bytes. With memory NULL
 * only the bytes are told. */
static inline uint64_t video_lay_out(picture *view, void *memory)
{
    uint64_t at = 0;
    int rows, bytes;
    for (unsigned p = 0; p < VIDEO_PLANES_MAX &&
                         video_plane(view->fourcc, view->width, view->height, p, &rows, &bytes);
         p++) {
        view->stride[p] =
            (bytes + VIDEO_STRIDE_ALIGNMENT - 1) / VIDEO_STRIDE_ALIGNMENT * VIDEO_STRIDE_ALIGNMENT;
        view->plane[p] = memory ? (uint8_t *)memory + at : NULL;
        at += (uint64_t)view->stride[p] * (uint64_t)rows;
    }
    return at;
}

/* The part of a picture from x, y on (even where chroma is halved), width by height. */
static inline picture video_part(const picture *whole, int x, int y, int width, int height)
{
    picture part = *whole;
    int rows, bytes, full_rows = whole->height;
    part.width = width;
    part.height = height;
    for (unsigned p = 0;
         p < VIDEO_PLANES_MAX && video_plane(whole->fourcc, x, full_rows, p, &rows, &bytes); p++) {
        int row = p ? y / 2 : y;
        part.plane[p] = whole->plane[p] + (ptrdiff_t)row * whole->stride[p] + bytes;
    }
    return part;
}

/* A picture packet of this format line (planes is set here). RM_EAGAIN as rm_packet_new(). */
static inline rm_status video_packet_new(rm_node *node, const rm_format_line *line,
                                         rm_packet **ret_packet, rm_error *err)
{
    rm_packet *packet = NULL;
    picture view = {
        line->video.fourcc, (int)line->video.width, (int)line->video.height, {NULL}, {0}};
    rm_status status = rm_packet_new(node, video_lay_out(&view, NULL), &packet);
    if (status < 0) {
        return rm_fail(err, status, "no memory for a picture of %u x %u pixels", line->video.width,
                       line->video.height);
    }
    if (status != RM_OK) {
        return status;
    }
    (void)video_lay_out(&view, packet->payload);
    rm_packet_header *h = &packet->header;
    h->kind = RM_KIND_VIDEO;
    h->format = *line;
    h->format.video.planes = 0;
    for (unsigned p = 0; p < VIDEO_PLANES_MAX && view.plane[p]; p++) {
        h->instance.video.offset_bytes[p] = (uint32_t)(view.plane[p] - (uint8_t *)packet->payload);
        h->instance.video.stride_bytes[p] = (uint32_t)view.stride[p];
        h->format.video.planes++;
    }
    *ret_packet = packet;
    return RM_OK;
}

/* The YUV matrix of a picture: what its header says, else that of HDTV from 720 rows on. */
static inline uint8_t video_matrix(const rm_format_line *line)
{
    uint8_t matrix = line->video.matrix;
    if (matrix != VIDEO_MATRIX_RGB && matrix != VIDEO_MATRIX_UNKNOWN) {
        return matrix;
    }
    return line->video.height >= 720 ? VIDEO_MATRIX_BT709 : VIDEO_MATRIX_BT601;
}

#endif
