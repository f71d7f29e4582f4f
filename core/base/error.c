#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <remotemedia/error.h>
#include <remotemedia/remotemedia.h>

#include "base/cleanup.h"

typedef struct code_row {
    rm_code code;
    rm_status status;
    const char *meaning;
} code_row;

static const code_row code_rows[] = {
#define CODE_ROW(number, name, status, meaning) {RM_CODE_##name, status, meaning},
    RM_ERROR_CODES(CODE_ROW)
#undef CODE_ROW
};

static const code_row *find_code(rm_code code)
{
    for (size_t i = 0; i < RMI_COUNT(code_rows); i++) {
        if (code_rows[i].code == code) {
            return &code_rows[i];
        }
    }
    return NULL;
}

/* The code that stands for a status alone: the first row with it, 1 to 11. */
static rm_code code_of_status(rm_status status)
{
    for (size_t i = 0; i < RMI_COUNT(code_rows); i++) {
        if (code_rows[i].status == status) {
            return code_rows[i].code;
        }
    }
    return RM_CODE_NONE;
}

const char *rm_code_meaning(rm_code code)
{
    const code_row *row = find_code(code);
    return row ? row->meaning : "";
}

rm_status rm_code_status(rm_code code)
{
    const code_row *row = find_code(code);
    return row ? row->status : RM_EFAIL;
}

/* Moves the end of a text that was cut back to a UTF-8 boundary, and makes it one line. */
static void tidy(char *text, size_t size, bool was_cut)
{
    size_t length = strlen(text);
    if (was_cut && length + 1 == size) {
        size_t start = length;
        while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80) {
            start--;
        }
        if (start > 0 && (unsigned char)text[start - 1] >= 0xC0) {
            text[start - 1] = '\0';
        }
    }
    for (char *c = text; *c; c++) {
        if (*c == '\n' || *c == '\r') {
            *c = ' ';
        }
    }
}

static void print_text(char *text, size_t size, const char *format, va_list arguments)
{
    int length = vsnprintf(text, size, format, arguments);
    tidy(text, size, length < 0 || (size_t)length >= size);
}

static rm_status set(rm_error *err, rm_status status, rm_code code, const char *format,
                     va_list arguments)
{
    if (err) {
        *err = (rm_error){.status = status, .code = code};
        print_text(err->message, sizeof err->message, format, arguments);
    }
    return status;
}

rm_status rm_fail(rm_error *err, rm_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set(err, status, code_of_status(status), format, arguments);
    va_end(arguments);
    return status;
}

rm_status rm_fail_as(rm_error *err, rm_code code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    rm_status status = set(err, rm_code_status(code), code, format, arguments);
    va_end(arguments);
    return status;
}

rm_status rm_fail_os(rm_error *err, int os_errno, const char *format, ...)
{
    rm_status status = os_errno == ENOMEM ? RM_ENOMEM : os_errno == ENOENT ? RM_ENOENT : RM_EIO;
    va_list arguments;
    va_start(arguments, format);
    set(err, status, code_of_status(status), format, arguments);
    va_end(arguments);
    if (err) {
        char reason[128];
        size_t length = strlen(err->message);
        snprintf(err->message + length, sizeof err->message - length, ": %s",
                 strerror_r(os_errno, reason, sizeof reason)); /* the GNU one, which returns text */
    }
    return status;
}

void rm_error_wrap(rm_error *err, const char *format, ...)
{
    if (!err || err->status >= 0) {
        return;
    }
    char context[RM_ERROR_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    print_text(context, sizeof context, format, arguments);
    va_end(arguments);

    char inner[RM_ERROR_MESSAGE_MAX];
    memcpy(inner, err->message, sizeof inner);
    int length = snprintf(err->message, sizeof err->message, "%s: %s", context, inner);
    tidy(err->message, sizeof err->message, (size_t)length >= sizeof err->message);
}

void rm_error_help(rm_error *err, const char *format, ...)
{
    if (!err) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    print_text(err->help, sizeof err->help, format, arguments);
    va_end(arguments);
}

const char *rm_status_name(rm_status status)
{
    switch (status) {
    case RM_OK: return "RM_OK";
    case RM_MORE: return "RM_MORE";
    case RM_PENDING: return "RM_PENDING";
    case RM_DONE: return "RM_DONE";
    case RM_EAGAIN: return "RM_EAGAIN";
    case RM_EINVAL: return "RM_EINVAL";
    case RM_ENOMEM: return "RM_ENOMEM";
    case RM_EFAIL: return "RM_EFAIL";
    case RM_ETRANSIENT: return "RM_ETRANSIENT";
    case RM_ELIMIT: return "RM_ELIMIT";
    case RM_ECANCELED: return "RM_ECANCELED";
    case RM_EDEADLOCK: return "RM_EDEADLOCK";
    case RM_ENOENT: return "RM_ENOENT";
    case RM_EIO: return "RM_EIO";
    case RM_EABI: return "RM_EABI";
    case RM_EUNSUPPORTED: return "RM_EUNSUPPORTED";
    }
    return "RM_UNKNOWN";
}

const char *rm_version(void)
{
    return RM_VERSION;
}
