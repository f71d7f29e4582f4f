#include "graph/schema.h"

#include <assert.h>
#include <regex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/near.h"
#include "base/report.h"
#include "schemas.h" /* made by the build from schemas/ */

enum { POINTER_BYTES_MAX = 512, MESSAGE_BYTES_MAX = 384, DEPTH_MAX = 64, PATTERNS_MAX = 8 };

/* The schemas, read once in the life of the process: to read them takes ten times as long as to
 * check an ordinary manifest. Nothing changes them afterwards, so that all threads may use them. */
typedef struct schemas {
    json_t *manifest, *capabilities;
    size_t pattern_count;
    struct {
        const char *text; /* borrowed from the schema */
        regex_t compiled;
    } pattern[PATTERNS_MAX];
} schemas;

typedef struct check {
    const schemas *schemas;
    rmi_schema_found found;
    void *context;
    unsigned depth;
    unsigned unknown; /* fields so far */
    char name[96];    /* what last_token() made */
    char pointer[POINTER_BYTES_MAX];
} check;

static void tell(check *c, rm_severity severity, rm_code code, const char *message,
                 const char *help)
{
    rmi_schema_finding finding = {severity, code, c->pointer, message, help};
    c->found(c->context, &finding);
}

__attribute__((format(printf, 3, 4))) static void fail(check *c, rm_code code, const char *format,
                                                       ...)
{
    char message[MESSAGE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    tell(c, RM_SEVERITY_ERROR, code, message, "");
}

/* The value, short, for a message. */
static const char *show(const json_t *value, char *buffer, size_t size)
{
    if (json_is_object(value) || json_is_array(value)) {
        return json_is_object(value) ? "an object" : "a list";
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    snprintf(buffer, size, "%.60s", text ? text : "?");
    free(text);
    return buffer;
}

/* What the pointer points at, for a message: a member's name, or "nodes[0]". */
static const char *last_token(check *c)
{
    const char *slash = strrchr(c->pointer, '/');
    if (!slash || !slash[1]) {
        return "the manifest";
    }
    const char *parent = slash;
    while (parent > c->pointer && parent[-1] != '/') {
        parent--;
    }
    if (parent == slash || slash[1 + strspn(slash + 1, "0123456789")]) {
        return slash + 1;
    }
    snprintf(c->name, sizeof c->name, "%.*s[%.20s]",
             (int)(slash - parent < 60 ? slash - parent : 60), parent, slash + 1);
    return c->name;
}

static const json_t *follow_ref(check *c, const json_t *schema)
{
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    if (!ref) {
        return schema;
    }
    if (strcmp(ref, "capabilities.v1.json") == 0) {
        return c->schemas->capabilities;
    }
    const char *name = strrchr(ref, '/');
    return json_object_get(json_object_get(c->schemas->manifest, "$defs"), name ? name + 1 : ref);
}

static bool is_type(const json_t *value, const char *type)
{
    static const struct {
        const char *name;
        unsigned types; /* bits by json_type */
    } rows[] = {
        {"object", 1u << JSON_OBJECT},
        {"array", 1u << JSON_ARRAY},
        {"string", 1u << JSON_STRING},
        {"integer", 1u << JSON_INTEGER},
        {"number", 1u << JSON_INTEGER | 1u << JSON_REAL},
        {"boolean", 1u << JSON_TRUE | 1u << JSON_FALSE},
        {"null", 1u << JSON_NULL},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        if (strcmp(rows[i].name, type) == 0) {
            return rows[i].types >> json_typeof(value) & 1;
        }
    }
    return true;
}

static bool check_type(check *c, const json_t *schema, const json_t *value)
{
    const json_t *type = json_object_get(schema, "type");
    bool fits = !type || (json_is_string(type) && is_type(value, json_string_value(type)));
    char wanted[96] = "";
    for (size_t i = 0; i < json_array_size(type); i++) {
        const char *name = json_string_value(json_array_get(type, i));
        fits |= is_type(value, name);
        size_t used = strlen(wanted);
        snprintf(wanted + used, sizeof wanted - used, "%s%s", i ? " or " : "", name);
    }
    if (!fits) {
        char shown[80];
        fail(c, RM_CODE_MANIFEST_TYPE, "%s is %s, want %s", last_token(c),
             show(value, shown, sizeof shown), wanted[0] ? wanted : json_string_value(type));
    }
    return fits;
}

static void list_choices(const json_t *choices, char *text, size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(choices); i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s", i ? ", " : "",
                 json_string_value(json_array_get(choices, i)));
    }
}

