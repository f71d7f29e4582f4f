/* io_nodes.h — the nodes through which a session's owner pushes and pulls. */
#ifndef RMI_ENGINE_IO_NODES_H
#define RMI_ENGINE_IO_NODES_H

#include "engine/session.h"

/* For a caller that gave no wake function: it steps on its own account. */
void rmi_io_ignore_wake(void *context);

#endif
