#include "graph/params.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/near.h"

static const rm_param *find_param(const rm_node_type *type, const char *name)
{
    for (const rm_param *p = type->params; p && p->name; p++) {
        if (strcmp(p->name, name) == 0) {
            return p;
        }
    }
    return NULL;
}

static const char *kind_text(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "text";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    case JSON_NULL: return "null";
    }
    return "nothing";
}

static rm_status wrong_type(const rm_param *p, const json_t *value, const char *want, rm_error *err)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    rm_status status = rm_fail_as(err, RM_CODE_PARAM_TYPE, "%s is %.60s (%s), want %s", p->name,
                                  text ? text : "?", kind_text(value), want);
    free(text);
    return status;
}

/* Index of a choice in "low|medium|high"; -1: none of them. */
static int64_t choice_index(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (int64_t index = 0; choices && *choices; index++) {
        size_t part = strcspn(choices, "|");
        if (part == length && memcmp(choices, text, length) == 0) {
            return index;
        }
        choices += part + (choices[part] == '|');
    }
    return -1;
}

static rm_status check_range(const rm_param *p, double value, rm_error *err)
{
    if ((p->min == 0 && p->max == 0) || (value >= p->min && value <= p->max)) {
        return RM_OK;
    }
    char wanted[64];
    if (isinf(p->max)) {
        snprintf(wanted, sizeof wanted, "%.15g or more", p->min);
    } else if (isinf(p->min)) {
        snprintf(wanted, sizeof wanted, "%.15g or less", p->max);
    } else {
        snprintf(wanted, sizeof wanted, "%.15g to %.15g", p->min, p->max);
    }
    return rm_fail_as(err, RM_CODE_PARAM_RANGE, "%s is %.15g%s%s, want %s", p->name, value,
                      p->unit ? " " : "", p->unit ? p->unit : "", wanted);
}

static rm_status check_enum(const rm_param *p, const json_t *value, rm_error *err)
{
    if (!json_is_string(value)) {
        return wrong_type(p, value, "text", err);
    }
    if (choice_index(p->choices, json_string_value(value)) < 0) {
        return rm_fail_as(err, RM_CODE_PARAM_RANGE, "%s is '%.60s', want one of %s", p->name,
                          json_string_value(value), p->choices);
    }
    return RM_OK;
}

static rm_status check_value(const rm_param *p, const json_t *value, rm_error *err)
{
    switch (p->kind) {
    case RM_PARAM_BOOL:
        return json_is_boolean(value) ? RM_OK : wrong_type(p, value, "true or false", err);
    case RM_PARAM_INT:
        if (!json_is_integer(value)) {
            return wrong_type(p, value, "an integer", err);
        }
        return check_range(p, (double)json_integer_value(value), err);
    case RM_PARAM_FLOAT:
        if (!json_is_number(value)) {
            return wrong_type(p, value, "a number", err);
        }
        return check_range(p, json_number_value(value), err);
    case RM_PARAM_STRING: return json_is_string(value) ? RM_OK : wrong_type(p, value, "text", err);
    case RM_PARAM_ENUM: return check_enum(p, value, err);
    case RM_PARAM_JSON: return RM_OK;
    default: return rm_fail(err, RM_EINVAL, "parameter '%s' is of no kind", p->name);
    }
}

/* The parameter of which the name may be a slip; NULL: none. */
static const char *near_param(const rm_node_type *type, const char *name)
{
    rmi_near near = {.wanted = name};
    for (const rm_param *p = type->params; p && p->name; p++) {
        rmi_near_try(&near, p->name);
    }
    return rmi_near_result(&near);
}

static rm_status unknown(const rm_node_type *type, const char *name, rm_error *err)
{
    rm_status status =
        rm_fail_as(err, RM_CODE_PARAM_UNKNOWN, "%s has no parameter '%.60s'", type->name, name);
    const char *best = near_param(type, name);
    if (best) {
        rm_error_help(err, "did you mean '%s'?", best);
    } else {
        rm_error_help(err, "`remotemedia nodes %s` lists its parameters", type->name);
    }
    return status;
}

