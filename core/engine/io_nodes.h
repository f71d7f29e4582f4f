/* io_nodes.h — the nodes through which a session's owner pushes and pulls. */
#ifndef RMI_ENGINE_IO_NODES_H
#define RMI_ENGINE_IO_NODES_H

#include "engine/session.h"

/* For a caller that gave no wake function: it steps on its own account. */
void rmi_io_ignore_wake(void *context);

/* Calls `visit` for each packet in the queue of an rm.input or rm.output, under its lock. */
void rmi_io_visit(const rmi_node *node, void (*visit)(void *context, rm_packet *packet),
                  void *context);

#endif
