/* machine.h — a machine's capabilities as a JSON value. */
#ifndef RMI_GRAPH_MACHINE_H
#define RMI_GRAPH_MACHINE_H

#include <jansson.h>

#include <remotemedia/machine.h>

/* As rm_machine_probe(); the caller owns *ret_machine. */
RM_MUST_USE rm_status rmi_machine_probe(const char *root, const rm_registry *registry,
                                        json_t **ret_machine, rm_error *err);

#endif
