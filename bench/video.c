/* video.c — our side of the case `video`: decodes a file, scales its pictures, looks at each.
 *
 *     video FILE WIDTH HEIGHT [RAW]
 *
 * Prints {"pictures": N, "luma": mean}. RAW: the scaled pictures are written there, as I420.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

typedef struct picture_params {
    int64_t width, height;
    const char *raw;
} picture_params;

static unsigned pictures;
static double luma;
static FILE *raw;

static const rm_param picture_table[] = {
    {.name = "width", .kind = RM_PARAM_INT, .offset = offsetof(picture_params, width)},
    {.name = "height", .kind = RM_PARAM_INT, .offset = offsetof(picture_params, height)},
    {0}};

static void write_plane(const rm_packet *packet, unsigned plane, unsigned width, unsigned height)
{
    const uint8_t *row =
        (const uint8_t *)packet->payload + packet->header.instance.video.offset_bytes[plane];
    for (unsigned y = 0; y < height; y++) {
        if (fwrite(row, 1, width, raw) != width) {
            bench_fail("the raw pictures cannot be written");
        }
        row += packet->header.instance.video.stride_bytes[plane];
    }
}

static rm_status picture_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    const picture_params *params = node->params;
    const rm_packet *packet = inputs->packet[0];
    unsigned width = packet->header.format.video.width, height = packet->header.format.video.height;
    if (width != params->width || height != params->height) {
        return rm_fail(err, RM_EFAIL, "a picture is %u x %u", width, height);
    }
    const uint8_t *middle = (const uint8_t *)packet->payload +
                            packet->header.instance.video.offset_bytes[0] +
                            (size_t)packet->header.instance.video.stride_bytes[0] * (height / 2);
    for (unsigned x = 0; x < width; x++) {
        luma += (double)middle[x] / width;
    }
    pictures++;
    for (unsigned plane = 0; raw && plane < 3; plane++) {
        write_plane(packet, plane, plane ? width / 2 : width, plane ? height / 2 : height);
    }
    return RM_OK;
}

static const rm_port picture_inputs[] = {{.name = "in", .formats = "video fourcc=I420"}, {0}};
static const rm_node_type picture_type = {.struct_size = sizeof(rm_node_type),
                                          .name = "bench.pictures",
                                          .inputs = picture_inputs,
                                          .params = picture_table,
                                          .params_size = sizeof(picture_params),
                                          .process = picture_process};

static void run(const char *file, const char *width, const char *height)
{
    char text[1024];
    rm_error error = RM_ERROR_INIT;
    rm_registry *registry = NULL;
    rm_graph *graph = NULL;
    rm_plan *plan = NULL;
    rm_session *session = NULL;
    snprintf(text, sizeof text,
             "media.read path=\"%s\" ! video.scale width=%s height=%s filter=box"
             " ! bench.pictures width=%s height=%s",
             file, width, height, width, height);
    bench_check(rm_registry_new(&registry, &error), &error);
    bench_check(rm_registry_add(registry, &picture_type, &error), &error);
    bench_check(rm_graph_parse_inline(text, &graph, &error), &error);
    bench_check(rm_graph_plan(graph, registry, NULL, &plan, NULL, &error), &error);
    bench_check(rm_session_open(plan, NULL, &session, &error), &error);
    rm_status status = rm_session_wait(session, -1);
    if (status != RM_DONE) {
        (void)rm_session_error(session, &error);
        bench_fail("the graph ended with %s", error.message);
    }
    rm_session_free(session);
    rm_plan_free(plan);
    rm_graph_free(graph);
    rm_registry_free(registry);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        bench_fail("want FILE WIDTH HEIGHT [RAW]");
    }
    if (argc > 4 && !(raw = fopen(argv[4], "wb"))) {
        bench_fail("%s cannot be written", argv[4]);
    }
    run(argv[1], argv[2], argv[3]);
    if (raw && fclose(raw) != 0) {
        bench_fail("%s cannot be written", argv[4]);
    }
    printf("{\"pictures\": %u, \"luma\": %.3f}\n", pictures, luma / (pictures ? pictures : 1));
    return 0;
}