/* The type takes any name: what may be a slip is told, and is no error. */
static void warn_near(const rm_node_type *type, const char *name, rmi_params_found found,
                      void *context)
{
    rm_error err = RM_ERROR_INIT;
    const char *best = near_param(type, name);
    if (best) {
        (void)rm_fail_as(&err, RM_CODE_PARAM_UNKNOWN, "%s takes any parameter, also '%.60s'",
                         type->name, name);
        rm_error_help(&err, "did you mean '%s'?", best);
        found(context, RM_SEVERITY_WARNING, name, &err);
    }
}

unsigned rmi_params_check(const rm_node_type *type, const json_t *params, rmi_params_found found,
                          void *context)
{
    unsigned count = 0;
    rm_error err = RM_ERROR_INIT;
    const char *name;
    json_t *value;
    if (type->flags & RM_NODE_PYTHON && !type->params) {
        return 0; /* code of its own checks what it is given */
    }
    json_object_foreach((json_t *)(uintptr_t)params, name, value)
    {
        const rm_param *p = find_param(type, name);
        if (!p && type->flags & RM_NODE_OTHER_PARAMS) {
            warn_near(type, name, found, context);
            continue;
        }
        rm_status status = p ? check_value(p, value, &err) : unknown(type, name, &err);
        if (status != RM_OK) {
            count++;
            found(context, RM_SEVERITY_ERROR, name, &err);
        }
    }
    for (const rm_param *p = type->params; p && p->name; p++) {
        if (p->flags & RM_PARAM_REQUIRED && !json_object_get(params, p->name)) {
            (void)rm_fail_as(&err, RM_CODE_PARAM_MISSING, "%s needs the parameter '%s': %s",
                             type->name, p->name, p->summary ? p->summary : "");
            count++;
            found(context, RM_SEVERITY_ERROR, "", &err);
        }
    }
    return count;
}

/* ---- filling */

static rm_status store_text(char *at, char *text, rm_error *err)
{
    if (!text) {
        return rm_fail(err, RM_ENOMEM, "no memory for a parameter");
    }
    char *old;
    memcpy(&old, at, sizeof old);
    rmi_free(old);
    memcpy(at, &text, sizeof text);
    return RM_OK;
}

/* The value was checked. */
static rm_status store(const rm_param *p, const json_t *value, void *params, rm_error *err)
{
    char *at = (char *)params + p->offset;
    int64_t integer = 0;
    double number = json_number_value(value);
    switch (p->kind) {
    case RM_PARAM_BOOL: *(bool *)at = json_is_true(value); return RM_OK;
    case RM_PARAM_FLOAT: memcpy(at, &number, sizeof number); return RM_OK;
    case RM_PARAM_STRING: return store_text(at, rmi_strdup(json_string_value(value)), err);
    case RM_PARAM_JSON: {
        char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        char *copy = dump ? rmi_strdup(dump) : NULL;
        free(dump);
        return store_text(at, copy, err);
    }
    default:
        integer = p->kind == RM_PARAM_ENUM ? choice_index(p->choices, json_string_value(value))
                                           : json_integer_value(value);
        memcpy(at, &integer, sizeof integer);
        return RM_OK;
    }
}

static rm_status store_default(const rm_param *p, void *params, rm_error *err)
{
    if (!p->default_json) {
        return RM_OK;
    }
    json_t *value = json_loads(p->default_json, JSON_DECODE_ANY, NULL);
    rm_status status = value ? check_value(p, value, err)
                             : rm_fail(err, RM_EINVAL, "default of '%s' is not JSON: %s", p->name,
                                       p->default_json);
    if (status == RM_OK) {
        status = store(p, value, params, err);
    }
    json_decref(value);
    return status;
}

static void keep_first(void *context, rm_severity severity, const char *name, const rm_error *error)
{
    rm_error *first = context;
    (void)name;
    if (severity == RM_SEVERITY_ERROR && first->status == RM_OK) {
        *first = *error;
    }
}

static rm_status load_object(const char *params_json, json_t **ret_object, rm_error *err)
{
    json_error_t where;
    json_t *object = json_loads(params_json ? params_json : "{}", JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(object)) {
        rm_fail_as(err, RM_CODE_PARAM_TYPE, "parameters are not a JSON object: %s",
                   object ? kind_text(object) : where.text);
        json_decref(object);
        return RM_EINVAL;
    }
    *ret_object = object;
    return RM_OK;
}

