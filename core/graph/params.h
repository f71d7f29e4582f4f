/* params.h — parameters: a JSON object checked against a type's table, and laid out in its struct.
 *
 *     {"gain_db": 6}  +  rm_param table  ─▶  struct gain_params {double gain_db;}
 */
#ifndef RMI_GRAPH_PARAMS_H
#define RMI_GRAPH_PARAMS_H

#include <jansson.h>

#include <remotemedia/node.h>
#include <remotemedia/report.h>

/* Tells one finding of a check. name: the parameter, "" for the object itself. */
typedef void (*rmi_params_found)(void *context, rm_severity severity, const char *name,
                                 const rm_error *error);

/* Checks every parameter; each finding goes to `found`. Returns how many errors there were. */
unsigned rmi_params_check(const rm_node_type *type, const json_t *params, rmi_params_found found,
                          void *context);

/* Makes the type's params struct: defaults, then what the object says. The first finding is the
 * error. *ret_params is NULL for a type without parameters. */
RM_MUST_USE rm_status rmi_params_fill(const rm_node_type *type, const char *params_json,
                                      void **ret_params, rm_error *err);
void rmi_params_free(const rm_node_type *type, void *params);

/* Sets the LIVE parameters that the object names in a copy of `params`; others are an error. */
RM_MUST_USE rm_status rmi_params_update(const rm_node_type *type, const char *params_json,
                                        const void *params, void **ret_params, rm_error *err);

#endif