static void check_choices(check *c, const json_t *schema, const json_t *value)
{
    const json_t *choices = json_object_get(schema, "enum"),
                 *only = json_object_get(schema, "const");
    char shown[80], wanted[200];
    if (only && !json_equal(only, value)) {
        bool is_version = strcmp(c->pointer, "/version") == 0;
        char message[MESSAGE_BYTES_MAX];
        snprintf(message, sizeof message, "%s is %s, want \"%s\"", last_token(c),
                 show(value, shown, sizeof shown), json_string_value(only));
        tell(c, RM_SEVERITY_ERROR, is_version ? RM_CODE_MANIFEST_VERSION : RM_CODE_MANIFEST_VALUE,
             message, is_version ? "a newer RemoteMedia may read it" : "");
    }
    for (size_t i = 0; i < json_array_size(choices); i++) {
        if (json_equal(json_array_get(choices, i), value)) {
            return;
        }
    }
    if (choices) {
        list_choices(choices, wanted, sizeof wanted);
        rmi_near near = {.wanted = json_is_string(value) ? json_string_value(value) : ""};
        for (size_t i = 0; i < json_array_size(choices); i++) {
            rmi_near_try(&near, json_string_value(json_array_get(choices, i)));
        }
        char message[MESSAGE_BYTES_MAX], help[96] = "";
        snprintf(message, sizeof message, "%s is %s, want one of %s", last_token(c),
                 show(value, shown, sizeof shown), wanted);
        const char *best = rmi_near_result(&near);
        if (best) {
            snprintf(help, sizeof help, "did you mean \"%s\"?", best);
        }
        tell(c, RM_SEVERITY_ERROR, RM_CODE_MANIFEST_VALUE, message, help);
    }
}

static void check_number(check *c, const json_t *schema, const json_t *value)
{
    const json_t *low = json_object_get(schema, "minimum"),
                 *high = json_object_get(schema, "maximum");
    double number = json_number_value(value);
    char range[64];
    if ((!low || number >= json_number_value(low)) &&
        (!high || number <= json_number_value(high))) {
        return;
    }
    if (low && high) {
        snprintf(range, sizeof range, "%g to %g", json_number_value(low), json_number_value(high));
    } else {
        snprintf(range, sizeof range, "%s %g", low ? "at least" : "at most",
                 json_number_value(low ? low : high));
    }
    fail(c, RM_CODE_MANIFEST_VALUE, "%s is %g, want %s", last_token(c), number, range);
}

static void check_length(check *c, const json_t *schema, const json_t *value)
{
    const json_t *least = json_object_get(schema, "minLength");
    const json_t *most = json_object_get(schema, "maxLength");
    size_t length = json_string_length(value);
    if ((least && (json_int_t)length < json_integer_value(least)) ||
        (most && (json_int_t)length > json_integer_value(most))) {
        fail(c, RM_CODE_MANIFEST_VALUE, "%s has %zu characters, want %lld to %lld", last_token(c),
             length, (long long)json_integer_value(least),
             most ? (long long)json_integer_value(most) : 1000000);
    }
}

static void check_bounds(check *c, const json_t *schema, const json_t *value)
{
    if (json_is_number(value)) {
        check_number(c, schema, value);
    }
    if (json_is_string(value)) {
        check_length(c, schema, value);
    }
}

static const regex_t *find_pattern(const schemas *all, const char *text)
{
    for (size_t i = 0; i < all->pattern_count; i++) {
        if (strcmp(all->pattern[i].text, text) == 0) {
            return &all->pattern[i].compiled;
        }
    }
    return NULL;
}

static void check_pattern(check *c, const json_t *schema, const json_t *value)
{
    const char *pattern = json_string_value(json_object_get(schema, "pattern"));
    if (!pattern || !json_is_string(value)) {
        return;
    }
    const regex_t *regex = find_pattern(c->schemas, pattern);
    assert(regex);
    if (regexec(regex, json_string_value(value), 0, NULL, 0) != 0) {
        fail(c, RM_CODE_MANIFEST_VALUE, "%s is \"%.60s\", want the form %s", last_token(c),
             json_string_value(value), pattern);
    }
}

static void check_value(check *c, const json_t *schema, const json_t *value);

/* Puts the pointer one token down; returns how long it was. */
static size_t go_down(check *c, const char *token)
{
    size_t used = strlen(c->pointer);
    size_t at = used;
    if (at + 1 < sizeof c->pointer) {
        c->pointer[at++] = '/';
    }
    for (; *token && at + 2 < sizeof c->pointer; token++) {
        if (*token == '~' || *token == '/') {
            c->pointer[at++] = '~';
            c->pointer[at++] = *token == '~' ? '0' : '1';
        } else {
            c->pointer[at++] = *token;
        }
    }
    c->pointer[at] = '\0';
    return used;
}

static void check_below(check *c, const char *token, const json_t *schema, const json_t *value)
{
    size_t used = go_down(c, token);
    check_value(c, schema, value);
    c->pointer[used] = '\0';
}

