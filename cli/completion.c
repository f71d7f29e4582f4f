/* `remotemedia completion SHELL`: what bash, zsh and fish need to complete words, from the option
 * table. Node types are asked of `remotemedia nodes` when the key is pressed. */
#include <string.h>

#include "cli.h"

/* "a|b" as "a b". */
static void print_choices(const char *choices)
{
    for (const char *c = choices; *c; c++) {
        putchar(*c == '|' ? ' ' : *c);
    }
}

/* For text between single quotes; ':' and brackets mean something to zsh. */
static void print_quoted(const char *text, const char *escaped)
{
    for (; *text; text++) {
        if (*text == '\'') {
            printf("'\\''");
        } else if (strchr(escaped, *text)) {
            printf("\\%c", *text);
        } else {
            putchar(*text);
        }
    }
}

static void print_commands(void)
{
    for (const cli_command *c = cli_commands; c->name; c++) {
        printf("%s%s", c == cli_commands ? "" : " ", c->name);
    }
}

/* "--a --b": a blank behind each. */
static void print_option_names(const cli_option *options)
{
    for (const cli_option *o = options; o && o->name; o++) {
        printf("--%s ", o->name);
    }
}

/* ---- bash */

static void print_bash_words(const cli_option *option)
{
    if (option->choices) {
        printf("_remotemedia_words \"");
        print_choices(option->choices);
        printf("\"");
    } else if (option->word == CLI_WORD_FILE) {
        printf("_remotemedia_files");
    } else {
        printf(":");
    }
    printf("; return ;;\n");
}

static void print_bash_operands(const cli_command *command)
{
    switch (command->word) {
    case CLI_WORD_FILE: printf("_remotemedia_files"); break;
    case CLI_WORD_COMMAND:
        printf("_remotemedia_words \"");
        print_commands();
        printf("\"");
        break;
    case CLI_WORD_NODE_TYPE:
        printf("_remotemedia_words \"$(remotemedia nodes 2>/dev/null | cut -d' ' -f1)\"");
        break;
    case CLI_WORD_CHOICE:
        printf("_remotemedia_words \"");
        print_choices(command->choices);
        printf("\"");
        break;
    default: printf(":");
    }
    printf(" ;;\n");
}

static void print_bash_command(const cli_command *command)
{
    printf("    %s)\n        case $prev in\n", command->name);
    for (const cli_option *o = command->options; o && o->name; o++) {
        if (o->value && o->letter) {
            printf("        --%s | -%c) ", o->name, o->letter);
            print_bash_words(o);
        } else if (o->value) {
            printf("        --%s) ", o->name);
            print_bash_words(o);
        }
    }
    printf("        esac\n        case $cur in\n        -*) _remotemedia_words \"");
    print_option_names(command->options);
    print_option_names(cli_common_options);
    printf("\" ;;\n        *) ");
    print_bash_operands(command);
    printf("        esac ;;\n");
}

static void print_bash(void)
{
    printf(
        "# bash completion for remotemedia. To use it now: source <(remotemedia completion bash)\n"
        "_remotemedia_words() { mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\"); }\n"
        "_remotemedia_files() {\n"
        "    compopt -o filenames 2>/dev/null\n"
        "    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
        "}\n"
        "_remotemedia() {\n"
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
        "    local command=${COMP_WORDS[1]}\n"
        "    COMPREPLY=()\n"
        "    if [[ $cur == = ]]; then\n"
        "        cur=\n"
        "    elif [[ $prev == = ]]; then\n"
        "        prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
        "    fi\n"
        "    if ((COMP_CWORD == 1)); then\n"
        "        _remotemedia_words \"");
    print_commands();
    printf(" ");
    print_option_names(cli_global_options);
    printf("\"\n        return\n    fi\n    case $command in\n");
    for (const cli_command *c = cli_commands; c->name; c++) {
        print_bash_command(c);
    }
    printf("    esac\n}\ncomplete -F _remotemedia remotemedia\n");
}

/* ---- zsh */

static void print_zsh_action(cli_word word, const char *choices)
{
    if (word == CLI_WORD_FILE) {
        printf("_files");
    } else if (word == CLI_WORD_COMMAND) {
        printf("(");
        print_commands();
        printf(")");
    } else if (word == CLI_WORD_NODE_TYPE) {
        printf("_remotemedia_types");
    } else if (choices) {
        printf("(");
        print_choices(choices);
        printf(")");
    } else {
        printf(" ");
    }
}

static void print_zsh_option(const cli_option *o)
{
    const char *assign = o->value ? "=" : "";
    printf(" \\\n            ");
    if (o->letter && o->many) {
        printf("'*'{-%c%s,--%s%s}'[", o->letter, o->value ? "+" : "", o->name, assign);
    } else if (o->letter) {
        printf("'(-%c --%s)'{-%c%s,--%s%s}'[", o->letter, o->name, o->letter, o->value ? "+" : "",
               o->name, assign);
    } else {
        printf("'%s--%s%s[", o->many ? "*" : "", o->name, assign);
    }
    print_quoted(o->summary, "[]:");
    printf("]");
    if (o->value) {
        printf(":");
        print_quoted(o->value, "[]:");
        printf(":");
        print_zsh_action(o->word, o->choices);
    }
    printf("'");
}

