/* `remotemedia help [COMMAND|CODE]`, and what --help prints. */
#include "help.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "error_pages.h" /* static const char page_301[] …, from docs/errors/ */

enum { WIDTH = 80, SUMMARY_COLUMN = 26 };

/* ---- a command */

static void print_option(FILE *out, bool color, const cli_option *option)
{
    char names[80], text[400];
    const char *of = option->choices ? " One of: " : "";
    snprintf(names, sizeof names, "%c%c%s--%s%s%s", option->letter ? '-' : ' ',
             option->letter ? option->letter : ' ', option->letter ? ", " : "  ", option->name,
             option->value ? "=" : "", option->value ? option->value : "");
    snprintf(text, sizeof text, "%s%s%s%s", option->summary, of,
             option->choices ? option->choices : "", option->choices ? "." : "");
    fprintf(out, "  %s%s%s", cli_paint(color, CLI_BOLD), names, cli_reset(color));
    size_t used = strlen(names) + 2;
    if (used >= SUMMARY_COLUMN) {
        fprintf(out, "\n%*s", SUMMARY_COLUMN, "");
    } else {
        fprintf(out, "%*s", (int)(SUMMARY_COLUMN - used), "");
    }
    cli_print_wrapped(out, text, SUMMARY_COLUMN, WIDTH);
}

static void print_heading(FILE *out, bool color, const char *text)
{
    fprintf(out, "\n%s%s%s\n", cli_paint(color, CLI_BOLD), text, cli_reset(color));
}

static void print_options(FILE *out, bool color, const cli_option *options)
{
    for (const cli_option *o = options; o && o->name; o++) {
        print_option(out, color, o);
    }
}

void cli_print_command_help(FILE *out, bool color, const cli_command *command)
{
    fprintf(out, "%s\n", command->summary);
    print_heading(out, color, "Usage");
    fprintf(out, "  remotemedia %s [OPTION]...%s%s\n\n", command->name,
            command->operands[0] ? " " : "", command->operands);
    cli_print_wrapped(out, command->text, 0, WIDTH);
    print_heading(out, color, "Options");
    print_options(out, color, command->options);
    print_options(out, color, cli_common_options);
    if (command->examples) {
        print_heading(out, color, "Examples");
    }
    for (const cli_example *e = command->examples; e && e->line; e++) {
        fprintf(out, "  %s# %s%s\n  %s\n", cli_paint(color, CLI_DIM), e->what, cli_reset(color),
                e->line);
    }
}

const cli_example cli_environment[] = {
    {"folders with further node modules, joined by ':'", "REMOTEMEDIA_MODULE_PATH"},
    {"what is logged to stderr: warning, audio.*:debug", "REMOTEMEDIA_LOG"},
    {"no colour where it is set and not empty", "NO_COLOR"},
    {0},
};

void cli_print_overview(FILE *out, bool color)
{
    fprintf(out, CLI_TAGLINE "\n");
    print_heading(out, color, "Usage");
    fprintf(out, "  remotemedia COMMAND [OPTION]... [WORD]...\n");
    print_heading(out, color, "Commands");
    for (const cli_command *c = cli_commands; c->name; c++) {
        fprintf(out, "  %s%-12s%s%s\n", cli_paint(color, CLI_BOLD), c->name, cli_reset(color),
                c->summary);
    }
    print_heading(out, color, "Options");
    print_options(out, color, cli_global_options);
    print_heading(out, color, "Examples");
    fprintf(out,
            "  remotemedia run 'test.tone duration_ms=1000 ! audio.level ! json.write path=-'\n"
            "  remotemedia run pipeline.json --input talk.wav\n"
            "  remotemedia nodes\n");
    print_heading(out, color, "Environment");
    for (const cli_example *e = cli_environment; e->line; e++) {
        fprintf(out, "  %s%-25s%s%s\n", cli_paint(color, CLI_BOLD), e->line, cli_reset(color),
                e->what);
    }
    print_heading(out, color, "Exit codes");
    fprintf(out, "  0 ok, 1 the run failed, 2 usage, 3 bad manifest\n\n"
                 "`remotemedia help COMMAND` explains a command, `remotemedia help E0301` an "
                 "error.\n");
}

