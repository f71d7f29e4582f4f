/* Text for the terminal: colour, wrapping, near names, numbers with units. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "cli.h"

const char *cli_paint(bool color, cli_style style)
{
    static const char *const codes[] = {
        [CLI_BOLD] = "\033[1m",    [CLI_DIM] = "\033[2m",    [CLI_RED] = "\033[1;31m",
        [CLI_YELLOW] = "\033[33m", [CLI_GREEN] = "\033[32m", [CLI_CYAN] = "\033[36m"};
    return color ? codes[style] : "";
}

const char *cli_reset(bool color)
{
    return color ? "\033[0m" : "";
}

void cli_print_wrapped(FILE *out, const char *text, unsigned indent, unsigned width)
{
    unsigned column = indent;
    bool first = true;
    while (*text) {
        size_t space = strspn(text, " ");
        text += space;
        if (*text == '\n') {
            fputc('\n', out);
            text++;
            column = 0;
            if (*text && *text != '\n') {
                column = (unsigned)fprintf(out, "%*s", (int)indent, "");
            }
            first = true;
            continue;
        }
        size_t length = strcspn(text, " \n");
        if (!first && column + 1 + length > width) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
            first = true;
        }
        column += (unsigned)fprintf(out, "%s%.*s", first ? "" : " ", (int)length, text);
        first = false;
        text += length;
    }
    fputc('\n', out);
}

/* Optimal string alignment: two letters that changed places count once. */
static size_t edit_distance(const char *a, const char *b)
{
    enum { LENGTH_MAX = 64 };
    size_t rows[3][LENGTH_MAX + 1], n = strlen(a), m = strlen(b);
    if (n > LENGTH_MAX || m > LENGTH_MAX) {
        return SIZE_MAX;
    }
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= m; j++) {
        last[j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best) {
                best = before[j - 2] + 1;
            }
            row[j] = best;
        }
        size_t *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    return last[m];
}

void cli_near_try(cli_near *near, const char *candidate)
{
    size_t distance = edit_distance(near->wanted, candidate);
    size_t length = strlen(near->wanted);
    bool begins = length >= 2 && strncmp(candidate, near->wanted, length) == 0;
    if (begins) {
        distance = 1;
    }
    if (distance <= (length < 4 ? 1 : length / 3 + 1) &&
        (!near->best || distance < near->distance)) {
        near->best = candidate;
        near->distance = distance;
    }
}

unsigned cli_width(int fd)
{
    struct winsize size = {0};
    unsigned columns = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
    return columns < 40 ? 40 : columns > 200 ? 200 : columns;
}

unsigned cli_height(int fd)
{
    struct winsize size = {0};
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row ? size.ws_row : 24;
}

int64_t cli_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

bool cli_is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) {
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
        }
    }
    return false;
}

/* One UTF-8 character: its bytes, and its code point; a wrong byte stands for itself. */
static size_t read_character(const char *text, uint32_t *ret_point)
{
    const unsigned char *t = (const unsigned char *)text;
    size_t length = t[0] < 0xC0 ? 1 : t[0] < 0xE0 ? 2 : t[0] < 0xF0 ? 3 : 4;
    uint32_t point = length == 1 ? t[0] : t[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((t[i] & 0xC0) != 0x80) {
            *ret_point = '?';
            return 1;
        }
        point = point << 6 | (t[i] & 0x3Fu);
    }
    *ret_point = t[0] >= 0x80 && length == 1 ? '?' : point;
    return length;
}

/* East Asian Wide and Fullwidth, and emoji, by block (UAX 11). */
static unsigned width_of(uint32_t point)
{
    static const uint32_t wide[][2] = {{0x1100, 0x115F},   {0x2E80, 0xA4CF},  {0xAC00, 0xD7A3},
                                       {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},  {0xFF00, 0xFF60},
                                       {0x1F300, 0x1FAFF}, {0x20000, 0x3FFFD}};
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        if (point >= wide[i][0] && point <= wide[i][1]) {
            return 2;
        }
    }
    return point >= 0x300 && point <= 0x36F ? 0 : 1; /* combining marks */
}

unsigned cli_append(char *line, size_t size, const char *text, unsigned columns)
{
    size_t used = strlen(line);
    unsigned width = 0;
    while (*text) {
        uint32_t point;
        size_t length = read_character(text, &point);
        bool plain = point >= 0x20 && !(point >= 0x7F && point < 0xA0) && point != '?';
        width += width_of(point);
        if (width > columns || used + length + 1 > size) {
            width -= width_of(point);
            break;
        }
        if (plain) {
            memcpy(line + used, text, length);
            used += length;
        } else {
            line[used++] = point == '?' ? '?' : ' ';
        }
        text += length;
    }
    line[used] = '\0';
    return width;
}

const char *cli_duration(double ns, char *buffer, size_t size)
{
    if (ns < 1e3) {
        snprintf(buffer, size, "%.0f ns", ns);
    } else if (ns < 1e6) {
        snprintf(buffer, size, "%.3g us", ns / 1e3);
    } else if (ns < 1e9) {
        snprintf(buffer, size, "%.3g ms", ns / 1e6);
    } else if (ns < 100e9) {
        snprintf(buffer, size, "%.2f s", ns / 1e9);
    } else {
        long seconds = (long)(ns / 1e9 + 0.5);
        snprintf(buffer, size, "%ld:%02ld:%02ld", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    return buffer;
}

const char *cli_count(double count, char *buffer, size_t size)
{
    if (count >= 10e6) {
        snprintf(buffer, size, "%.1f M", count / 1e6);
    } else if (count >= 1e6) {
        snprintf(buffer, size, "%ld,%03ld,%03ld", (long)count / 1000000, (long)count / 1000 % 1000,
                 (long)count % 1000);
    } else if (count >= 1e3) {
        snprintf(buffer, size, "%ld,%03ld", (long)count / 1000, (long)count % 1000);
    } else {
        snprintf(buffer, size, "%.3g", count);
    }
    return buffer;
}

const char *cli_bytes(double bytes, char *buffer, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned unit = 0;
    for (; bytes >= 1024 && unit < 4; unit++) {
        bytes /= 1024;
    }
    snprintf(buffer, size, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return buffer;
}

json_t *cli_text_json(const char *text)
{
    json_t *json = json_string(text ? text : "");
    char *copy = json ? NULL : strdup(text); /* from the command line: any bytes */
    for (char *c = copy; c && *c; c++) {
        *c = (unsigned char)*c < 0x80 ? *c : '?';
    }
    if (copy) {
        json = json_string(copy);
        free(copy);
    }
    return json;
}

int cli_print_json(json_t *takes_json, unsigned indent)
{
    json_dumpf(takes_json, stdout, (indent ? JSON_INDENT(indent) : JSON_COMPACT));
    json_decref(takes_json);
    fputc('\n', stdout);
    return CLI_OK;
}
