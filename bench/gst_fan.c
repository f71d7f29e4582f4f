/* GStreamer's side of fan_out.c: buffers pushed into a tee and taken from a funnel, with no element
 * but these and those between them. */
#include <gst/gst.h>

#include "bench.h"
#include "gst.h"

typedef struct taken {
    guint64 count;
    bool copied;
    const GstMemory *memory;
} taken;

static GstFlowReturn take(GstPad *pad, GstObject *parent, GstBuffer *buffer)
{
    (void)parent;
    taken *seen = gst_pad_get_element_private(pad);
    seen->count++;
    seen->copied |= gst_buffer_peek_memory(buffer, 0) != seen->memory;
    gst_buffer_unref(buffer);
    return GST_FLOW_OK;
}

static GstElement *make(const char *name, GstElement *bin)
{
    GstElement *element = gst_element_factory_make(name, NULL);
    if (!element) {
        bench_fail("GStreamer has no '%s'", name);
    }
    gst_bin_add(GST_BIN(bin), element);
    return element;
}

static void link_branch(GstElement *bin, GstElement *tee, GstElement *funnel, const char *between)
{
    bool linked;
    if (between) {
        GstElement *middle = make(between, bin);
        g_object_set(middle, "silent", TRUE, NULL);
        linked = gst_element_link(tee, middle) && gst_element_link(middle, funnel);
    } else {
        linked = gst_element_link_pads(tee, "src_%u", funnel, "sink_%u");
    }
    if (!linked) {
        bench_fail("GStreamer: a branch of the tee can't be linked");
    }
}

static void begin_stream(GstPad *source)
{
    GstSegment segment;
    GstCaps *caps = gst_caps_new_empty_simple("application/x-picture");
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_pad_push_event(source, gst_event_new_stream_start("bench"));
    gst_pad_push_event(source, gst_event_new_caps(caps));
    gst_pad_push_event(source, gst_event_new_segment(&segment));
    gst_caps_unref(caps);
}

/* The pad of an element that is named so; ours is linked to it. */
static GstPad *link_end(GstElement *element, const char *name, GstPad *own)
{
    GstPad *pad = gst_element_get_static_pad(element, name);
    bool is_source = gst_pad_get_direction(own) == GST_PAD_SRC;
    gst_pad_set_active(own, TRUE);
    if (GST_PAD_LINK_FAILED(is_source ? gst_pad_link(own, pad) : gst_pad_link(pad, own))) {
        bench_fail("GStreamer: the end at '%s' can't be linked", name);
    }
    gst_object_unref(pad);
    return own;
}

double bench_gst_fan_run(const char *between, unsigned branches, unsigned items, unsigned bytes)
{
    gst_init(NULL, NULL);
    GstElement *bin = gst_pipeline_new(NULL);
    GstElement *tee = make("tee", bin), *funnel = make("funnel", bin);
    for (unsigned i = 0; i < branches; i++) {
        link_branch(bin, tee, funnel, between);
    }
    GstPad *source = link_end(tee, "sink", gst_pad_new("source", GST_PAD_SRC));
    GstPad *sink = gst_pad_new("sink", GST_PAD_SINK);
    GstBuffer *picture = gst_buffer_new_allocate(NULL, bytes, NULL);
    taken seen = {.memory = gst_buffer_peek_memory(picture, 0)};
    gst_pad_set_element_private(sink, &seen);
    gst_pad_set_chain_function(sink, take);
    (void)link_end(funnel, "src", sink);
    gst_element_set_state(bin, GST_STATE_PLAYING);
    begin_stream(source);
    double begin_ns = bench_now_ns();
    for (unsigned i = 0; i < items; i++) {
        if (gst_pad_push(source, gst_buffer_ref(picture)) != GST_FLOW_OK) {
            bench_fail("GStreamer: a picture was refused");
        }
    }
    double took_ns = bench_now_ns() - begin_ns;
    gst_element_set_state(bin, GST_STATE_NULL);
    gst_pad_set_active(source, FALSE);
    gst_pad_set_active(sink, FALSE);
    gst_object_unref(source);
    gst_object_unref(sink);
    gst_object_unref(bin);
    gst_buffer_unref(picture);
    if (seen.count != (guint64)items * branches || seen.copied) {
        bench_fail("GStreamer: %llu of %u pictures arrived%s", (unsigned long long)seen.count,
                   items * branches, seen.copied ? ", copied" : "");
    }
    return took_ns;
}
