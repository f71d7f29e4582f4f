/* remotemedia.h — the whole public C API. */
#ifndef REMOTEMEDIA_H
#define REMOTEMEDIA_H

#include "change.h"
#include "error.h"
#include "format.h"
#include "graph.h"
#include "harness.h"
#include "ipc.h"
#include "log.h"
#include "machine.h"
#include "memory.h"
#include "node.h"
#include "packet.h"
#include "registry.h"
#include "replay.h"
#include "report.h"
#include "session.h"
#include "status.h"
#include "value.h"

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0". Static text. Thread: any. */
RM_API const char *rm_version(void);

#ifdef __cplusplus
}
#endif
#endif