static json_t *options_json(const cli_option *options)
{
    json_t *list = json_array();
    for (const cli_option *o = options; o && o->name; o++) {
        char letter[2] = {o->letter, 0};
        json_array_append_new(list, json_pack("{s:s, s:s, s:s?, s:s?, s:b, s:s}", "name", o->name,
                                              "letter", letter, "value", o->value, "choices",
                                              o->choices, "many", o->many, "summary", o->summary));
    }
    return list;
}

static json_t *command_json(const cli_command *command)
{
    json_t *examples = json_array();
    for (const cli_example *e = command->examples; e && e->line; e++) {
        json_array_append_new(examples, json_pack("{s:s, s:s}", "what", e->what, "line", e->line));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "name", command->name, "operands",
                     command->operands, "summary", command->summary, "text", command->text,
                     "options", options_json(command->options), "examples", examples);
}

/* ---- an error code */

typedef struct error_page {
    int code;
    const char *name, *text;
} error_page;

static const error_page pages[] = {
#define PAGE(number, name, status, meaning) {number, #name, page_##number},
    RM_ERROR_CODES(PAGE)
#undef PAGE
};

/* "E0301", "e301", "301"; 0: not a code. */
static int read_code(const char *text)
{
    const char *digits = text + (*text == 'E' || *text == 'e');
    size_t length = strspn(digits, "0123456789");
    return length > 0 && length <= 4 && digits[length] == '\0' ? (int)strtol(digits, NULL, 10) : 0;
}

/* Markdown, with its marks taken away but for lists and indented code. */
static void print_page(const char *text, bool color)
{
    bool fenced = false;
    while (*text) {
        size_t length = strcspn(text, "\n");
        if (strncmp(text, "```", 3) == 0) {
            fenced = !fenced;
        } else if (*text == '#' && !fenced) {
            size_t marks = strspn(text, "# ");
            printf("%s%.*s%s\n", cli_paint(color, CLI_BOLD), (int)(length - marks), text + marks,
                   cli_reset(color));
        } else {
            printf("%s%.*s\n", fenced ? "    " : "", (int)length, text);
        }
        text += length + (text[length] == '\n');
    }
}

static int help_code(const cli *state, int code, const char *given)
{
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (pages[i].code != code) {
            continue;
        }
        if (state->json) {
            char text[8];
            snprintf(text, sizeof text, "E%04d", code);
            return cli_print_json(
                json_pack("{s:s, s:s, s:s, s:s, s:s}", "code", text, "name", pages[i].name,
                          "status", rm_status_name(rm_code_status((rm_code)code)), "meaning",
                          rm_code_meaning((rm_code)code), "text", pages[i].text),
                2);
        }
        print_page(pages[i].text, state->color_out);
        return CLI_OK;
    }
    return cli_fail_usage(state, "codes look like E0301", "there is no error code '%.40s'", given);
}

/* ---- the command */

int cli_unknown_command(const cli *state, const char *name)
{
    char help[96];
    cli_near near = {.wanted = name};
    for (const cli_command *c = cli_commands; c->name; c++) {
        cli_near_try(&near, c->name);
    }
    snprintf(help, sizeof help, "did you mean '%s'?", near.best ? near.best : "");
    return cli_fail_usage(state, near.best ? help : "`remotemedia help` lists the commands",
                          "there is no command '%.60s'", name);
}

int cli_help(cli *state, const cli_arguments *arguments)
{
    const char *topic = arguments->operand_count ? arguments->operand[0] : NULL;
    if (!topic && state->json) {
        json_t *list = json_array();
        for (const cli_command *c = cli_commands; c->name; c++) {
            json_array_append_new(list, command_json(c));
        }
        return cli_print_json(json_pack("{s:o, s:o, s:o}", "commands", list, "global_options",
                                        options_json(cli_global_options), "common_options",
                                        options_json(cli_common_options)),
                              2);
    }
    if (!topic) {
        cli_print_overview(stdout, state->color_out);
        return CLI_OK;
    }
    if (read_code(topic)) {
        return help_code(state, read_code(topic), topic);
    }
    const cli_command *command = cli_find_command(topic);
    if (!command) {
        return cli_unknown_command(state, topic);
    }
    if (state->json) {
        return cli_print_json(command_json(command), 2);
    }
    cli_print_command_help(stdout, state->color_out, command);
    return CLI_OK;
}
