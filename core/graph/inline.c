/* 'media.read path=a.wav ! audio.level ! json.write path=-', and changing a parameter by name. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/near.h"
#include "graph/graph.h"

enum { INLINE_BYTES_MAX = 65536 };

/* A value is JSON where it reads as JSON, else the text itself. */
static json_t *value_of(const char *text, size_t length)
{
    json_t *value = json_loadb(text, length, JSON_DECODE_ANY, NULL);
    return value ? value : json_stringn(text, length);
}

static size_t skip_space(const char *text, size_t at)
{
    while (text[at] == ' ' || text[at] == '\t' || text[at] == '\n') {
        at++;
    }
    return at;
}

/* End of the word at `at`: quotes and brackets keep spaces and '!' inside. SIZE_MAX: left open. */
static size_t word_end(const char *text, size_t at)
{
    size_t depth = 0;
    bool quoted = false;
    for (; text[at]; at++) {
        char c = text[at];
        if (quoted) {
            at += c == '\\' && text[at + 1];
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            depth++;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        } else if (depth == 0 && strchr(" \t\n", c)) {
            break;
        }
    }
    return quoted || depth ? SIZE_MAX : at;
}

static rm_status wrong(rm_error *err, size_t at, const char *what)
{
    return rm_fail_as(err, RM_CODE_INLINE_SYNTAX, "inline pipeline, column %zu: %s", at + 1, what);
}

#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

/* An id for a node that was given none: its type with '-' for '.', numbered where taken. */
static rm_status name_node(json_t *nodes, json_t *node)
{
    char base[80], id[96];
    const char *type = json_string_value(json_object_get(node, "node_type"));
    const char *dot = strrchr(type, '.');
    snprintf(base, sizeof base, "%.64s", dot ? dot + 1 : type);
    for (char *c = base; (c += strspn(c, PLAIN), *c); c++) {
        *c = '-';
    }
    for (unsigned number = 1;; number++) {
        bool taken = false;
        snprintf(id, sizeof id, number > 1 ? "%s%u" : "%s", base, number);
        for (size_t i = 0; i < json_array_size(nodes); i++) {
            const char *other = json_string_value(json_object_get(json_array_get(nodes, i), "id"));
            taken |= other && strcmp(other, id) == 0;
        }
        if (!taken) {
            return json_object_set_new(node, "id", json_string(id)) ? RM_ENOMEM : RM_OK;
        }
    }
}

static rm_status read_word(json_t *node, const char *word, size_t length, size_t at, rm_error *err)
{
    const char *equals = memchr(word, '=', length);
    if (!equals || equals == word) {
        return wrong(err, at, "want name=value or '!'");
    }
    size_t name_length = (size_t)(equals - word);
    json_t *value = value_of(equals + 1, length - name_length - 1);
    bool is_id = name_length == 2 && memcmp(word, "id", 2) == 0;
    json_t *target = is_id ? node : json_object_get(node, "params");
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)name_length, word);
    if (!value || json_object_set_new(target, name, value) != 0) {
        return wrong(err, at, "the value is not UTF-8 text");
    }
    return RM_OK;
}

/* One node: its type, then parameters, up to '!' or the end. */
static rm_status read_node(const char *text, size_t *at, json_t *nodes, rm_error *err)
{
    size_t begin = *at, end = word_end(text, begin);
    if (end == SIZE_MAX) {
        return wrong(err, begin, "a quote or bracket is left open");
    }
    if (end == begin || text[begin] == '!') {
        return wrong(err, begin, "want a node type");
    }
    json_t *node = json_pack("{s:s%, s:{}}", "node_type", text + begin, end - begin, "params");
    rm_status status = node ? RM_OK : wrong(err, begin, "the node type is not UTF-8 text");
    *at = skip_space(text, end);
    while (status == RM_OK && text[*at] && text[*at] != '!') {
        end = word_end(text, *at);
        status = end == SIZE_MAX ? wrong(err, *at, "a quote or bracket is left open")
                                 : read_word(node, text + *at, end - *at, *at, err);
        *at = status == RM_OK ? skip_space(text, end) : *at;
    }
    if (status == RM_OK && !json_object_get(node, "id")) {
        status = name_node(nodes, node);
    }
    if (status == RM_OK) {
        status = json_array_append(nodes, node) ? RM_ENOMEM : RM_OK;
    }
    json_decref(node);
    return status;
}

static rm_status read_nodes(const char *text, json_t *nodes, rm_error *err)
{
    size_t at = skip_space(text, 0);
    for (;;) {
        rm_status status = read_node(text, &at, nodes, err);
        if (status != RM_OK || text[at] != '!') {
            return status;
        }
        at = skip_space(text, at + 1);
    }
}

rm_status rm_graph_parse_inline(const char *text, rm_graph **ret_graph, rm_error *err)
{
    if (strlen(text) > INLINE_BYTES_MAX) {
        return rm_fail_as(err, RM_CODE_MANIFEST_TOO_LARGE,
                          "an inline pipeline of %zu bytes, want at most %d", strlen(text),
                          INLINE_BYTES_MAX);
    }
    json_t *manifest =
        json_pack("{s:s, s:{s:s}, s:[]}", "version", "v1", "metadata", "name", "inline", "nodes");
    if (!manifest) {
        return rm_fail(err, RM_ENOMEM, "no memory for a graph");
    }
    rm_status status = read_nodes(text, json_object_get(manifest, "nodes"), err);
    if (status == RM_ENOMEM) {
        (void)rm_fail(err, RM_ENOMEM, "no memory for a graph");
    }
    if (status == RM_OK) {
        status = rmi_graph_from_json(manifest, NULL, ret_graph, NULL, err);
    }
    json_decref(manifest);
    return status;
}

rm_status rm_graph_set_param(const rm_graph *graph, const char *id, const char *name,
                             const char *value, rm_graph **ret_graph, rm_error *err)
{
    rmi_near near = {.wanted = id};
    json_t *manifest = json_deep_copy(graph->manifest);
    json_t *nodes = json_object_get(manifest, "nodes"), *node = NULL;
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        json_t *candidate = json_array_get(nodes, i);
        const char *known = json_string_value(json_object_get(candidate, "id"));
        rmi_near_try(&near, graph->nodes[i].id);
        node = strcmp(known, id) == 0 ? candidate : node;
    }
    rm_status status = RM_OK;
    if (!node) {
        status = rm_fail_as(err, RM_CODE_CONNECTION_DANGLING, "there is no node '%.60s'", id);
        const char *best = rmi_near_result(&near);
        if (best) {
            rm_error_help(err, "did you mean '%s'?", best);
        }
    } else {
        json_t *params = json_object_get(node, "params");
        if (!json_is_object(params)) {
            params = json_object();
            json_object_set_new(node, "params", params);
        }
        if (json_object_set_new(params, name, value_of(value, strlen(value))) != 0) {
            status = rm_fail(err, RM_EINVAL, "the value of '%s' is not UTF-8 text", name);
        }
    }
    if (status == RM_OK) {
        status = rmi_graph_from_json(manifest, NULL, ret_graph, NULL, err);
    }
    json_decref(manifest);
    return status;
}
