#include "graph/locate.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct cursor {
    const char *at, *end;
} cursor;

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(cursor *c)
{
    while (c->at < c->end && is_space(*c->at)) {
        c->at++;
    }
}

static void skip_string(cursor *c)
{
    for (c->at++; c->at < c->end && *c->at != '"'; c->at++) {
        if (*c->at == '\\') {
            c->at++;
        }
    }
    c->at++;
}

/* Past one value, however deep. */
static void skip_value(cursor *c)
{
    size_t depth = 0;
    do {
        skip_space(c);
        if (c->at >= c->end) {
            return;
        }
        if (*c->at == '"') {
            skip_string(c);
        } else if (*c->at == '{' || *c->at == '[') {
            depth++;
            c->at++;
        } else if (*c->at == '}' || *c->at == ']') {
            depth--;
            c->at++;
        } else if (*c->at == ',' || *c->at == ':') {
            c->at++;
        } else {
            while (c->at < c->end && !is_space(*c->at) && !strchr(",:]}", *c->at)) {
                c->at++;
            }
        }
    } while (depth > 0);
}

/* Past a comma; false: the container ends here. */
static bool skip_comma(cursor *c)
{
    skip_space(c);
    return c->at < c->end && *c->at++ == ',';
}

/* Next character of a pointer's token, ~0 and ~1 undone. */
static char token_char(const char **token)
{
    char c = *(*token)++;
    if (c == '~' && (**token == '0' || **token == '1')) {
        c = *(*token)++ == '0' ? '~' : '/';
    }
    return c;
}

/* Keys with escapes do not occur in what we point at; they are compared as written. */
static bool key_is(const char *key, size_t length, const char *token, size_t token_length)
{
    const char *end = token + token_length;
    size_t i = 0;
    while (token < end && i < length) {
        if (token_char(&token) != key[i++]) {
            return false;
        }
    }
    return token == end && i == length;
}

/* Moves the place on to `at`, which is not before it. */
static void advance(rmi_place *place, const char *at)
{
    for (; place->at < at; place->at++) {
        if (*place->at == '\n') {
            place->line++;
            place->column = 1;
        } else if (((unsigned char)*place->at & 0xC0) != 0x80) {
            place->column++;
        }
    }
}

/* The key of the member, looked for from one of the object's keys on; NULL: there is none. */
static const char *find_key(const char *from, const char *end, const char *token, size_t length,
                            const char **ret_value)
{
    cursor walk = {from, end};
    do {
        skip_space(&walk);
        if (walk.at >= end || *walk.at != '"') {
            return NULL;
        }
        const char *key = walk.at;
        skip_string(&walk);
        size_t key_length = (size_t)(walk.at - key) - 2;
        skip_space(&walk);
        walk.at++; /* the colon */
        skip_space(&walk);
        if (key_is(key + 1, key_length, token, length)) {
            *ret_value = walk.at;
            return key;
        }
        skip_value(&walk);
    } while (skip_comma(&walk));
    return NULL;
}

/* The element so many behind the one at `from`; NULL: there is none. */
static const char *find_element(const char *from, const char *end, unsigned long further)
{
    cursor walk = {from, end};
    do {
        skip_space(&walk);
        if (walk.at >= end || *walk.at == ']') {
            return NULL;
        }
        if (further-- == 0) {
            return walk.at;
        }
        skip_value(&walk);
    } while (skip_comma(&walk));
    return NULL;
}

/* From an object to a member's value. False, and not moved: there is none. */
static bool enter_member(const rmi_locator *locator, struct rmi_located *level, rmi_place *place,
                         const char *token, size_t length)
{
    const char *container = place->at, *key = NULL, *value = NULL;
    rmi_place from = *place;
    if (level->container == container) {
        from = level->child;
        key = find_key(from.at, locator->end, token, length, &value);
    }
    if (!key) {
        from = *place;
        key = find_key(container + 1, locator->end, token, length, &value);
    }
    if (!key) {
        return false;
    }
    advance(&from, key);
    *level = (struct rmi_located){container, from, 0};
    *place = from;
    advance(place, value);
    return true;
}

/* From a list to one of its elements. False, and not moved: there is none. */
static bool enter_element(const rmi_locator *locator, struct rmi_located *level, rmi_place *place,
                          unsigned long index)
{
    const char *container = place->at;
    bool onwards = level->container == container && level->index <= index;
    rmi_place from = onwards ? level->child : *place;
    const char *element = onwards ? find_element(from.at, locator->end, index - level->index)
                                  : find_element(container + 1, locator->end, index);
    if (!element) {
        return false;
    }
    advance(&from, element);
    *level = (struct rmi_located){container, from, index};
    *place = from;
    return true;
}

void rmi_locator_init(rmi_locator *locator, const char *json, size_t bytes)
{
    *locator = (rmi_locator){.json = json, .end = json ? json + bytes : NULL};
}

void rmi_locate(rmi_locator *locator, const char *pointer, uint32_t *ret_line, uint32_t *ret_column)
{
    rmi_place place = {locator->json, locator->json != NULL, locator->json != NULL};
    cursor begin = {locator->json, locator->end};
    skip_space(&begin);
    advance(&place, begin.at);
    struct rmi_located further; /* of levels that are not remembered */
    for (unsigned depth = 0; *pointer == '/' && place.at < locator->end; depth++) {
        const char *token = pointer + 1;
        size_t length = strcspn(token, "/");
        struct rmi_located *level = &further;
        further.container = NULL;
        if (depth < RMI_LOCATE_LEVELS) {
            level = &locator->level[depth];
        }
        bool found = *place.at == '{' ? enter_member(locator, level, &place, token, length)
                     : *place.at == '['
                         ? enter_element(locator, level, &place, strtoul(token, NULL, 10))
                         : false;
        if (!found) {
            break;
        }
        pointer = token + length;
    }
    *ret_line = place.line;
    *ret_column = place.column;
}
