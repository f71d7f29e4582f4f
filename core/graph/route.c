#include "graph/route.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/near.h"
#include "media/find.h"

typedef enum root {
    ROOT_VALUE = 0,
    ROOT_METADATA,
    ROOT_TEXT,
    ROOT_KIND,
    ROOT_STREAM_ID,
    ROOT_FINAL
} root;

static const char *const roots[] = {
    [ROOT_VALUE] = "value", [ROOT_METADATA] = "metadata",   [ROOT_TEXT] = "text",
    [ROOT_KIND] = "kind",   [ROOT_STREAM_ID] = "stream_id", [ROOT_FINAL] = "final"};

struct rmi_route {
    json_t *when;
    const char *field; /* whole, as written; borrowed, as the path behind the root's name */
    const char *path;
    root root;
    bool must_be_missing, has_equals, has_not_equals, has_above, has_below;
    double above, below;
    rm_leaf equals, not_equals;
    rm_leaf *in; /* NULL: there is none */
    size_t in_count;
};

/* ---- reading it */

static rm_leaf leaf_of(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_NULL: return (rm_leaf){.kind = RM_LEAF_NULL};
    case JSON_TRUE:
    case JSON_FALSE: return (rm_leaf){.kind = RM_LEAF_BOOL, .integer = json_is_true(json)};
    case JSON_INTEGER:
        return (rm_leaf){.kind = RM_LEAF_INTEGER, .integer = json_integer_value(json)};
    case JSON_REAL: return (rm_leaf){.kind = RM_LEAF_REAL, .real = json_real_value(json)};
    case JSON_STRING:
        return (rm_leaf){.kind = RM_LEAF_TEXT,
                         .text = json_string_value(json),
                         .text_bytes = json_string_length(json)};
    default: return (rm_leaf){.kind = RM_LEAF_OTHER};
    }
}

static rm_status read_field(rmi_route *route, rm_error *err)
{
    const char *field = json_string_value(json_object_get(route->when, "field"));
    size_t length = strcspn(field, "."), i = 0, parts = 0;
    while (i < RMI_COUNT(roots) &&
           (strlen(roots[i]) != length || strncmp(roots[i], field, length) != 0)) {
        i++;
    }
    if (i == RMI_COUNT(roots)) {
        return rm_fail_as(err, RM_CODE_MANIFEST_VALUE,
                          "field is '%.60s', want text, kind, stream_id, final, value, "
                          "value.NAME or metadata.NAME",
                          field);
    }
    for (const char *c = field; *c; c++) {
        parts += *c == '.';
    }
    if (parts > RMI_ROUTE_PARTS_MAX) {
        return rm_fail_as(err, RM_CODE_MANIFEST_VALUE, "field has %zu names, want at most %d",
                          parts, RMI_ROUTE_PARTS_MAX);
    }
    route->root = (root)i;
    route->field = field;
    route->path = field[length] ? field + length + 1 : "";
    return RM_OK;
}

/* A text that `kind` is compared with must be one. */
static rm_status check_kind(const rmi_route *route, const rm_leaf *leaf, rm_error *err)
{
    rmi_near near = {.wanted = leaf->kind == RM_LEAF_TEXT ? leaf->text : ""};
    if (route->root != ROOT_KIND) {
        return RM_OK;
    }
    for (uint8_t kind = RM_KIND_AUDIO; kind <= RM_KIND_CONTROL; kind++) {
        if (strcmp(near.wanted, rm_kind_name(kind)) == 0) {
            return RM_OK;
        }
        rmi_near_try(&near, rm_kind_name(kind));
    }
    rm_status status = rm_fail_as(err, RM_CODE_MANIFEST_VALUE,
                                  "kind is compared with '%.40s', which is no kind", near.wanted);
    const char *best = rmi_near_result(&near);
    if (best) {
        rm_error_help(err, "did you mean '%s'?", best);
    }
    return status;
}

static rm_status read_leaf(const rmi_route *route, const char *name, bool *ret_has,
                           rm_leaf *ret_leaf, rm_error *err)
{
    const json_t *json = json_object_get(route->when, name);
    *ret_has = json != NULL;
    if (!json) {
        return RM_OK;
    }
    *ret_leaf = leaf_of(json);
    return check_kind(route, ret_leaf, err);
}

