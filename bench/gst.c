#include "gst.h"

#include <gst/gst.h>

#include "bench.h"

typedef struct arrivals {
    guint64 count;
    bool in_order;
    double last_ns;
} arrivals;

/* With this data rate fakesrc gives each buffer the time of 20 ms of audio. */
static GstPadProbeReturn on_buffer(GstPad *pad, GstPadProbeInfo *info, gpointer context)
{
    (void)pad;
    arrivals *seen = context;
    GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER(info);
    seen->in_order &= GST_BUFFER_PTS(buffer) == seen->count * 20 * GST_MSECOND;
    seen->count++;
    return GST_PAD_PROBE_OK;
}

static GstPadProbeReturn on_event(GstPad *pad, GstPadProbeInfo *info, gpointer context)
{
    (void)pad;
    arrivals *seen = context;
    if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_EOS) {
        seen->last_ns = bench_now_ns();
    }
    return GST_PAD_PROBE_OK;
}

static GstElement *open_chain(const char *element, unsigned count, unsigned items)
{
    GString *text = g_string_new(NULL);
    g_string_printf(text,
                    "fakesrc num-buffers=%u sizetype=fixed sizemax=%d filltype=nothing format=time "
                    "datarate=%d ! ",
                    items, BENCH_PAYLOAD_BYTES, BENCH_RATE_HZ * 2);
    for (unsigned i = 0; i < count; i++) {
        g_string_append_printf(text, "%s ! ", element);
    }
    g_string_append(text, "fakesink name=sink sync=false enable-last-sample=false");
    GError *error = NULL;
    GstElement *pipeline = gst_parse_launch(text->str, &error);
    if (error) {
        bench_fail("GStreamer: %s", error->message);
    }
    g_string_free(text, TRUE);
    return pipeline;
}

double bench_gst_run(const char *element, unsigned count, unsigned items)
{
    gst_init(NULL, NULL);
    GstElement *pipeline = open_chain(element, count, items);
    GstElement *sink = gst_bin_get_by_name(GST_BIN(pipeline), "sink");
    GstPad *pad = gst_element_get_static_pad(sink, "sink");
    arrivals seen = {.in_order = true};
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_buffer, &seen, NULL);
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_event, &seen, NULL);
    gst_element_set_state(pipeline, GST_STATE_READY);
    GstBus *bus = gst_element_get_bus(pipeline);
    double begin_ns = bench_now_ns();
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    GstMessage *message =
        gst_bus_timed_pop_filtered(bus, 60 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    if (!message || GST_MESSAGE_TYPE(message) != GST_MESSAGE_EOS) {
        bench_fail("GStreamer: the chain of %u '%s' did not end well", count, element);
    }
    gst_message_unref(message);
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(bus);
    gst_object_unref(pad);
    gst_object_unref(sink);
    gst_object_unref(pipeline);
    if (seen.count != items || !seen.in_order) {
        bench_fail("GStreamer: %llu of %u buffers arrived%s", (unsigned long long)seen.count, items,
                   seen.in_order ? "" : ", not in order");
    }
    return seen.last_ns - begin_ns;
}
