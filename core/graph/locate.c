#include "graph/locate.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c)
{
    while (c->at < c->end && strchr(" \t\r\n", *c->at)) {
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
            while (c->at < c->end && !strchr(" \t\r\n,:]}", *c->at)) {
                c->at++;
            }
        }
    } while (depth > 0);
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

/* Moves to the member's value; false (and not moved) where there is none. */
static bool enter_member(cursor *c, const char *token, size_t token_length)
{
    cursor walk = *c;
    walk.at++;
    for (;;) {
        skip_space(&walk);
        if (walk.at >= walk.end || *walk.at != '"') {
            return false;
        }
        const char *key = walk.at + 1;
        skip_string(&walk);
        size_t length = (size_t)(walk.at - key) - 1;
        skip_space(&walk);
        walk.at++; /* the colon */
        skip_space(&walk);
        if (key_is(key, length, token, token_length)) {
            *c = walk;
            return true;
        }
        skip_value(&walk);
        skip_space(&walk);
        if (walk.at >= walk.end || *walk.at++ != ',') {
            return false;
        }
    }
}

static bool enter_element(cursor *c, const char *token)
{
    cursor walk = *c;
    walk.at++;
    for (unsigned long index = strtoul(token, NULL, 10);; index--) {
        skip_space(&walk);
        if (walk.at >= walk.end || *walk.at == ']') {
            return false;
        }
        if (index == 0) {
            *c = walk;
            return true;
        }
        skip_value(&walk);
        skip_space(&walk);
        if (walk.at >= walk.end || *walk.at++ != ',') {
            return false;
        }
    }
}

void rmi_locate(const char *json, size_t bytes, const char *pointer, uint32_t *ret_line,
                uint32_t *ret_column)
{
    cursor c = {json, json + bytes};
    skip_space(&c);
    while (*pointer == '/' && c.at < c.end) {
        const char *token = pointer + 1;
        size_t length = strcspn(token, "/");
        bool found = *c.at == '{'   ? enter_member(&c, token, length)
                     : *c.at == '[' ? enter_element(&c, token)
                                    : false;
        if (!found) {
            break;
        }
        pointer = token + length;
    }
    uint32_t line = 1, column = 1;
    for (const char *p = json; p < c.at && p < c.end; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xC0) != 0x80) {
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}