static rm_status read_bound(const rmi_route *route, const char *name, bool *ret_has,
                            double *ret_bound, rm_error *err)
{
    const json_t *json = json_object_get(route->when, name);
    *ret_has = json != NULL;
    *ret_bound = json_number_value(json);
    if (json &&
        (route->root == ROOT_TEXT || route->root == ROOT_KIND || route->root == ROOT_FINAL)) {
        return rm_fail_as(err, RM_CODE_MANIFEST_VALUE, "'%s' is no number: %s can never hold",
                          route->field, name);
    }
    return RM_OK;
}

static rm_status read_list(rmi_route *route, rm_error *err)
{
    const json_t *list = json_object_get(route->when, "in");
    rm_status status = RM_OK;
    if (!list) {
        return RM_OK;
    }
    route->in_count = json_array_size(list);
    route->in = rmi_calloc(route->in_count + 1, sizeof *route->in);
    if (!route->in) {
        return rm_fail(err, RM_ENOMEM, "no memory for a condition");
    }
    for (size_t i = 0; i < route->in_count && status == RM_OK; i++) {
        route->in[i] = leaf_of(json_array_get(list, i));
        status = check_kind(route, &route->in[i], err);
    }
    return status;
}

static rm_status read_comparisons(rmi_route *route, rm_error *err)
{
    const json_t *exists = json_object_get(route->when, "exists");
    rm_status status = read_leaf(route, "equals", &route->has_equals, &route->equals, err);
    if (status == RM_OK) {
        status = read_leaf(route, "not_equals", &route->has_not_equals, &route->not_equals, err);
    }
    if (status == RM_OK) {
        status = read_bound(route, "above", &route->has_above, &route->above, err);
    }
    if (status == RM_OK) {
        status = read_bound(route, "below", &route->has_below, &route->below, err);
    }
    if (status == RM_OK) {
        status = read_list(route, err);
    }
    if (status != RM_OK) {
        return status;
    }
    bool compares = route->has_equals || route->has_not_equals || route->has_above ||
                    route->has_below || route->in;
    route->must_be_missing = json_is_false(exists);
    if (!compares && !exists) {
        return rm_fail_as(err, RM_CODE_MANIFEST_VALUE,
                          "the condition on '%s' compares with nothing, want equals, not_equals, "
                          "in, above, below or exists",
                          route->field);
    }
    if (compares && route->must_be_missing) {
        return rm_fail_as(err, RM_CODE_MANIFEST_VALUE,
                          "the condition on '%s' can never hold: what does not exist compares "
                          "with nothing",
                          route->field);
    }
    return RM_OK;
}

rm_status rmi_route_new(json_t *when, rmi_route **ret_route, rm_error *err)
{
    RMI_AUTO(rmi_route) route = RMI_NEW(rmi_route);
    if (!route) {
        return rm_fail(err, RM_ENOMEM, "no memory for a condition");
    }
    route->when = json_incref(when);
    rm_status status = read_field(route, err);
    if (status == RM_OK) {
        status = read_comparisons(route, err);
    }
    if (status == RM_OK) {
        *ret_route = RMI_TAKE(route);
    }
    return status;
}

rm_status rmi_route_parse(const char *when_json, rmi_route **ret_route, rm_error *err)
{
    json_t *when = json_loads(when_json, 0, NULL);
    if (!json_is_string(json_object_get(when, "field"))) {
        json_decref(when);
        return rm_fail(err, RM_EINVAL, "a condition is not JSON with a field");
    }
    rm_status status = rmi_route_new(when, ret_route, err);
    json_decref(when);
    return status;
}

void rmi_route_free(rmi_route *route)
{
    if (!route) {
        return;
    }
    json_decref(route->when);
    rmi_free(route->in);
    rmi_free(route);
}

/* ---- asking it */

static bool is_number(const rm_leaf *leaf)
{
    return leaf->kind == RM_LEAF_INTEGER || leaf->kind == RM_LEAF_REAL;
}

static double number_of(const rm_leaf *leaf)
{
    return leaf->kind == RM_LEAF_INTEGER ? (double)leaf->integer : leaf->real;
}

