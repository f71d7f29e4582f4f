/* log.h — the hook through which the library and its nodes speak.
 *
 * What matters the library returns; it logs, at warning, what nobody could be told otherwise, and
 * at debug, on the topic of its type, how each node opens and closes. Nodes and programs log at any
 * level. Without a hook nothing is printed. Thread: any, but never from a data-path function above
 * trace.
 */
#ifndef REMOTEMEDIA_LOG_H
#define REMOTEMEDIA_LOG_H

#include "error.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rm_log_level {
    RM_LOG_ERROR = 1,
    RM_LOG_WARNING,
    RM_LOG_INFO,
    RM_LOG_DEBUG,
    RM_LOG_TRACE
} rm_log_level;

/* topic: "audio.resample", "engine", … ; message: one line without the newline. Both are borrowed.
 * May be called from any thread, also from two at once. */
typedef void (*rm_log_sink)(void *context, rm_log_level level, const char *topic,
                            const char *message);

/* Sets the hook of this process; sink NULL removes it. Call before sessions run. */
RM_API void rm_log_set_sink(rm_log_sink sink, void *context);

/* Which messages reach the sink: "warning" for all, or topic patterns, later ones first in rank:
 * "info,audio.*:debug,engine:trace". Levels are error, warning, info, debug, trace, off. At most 16
 * patterns. Default "warning". On failure (RM_EINVAL) the old filter stays. Call before sessions
 * run. */
RM_API RM_MUST_USE rm_status rm_log_set_filter(const char *filter, rm_error *err);

/* Says one line to the sink, if the filter lets it through. topic: the node type, or a part of the
 * program. Thread: any. */
RM_API void rm_log(rm_log_level level, const char *topic, const char *format, ...) RM_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
