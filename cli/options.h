/* options.h — the one table of commands and options.
 *
 *     table ──▶ parsing   ──▶ --help   ──▶ man pages   ──▶ shell completion   ──▶ reference page
 *
 * Threads: one.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include <remotemedia/error.h>

enum { CLI_OPTIONS_MAX = 12, CLI_OPERANDS_MAX = 256, CLI_VALUES_MAX = 64 };

/* What a word stands for, for completion. */
typedef enum cli_word {
    CLI_WORD_NONE = 0,
    CLI_WORD_FILE,
    CLI_WORD_COMMAND,
    CLI_WORD_NODE_TYPE,
    CLI_WORD_CHOICE /* of `choices` */
} cli_word;

/* An array of them ends with one whose name is NULL. */
typedef struct cli_option {
    const char *name;    /* without the dashes */
    char letter;         /* 0: none */
    bool many;           /* may be given several times */
    const char *value;   /* how the help calls its value; NULL: a flag */
    const char *choices; /* "text|json"; the first one is the default */
    cli_word word;
    const char *summary;
} cli_option;

typedef struct cli_example {
    const char *what, *line;
} cli_example;

struct cli;
struct cli_arguments;

typedef struct cli_command {
    const char *name;
    const char *operands; /* as the usage line shows them; "" for none */
    unsigned operands_min, operands_max;
    cli_word word;       /* of the operands */
    const char *choices; /* where the word is a choice */
    const char *summary; /* one line */
    const char *text;    /* paragraphs, joined by "\n\n" */
    const cli_option *options;
    const cli_example *examples;
    int (*run)(struct cli *cli, const struct cli_arguments *arguments);
} cli_command;

typedef struct cli_arguments {
    const cli_command *command;
    bool help;
    unsigned operand_count, value_count;
    const char *operand[CLI_OPERANDS_MAX];
    struct {
        const cli_option *option;
        const char *text; /* "" for a flag */
    } value[CLI_VALUES_MAX];
} cli_arguments;

/* The commands in the order of the help; ends with one whose name is NULL. */
extern const cli_command cli_commands[];

/* Options in the place of a command: each stands for the command of its name. */
extern const cli_option cli_global_options[];

/* Options that each command has: --help. */
extern const cli_option cli_common_options[];

/* argv[0] is the first word behind the command. RM_CODE_USAGE, with a near name as help. */
RM_MUST_USE rm_status cli_parse(const cli_command *command, int argc, char **argv,
                                cli_arguments *ret_arguments, rm_error *err);

/* NULL where there is none of that name. */
const cli_command *cli_find_command(const char *name);

bool cli_has(const cli_arguments *arguments, const char *option);
/* The last value given, or the first of the option's choices, or NULL. */
const char *cli_value(const cli_arguments *arguments, const char *option);
/* The index-th value of an option that may be given several times; NULL behind the last. */
const char *cli_value_at(const cli_arguments *arguments, const char *option, unsigned index);

#endif
