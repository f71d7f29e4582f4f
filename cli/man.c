/* `remotemedia man [COMMAND]`: manual pages in man(7) form, from the table that --help prints. */
#include <string.h>

#include "cli.h"
#include "help.h"

/* As text in roff: what begins a request or an escape is written so that it does not. */
static void print_roff(const char *text)
{
    bool line_begins = true;
    for (; *text; text++) {
        if (line_begins && (*text == '.' || *text == '\'')) {
            printf("\\&");
        }
        line_begins = *text == '\n';
        if (*text == '\\') {
            printf("\\e");
        } else if (*text == '-') {
            printf("\\-");
        } else if (*text == '\n' && text[1] == '\n') {
            printf("\n.PP\n");
            text++;
            line_begins = true;
        } else {
            putchar(*text);
        }
    }
}

static void print_header(const char *name, const char *summary)
{
    printf(".TH \"");
    for (const char *c = name; *c; c++) {
        putchar(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    }
    printf("\" \"1\" \"\" \"RemoteMedia %s\" \"RemoteMedia manual\"\n.SH NAME\n", rm_version());
    print_roff(name);
    printf(" \\- ");
    print_roff(summary);
    printf("\n");
}

static void print_option(const cli_option *o)
{
    printf(".TP\n.B ");
    if (o->letter) {
        printf("\\-%c, ", o->letter);
    }
    printf("\\-\\-");
    print_roff(o->name);
    if (o->value) {
        printf("=\\fI");
        print_roff(o->value);
        printf("\\fR");
    }
    printf("\n");
    print_roff(o->summary);
    if (o->choices) {
        printf(" One of: ");
        print_roff(o->choices);
        printf(".");
    }
    printf("\n");
}

static void print_options(const cli_option *options)
{
    for (const cli_option *o = options; o && o->name; o++) {
        print_option(o);
    }
}

static void print_examples(const cli_example *examples)
{
    if (examples) {
        printf(".SH EXAMPLES\n");
    }
    for (const cli_example *e = examples; e && e->line; e++) {
        printf(".TP\n");
        print_roff(e->what);
        printf("\n.nf\n.B \"");
        for (const char *c = e->line; *c; c++) {
            if (*c == '"') {
                printf("\\(dq");
            } else {
                char one[2] = {*c, 0};
                print_roff(one);
            }
        }
        printf("\"\n.fi\n");
    }
}

static void print_end(void)
{
    printf(".SH EXIT STATUS\n0 ok, 1 the run failed, 2 usage, 3 bad manifest\n");
}

static void print_command_page(const cli_command *c)
{
    char name[64];
    snprintf(name, sizeof name, "remotemedia-%s", c->name);
    print_header(name, c->summary);
    printf(".SH SYNOPSIS\n.B remotemedia %s\n[\\fIOPTION\\fR]...", c->name);
    if (c->operands[0]) {
        printf(" \\fI");
        print_roff(c->operands);
        printf("\\fR");
    }
    printf("\n.SH DESCRIPTION\n");
    print_roff(c->text);
    printf("\n.SH OPTIONS\n");
    print_options(c->options);
    print_options(cli_common_options);
    print_examples(c->examples);
    print_end();
    printf(".SH SEE ALSO\n.BR remotemedia (1)\n");
}

static void print_overview_page(void)
{
    print_header("remotemedia", CLI_TAGLINE);
    printf(".SH SYNOPSIS\n.B remotemedia\n\\fICOMMAND\\fR [\\fIOPTION\\fR]... "
           "[\\fIWORD\\fR]...\n.SH COMMANDS\n");
    for (const cli_command *c = cli_commands; c->name; c++) {
        printf(".TP\n.BR remotemedia\\-%s (1)\n", c->name);
        print_roff(c->summary);
        printf("\n");
    }
    printf(".SH OPTIONS\n");
    print_options(cli_global_options);
    printf(".SH ENVIRONMENT\n");
    for (const cli_example *e = cli_environment; e->line; e++) {
        printf(".TP\n.B %s\n", e->line);
        print_roff(e->what);
        printf("\n");
    }
    print_end();
}

int cli_man(cli *state, const cli_arguments *arguments)
{
    const char *name = arguments->operand_count ? arguments->operand[0] : NULL;
    const cli_command *command = name ? cli_find_command(name) : NULL;
    if (name && !command) {
        return cli_unknown_command(state, name);
    }
    if (command) {
        print_command_page(command);
    } else {
        print_overview_page();
    }
    return CLI_OK;
}
