/* harness.h — what `module` adds to the harness: a node found by name. */
#ifndef RMI_ENGINE_HARNESS_H
#define RMI_ENGINE_HARNESS_H

#include <remotemedia/harness.h>

/* The harness frees the registry, once its session is gone. */
void rmi_harness_adopt(rm_harness *harness, rm_registry *registry);

#endif