static void print_zsh_options(const cli_option *options)
{
    for (const cli_option *o = options; o && o->name; o++) {
        print_zsh_option(o);
    }
}

static void print_zsh_command(const cli_command *c)
{
    printf("    %s)\n        _arguments -s", c->name);
    print_zsh_options(c->options);
    print_zsh_options(cli_common_options);
    if (c->operands[0]) {
        printf(" \\\n            '*:%s:", c->summary);
        print_zsh_action(c->word, c->choices);
        printf("'");
    }
    printf(" ;;\n");
}

/* An entry of an array for _describe. */
static void print_zsh_word(const char *dashes, const char *name, const char *summary)
{
    printf("        '%s%s:", dashes, name);
    print_quoted(summary, ":");
    printf("'\n");
}

static void print_zsh(void)
{
    printf("#compdef remotemedia\n"
           "_remotemedia_types() {\n"
           "    local -a types\n"
           "    types=(${(f)\"$(remotemedia nodes 2>/dev/null | cut -d' ' -f1)\"})\n"
           "    compadd -a types\n"
           "}\n"
           "_remotemedia() {\n"
           "    local -a commands options\n"
           "    commands=(\n");
    for (const cli_command *c = cli_commands; c->name; c++) {
        print_zsh_word("", c->name, c->summary);
    }
    printf("    )\n    options=(\n");
    for (const cli_option *o = cli_global_options; o->name; o++) {
        print_zsh_word("--", o->name, o->summary);
    }
    printf("    )\n    if (( CURRENT == 2 )); then\n"
           "        if [[ $PREFIX == -* ]]; then\n            _describe -o option options\n"
           "        else\n            _describe command commands\n        fi\n"
           "        return\n    fi\n    local command=$words[2]\n    shift words\n"
           "    (( CURRENT-- ))\n    case $command in\n");
    for (const cli_command *c = cli_commands; c->name; c++) {
        print_zsh_command(c);
    }
    printf("    esac\n}\ncompdef _remotemedia remotemedia\n");
}

/* ---- fish */

static void print_fish_operands(const cli_command *c)
{
    const char *condition = "complete -c remotemedia -n '__fish_seen_subcommand_from";
    if (c->word == CLI_WORD_FILE) {
        printf("%s %s' -F\n", condition, c->name);
    } else if (c->word == CLI_WORD_NODE_TYPE) {
        printf("%s %s' -a \"(remotemedia nodes 2>/dev/null | cut -d' ' -f1)\"\n", condition,
               c->name);
    } else if (c->word == CLI_WORD_COMMAND || c->word == CLI_WORD_CHOICE) {
        printf("%s %s' -a '", condition, c->name);
        if (c->choices) {
            print_choices(c->choices);
        } else {
            print_commands();
        }
        printf("'\n");
    }
}

/* Of a command; NULL: in the place of one. */
static void print_fish_option(const char *command, const cli_option *o)
{
    printf("complete -c remotemedia -n ");
    if (command) {
        printf("'__fish_seen_subcommand_from %s'", command);
    } else {
        printf("__fish_use_subcommand");
    }
    printf(" -l %s", o->name);
    if (o->letter) {
        printf(" -s %c", o->letter);
    }
    if (o->value) {
        printf(o->word == CLI_WORD_FILE ? " -r -F" : " -x");
    }
    if (o->choices) {
        printf(" -a '");
        print_choices(o->choices);
        printf("'");
    }
    printf(" -d '");
    for (const char *t = o->summary; *t; t++) {
        printf(*t == '\'' || *t == '\\' ? "\\%c" : "%c", *t);
    }
    printf("'\n");
}

static void print_fish_options(const char *command, const cli_option *options)
{
    for (const cli_option *o = options; o && o->name; o++) {
        print_fish_option(command, o);
    }
}

static void print_fish(void)
{
    printf("# fish completion for remotemedia\ncomplete -c remotemedia -f\n");
    print_fish_options(NULL, cli_global_options);
    for (const cli_command *c = cli_commands; c->name; c++) {
        printf("complete -c remotemedia -n __fish_use_subcommand -a %s -d '%s'\n", c->name,
               c->summary);
        print_fish_operands(c);
        print_fish_options(c->name, c->options);
        print_fish_options(c->name, cli_common_options);
    }
}

int cli_completion(cli *state, const cli_arguments *arguments)
{
    (void)state;
    const char *shell = arguments->operand[0];
    if (strcmp(shell, "bash") == 0) {
        print_bash();
    } else if (strcmp(shell, "zsh") == 0) {
        print_zsh();
    } else {
        print_fish();
    }
    return CLI_OK;
}
