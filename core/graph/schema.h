/* schema.h — checks a JSON value against our JSON Schemas (2020-12), as far as they use it.
 *
 * Understood: type, properties, required, additionalProperties (a schema), items, $ref, enum,
 * const, pattern, minimum, maximum, minLength, maxLength, minItems, maxItems. A field that the
 * schema does not know is no error; one that is close to a known field gets a warning.
 */
#ifndef RMI_GRAPH_SCHEMA_H
#define RMI_GRAPH_SCHEMA_H

#include <jansson.h>

#include <remotemedia/report.h>

typedef struct rmi_schema_finding {
    rm_severity severity;
    rm_code code;
    const char *pointer, *message, *help;
} rmi_schema_finding;

typedef void (*rmi_schema_found)(void *context, const rmi_schema_finding *finding);

/* Checks a manifest. RM_ENOMEM: it could not be checked. */
RM_MUST_USE rm_status rmi_schema_check_manifest(const json_t *manifest, rmi_schema_found found,
                                                void *context, rm_error *err);

#endif
