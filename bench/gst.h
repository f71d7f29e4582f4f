/* gst.h — GStreamer's side: a chain between fakesrc and fakesink, of the same packets. */
#ifndef BENCH_GST_H
#define BENCH_GST_H

/* fakesrc ! (element !) × count ! fakesink, `items` buffers of 1,920 bytes; returns the ns from
 * PLAYING to the last buffer. Ends the program where not all of them arrive, in order. */
double bench_gst_run(const char *element, unsigned count, unsigned items);

#endif