static bool same(const rm_leaf *a, const rm_leaf *b)
{
    if (is_number(a) && is_number(b) && a->kind != b->kind) {
        return number_of(a) == number_of(b);
    }
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case RM_LEAF_NULL: return true;
    case RM_LEAF_BOOL:
    case RM_LEAF_INTEGER: return a->integer == b->integer;
    case RM_LEAF_REAL: return a->real == b->real;
    case RM_LEAF_TEXT:
        return a->text_bytes == b->text_bytes &&
               (a->text_bytes == 0 || memcmp(a->text, b->text, a->text_bytes) == 0);
    default: return false;
    }
}

static bool is_in(const rmi_route *route, const rm_leaf *leaf)
{
    bool found = false;
    for (size_t i = 0; i < route->in_count && !found; i++) {
        found = same(leaf, &route->in[i]);
    }
    return found;
}

/* What is there is compared. */
static bool holds(const rmi_route *route, const rm_leaf *leaf)
{
    if (route->must_be_missing || (route->has_equals && !same(leaf, &route->equals)) ||
        (route->has_not_equals && same(leaf, &route->not_equals)) ||
        (route->in && !is_in(route, leaf))) {
        return false;
    }
    if (route->has_above && !(is_number(leaf) && number_of(leaf) > route->above)) {
        return false;
    }
    return !route->has_below || (is_number(leaf) && number_of(leaf) < route->below);
}

typedef struct asked {
    const rmi_route *route;
    bool found, holds;
    bool texts_only;
} asked;

static void show(void *context, const rm_leaf *leaf)
{
    asked *a = context;
    if (!a->texts_only || leaf->kind == RM_LEAF_TEXT) {
        a->found = true;
        a->holds = holds(a->route, leaf);
    }
}

static rm_leaf text_of(const char *text, size_t bytes)
{
    return (rm_leaf){.kind = RM_LEAF_TEXT, .text = text, .text_bytes = bytes};
}

static void ask_object(asked *a, const rm_packet *packet, const char *path, rm_read_object read)
{
    void *owner = rm_packet_owner(packet);
    if (read && owner && packet->header.kind == RM_KIND_OBJECT) {
        read(owner, path, show, a);
    }
}

static void ask_payload(asked *a, const rm_packet *packet, rm_read_object read)
{
    const rm_packet_header *header = &packet->header;
    const char *path = a->route->path;
    rm_leaf leaf;
    if (header->memory != RM_MEMORY_HOST) {
        return;
    }
    if (header->kind == RM_KIND_VALUE &&
        rmi_value_find(packet->payload, header->payload_bytes, path, &leaf)) {
        show(a, &leaf);
    } else if (header->kind == RM_KIND_TEXT && !*path) {
        leaf = text_of(packet->payload, header->payload_bytes);
        show(a, &leaf);
    } else {
        ask_object(a, packet, path, read);
    }
}

/* Of a live object that has none of its own: what it has itself under that name. */
static void ask_metadata(asked *a, const rm_packet *packet, rm_read_object read)
{
    rm_leaf leaf;
    if (packet->metadata &&
        rmi_value_find(packet->metadata, packet->header.metadata_bytes, a->route->path, &leaf)) {
        show(a, &leaf);
    } else {
        ask_object(a, packet, a->route->field, read);
    }
}

bool rmi_route_takes(const rmi_route *route, const rm_packet *packet, rm_read_object read_object)
{
    const rm_packet_header *header = &packet->header;
    asked a = {.route = route, .texts_only = route->root == ROOT_TEXT};
    rm_leaf leaf = {0};
    switch (route->root) {
    case ROOT_METADATA: ask_metadata(&a, packet, read_object); break;
    case ROOT_TEXT:
    case ROOT_VALUE: ask_payload(&a, packet, read_object); break;
    case ROOT_KIND:
        leaf = text_of(rm_kind_name(header->kind), strlen(rm_kind_name(header->kind)));
        show(&a, &leaf);
        break;
    case ROOT_STREAM_ID:
        leaf = (rm_leaf){.kind = RM_LEAF_INTEGER, .integer = header->stream_id};
        show(&a, &leaf);
        break;
    case ROOT_FINAL:
        leaf = (rm_leaf){.kind = RM_LEAF_BOOL, .integer = (header->flags & RM_FLAG_FINAL) != 0};
        show(&a, &leaf);
        break;
    }
    return a.found ? a.holds : route->must_be_missing;
}
