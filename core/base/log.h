/* log.h — whether a message would be heard, for one that takes work to write. */
#ifndef RMI_BASE_LOG_H
#define RMI_BASE_LOG_H

#include <stdbool.h>

#include <remotemedia/log.h>

/* Thread: any. */
bool rmi_log_wants(rm_log_level level, const char *topic);

#endif
