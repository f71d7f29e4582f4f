/* gst.h — GStreamer's side: a chain between fakesrc and fakesink, of the same packets. */
#ifndef BENCH_GST_H
#define BENCH_GST_H

/* fakesrc ! (element !) × count ! fakesink, `items` buffers of 1,920 bytes; returns the ns from
 * PLAYING to the last buffer. Ends the program where not all of them arrive, in order. */
double bench_gst_run(const char *element, unsigned count, unsigned items);

/* The same buffer of `bytes`, `items` times, into a tee of so many branches, and out of the funnel
 * where these meet; `between`: an element in each branch, NULL for none. Returns the ns that
 * pushing them took. */
double bench_gst_fan_run(const char *between, unsigned branches, unsigned items, unsigned bytes);

#endif