static void warn_near(check *c, const json_t *properties, const char *key)
{
    rmi_near near = {.wanted = key};
    const char *known;
    json_t *ignored;
    if (c->unknown++ >= RMI_REPORT_FINDINGS_MAX) {
        return; /* nobody reads on */
    }
    json_object_foreach((json_t *)(uintptr_t)properties, known, ignored)
    {
        rmi_near_try(&near, known);
    }
    const char *best = rmi_near_result(&near);
    if (best && strncmp(key, "x-", 2) != 0) {
        char message[MESSAGE_BYTES_MAX], help[96];
        snprintf(message, sizeof message, "unknown field \"%.60s\" is ignored", key);
        snprintf(help, sizeof help, "did you mean \"%s\"?", best);
        size_t used = go_down(c, key);
        tell(c, RM_SEVERITY_WARNING, RM_CODE_MANIFEST_VALUE, message, help);
        c->pointer[used] = '\0';
    }
}

static void check_object(check *c, const json_t *schema, const json_t *value)
{
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *others = json_object_get(schema, "additionalProperties");
    const json_t *required = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (!json_object_get(value, name)) {
            fail(c, RM_CODE_MANIFEST_MISSING, "%s lacks the required field \"%s\"", last_token(c),
                 name);
        }
    }
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        const json_t *known = json_object_get(properties, key);
        if (known) {
            check_below(c, key, known, member);
        } else if (others) {
            check_below(c, key, others, member);
        } else if (properties) {
            warn_near(c, properties, key);
        }
    }
}

static void check_array(check *c, const json_t *schema, const json_t *value)
{
    const json_t *items = json_object_get(schema, "items");
    const json_t *least = json_object_get(schema, "minItems");
    const json_t *most = json_object_get(schema, "maxItems");
    size_t count = json_array_size(value);
    if ((least && (json_int_t)count < json_integer_value(least)) ||
        (most && (json_int_t)count > json_integer_value(most))) {
        fail(c, RM_CODE_MANIFEST_VALUE, "%s has %zu entries, want %lld to %lld", last_token(c),
             count, (long long)json_integer_value(least),
             most ? (long long)json_integer_value(most) : 1000000);
        return;
    }
    for (size_t i = 0; items && i < count; i++) {
        char token[24];
        snprintf(token, sizeof token, "%zu", i);
        check_below(c, token, items, json_array_get(value, i));
    }
}

static void check_value(check *c, const json_t *schema, const json_t *value)
{
    schema = follow_ref(c, schema);
    if (c->depth == DEPTH_MAX || !check_type(c, schema, value)) {
        return;
    }
    c->depth++;
    check_choices(c, schema, value);
    check_bounds(c, schema, value);
    check_pattern(c, schema, value);
    if (json_is_object(value)) {
        check_object(c, schema, value);
    } else if (json_is_array(value)) {
        check_array(c, schema, value);
    }
    c->depth--;
}

/* ---- the schemas themselves */

static void schemas_free(schemas *all)
{
    for (size_t i = 0; i < all->pattern_count; i++) {
        regfree(&all->pattern[i].compiled);
    }
    json_decref(all->manifest);
    json_decref(all->capabilities);
    rmi_free(all);
}

/* Every "pattern" of a schema. False: no memory. */
static bool compile_patterns(schemas *all, const json_t *schema)
{
    const char *key, *text = json_string_value(json_object_get(schema, "pattern"));
    json_t *member;
    bool good = true;
    if (text && !find_pattern(all, text)) {
        assert(all->pattern_count < PATTERNS_MAX);
        all->pattern[all->pattern_count].text = text;
        good = regcomp(&all->pattern[all->pattern_count].compiled, text,
                       REG_EXTENDED | REG_NOSUB) == 0;
        all->pattern_count += good;
    }
    json_object_foreach((json_t *)(uintptr_t)schema, key, member)
    {
        good = good && compile_patterns(all, member);
    }
    return good;
}

static schemas *schemas_new(void)
{
    schemas *all = RMI_NEW(schemas);
    if (!all) {
        return NULL;
    }
    all->manifest = json_loads(rmi_manifest_schema, 0, NULL);
    all->capabilities = json_loads(rmi_capabilities_schema, 0, NULL);
    if (!all->manifest || !all->capabilities || !compile_patterns(all, all->manifest) ||
        !compile_patterns(all, all->capabilities)) {
        schemas_free(all);
        return NULL;
    }
    return all;
}

static const schemas *get_schemas(void)
{
    static _Atomic(schemas *) shared;
    schemas *all = atomic_load(&shared);
    if (all) {
        return all;
    }
    schemas *made = schemas_new();
    if (made && !atomic_compare_exchange_strong(&shared, &all, made)) {
        schemas_free(made); /* another thread was first */
        made = all;
    }
    return made;
}

rm_status rmi_schema_check_manifest(const json_t *manifest, rmi_schema_found found, void *context,
                                    rm_error *err)
{
    RMI_AUTO_MEMORY check *c = RMI_NEW(check);
    const schemas *all = get_schemas();
    if (!c || !all) {
        return rm_fail(err, RM_ENOMEM, "no memory to check a manifest");
    }
    c->schemas = all;
    c->found = found;
    c->context = context;
    check_value(c, all->manifest, manifest);
    return RM_OK;
}