static rm_status check_first(const rm_node_type *type, const json_t *object, rm_error *err)
{
    rm_error first = RM_ERROR_INIT;
    if (rmi_params_check(type, object, keep_first, &first) == 0) {
        return RM_OK;
    }
    if (err) {
        *err = first;
    }
    return first.status;
}

static rm_status fill(const rm_node_type *type, const json_t *object, void *params, rm_error *err)
{
    rm_status status = RM_OK;
    for (const rm_param *p = type->params; p && p->name && status == RM_OK; p++) {
        const json_t *value = json_object_get(object, p->name);
        status = value ? store(p, value, params, err) : store_default(p, params, err);
    }
    return status;
}

rm_status rmi_params_fill(const rm_node_type *type, const char *params_json, void **ret_params,
                          rm_error *err)
{
    json_t *object = NULL;
    void *params = NULL;
    rm_status status = load_object(params_json, &object, err);
    if (status != RM_OK) {
        return status;
    }
    status = check_first(type, object, err);
    if (status == RM_OK && type->params_size) {
        params = rmi_aligned_calloc(16, type->params_size);
        status = params ? fill(type, object, params, err)
                        : rm_fail(err, RM_ENOMEM, "no memory for parameters");
    }
    json_decref(object);
    if (status != RM_OK) {
        rmi_params_free(type, params);
        return status;
    }
    *ret_params = params;
    return RM_OK;
}

void rmi_params_free(const rm_node_type *type, void *params)
{
    const rm_param *table = params ? type->params : NULL;
    for (const rm_param *p = table; p && p->name; p++) {
        if (p->kind == RM_PARAM_STRING || p->kind == RM_PARAM_JSON) {
            char *text;
            memcpy(&text, (char *)params + p->offset, sizeof text);
            rmi_free(text);
        }
    }
    rmi_free(params);
}

static rm_status copy_params(const rm_node_type *type, const void *from, void *to, rm_error *err)
{
    memcpy(to, from, type->params_size);
    rm_status status = RM_OK;
    for (const rm_param *p = type->params; p && p->name; p++) {
        if (p->kind == RM_PARAM_STRING || p->kind == RM_PARAM_JSON) {
            char *text;
            memcpy(&text, (const char *)from + p->offset, sizeof text);
            memcpy((char *)to + p->offset, &(char *){NULL}, sizeof text); /* its own, or none */
            if (text && status == RM_OK) {
                status = store_text((char *)to + p->offset, rmi_strdup(text), err);
            }
        }
    }
    return status;
}

static rm_status update(const rm_node_type *type, const json_t *object, void *params, rm_error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const rm_param *p = find_param(type, name);
        if (!p) {
            return unknown(type, name, err);
        }
        if (!(p->flags & RM_PARAM_LIVE)) {
            return rm_fail_as(err, RM_CODE_PARAM_RANGE,
                              "%s cannot be changed while it runs: it is not a live parameter",
                              name);
        }
        rm_status status = check_value(p, value, err);
        if (status == RM_OK) {
            status = store(p, value, params, err);
        }
        if (status != RM_OK) {
            return status;
        }
    }
    return RM_OK;
}

rm_status rmi_params_update(const rm_node_type *type, const char *params_json, const void *params,
                            void **ret_params, rm_error *err)
{
    json_t *object = NULL;
    rm_status status = load_object(params_json, &object, err);
    if (status != RM_OK) {
        return status;
    }
    void *copy = rmi_aligned_calloc(16, type->params_size ? type->params_size : 1);
    status = !copy               ? rm_fail(err, RM_ENOMEM, "no memory for parameters")
             : type->params_size ? copy_params(type, params, copy, err)
                                 : RM_OK;
    if (status == RM_OK) {
        status = update(type, object, copy, err);
    }
    json_decref(object);
    if (status != RM_OK) {
        rmi_params_free(type, copy);
        return status;
    }
    *ret_params = copy;
    return RM_OK;
}
