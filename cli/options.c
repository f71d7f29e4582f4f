/* The table of commands and options, and the parser that reads a command line by it. */
#include "options.h"

#include <assert.h>
#include <string.h>

#include "cli.h"

#define JSON_OPTION(what)               \
    {                                   \
        .name = "json", .summary = what \
    }

const cli_option cli_global_options[] = {
    {.name = "help", .letter = 'h', .summary = "Show the commands."},
    {.name = "version", .letter = 'V', .summary = "Print the version."},
    {0},
};

const cli_option cli_common_options[] = {
    {.name = "help", .letter = 'h', .summary = "Show this help."},
    {0},
};

#define SET_OPTION                                                                   \
    {                                                                                \
        .name = "set", .letter = 's', .many = true, .value = "NODE.PARAM=VALUE",     \
        .summary = "Set a parameter of a node. VALUE is a JSON value, or else text." \
    }

#define INPUT_OPTION                                                                               \
    {                                                                                              \
        .name = "input", .letter = 'i', .many = true, .value = "[NAME=]FILE",                      \
        .word = CLI_WORD_FILE,                                                                     \
        .summary = "Read FILE, - for stdin: the `path` of the first source, or of the node NAME; " \
                   "or what an input NAME of the pipeline gets, a line an item."                   \
    }

static const cli_option run_options[] = {
    INPUT_OPTION,
    SET_OPTION,
    {.name = "dry-run", .letter = 'n', .summary = "Show the plan, as `explain`, and run nothing."},
    {.name = "watch",
     .letter = 'w',
     .summary = "Run again whenever the manifest, an input file or a local Python module changes, "
                "until Ctrl-C."},
    {.name = "metrics",
     .letter = 'm',
     .value = "FILE",
     .word = CLI_WORD_FILE,
     .summary = "Write what each node and queue did to FILE, as JSON."},
    {.name = "metrics-port",
     .value = "PORT",
     .summary = "Serve the numbers for Prometheus on 127.0.0.1:PORT, at /metrics, while it runs; "
                "/healthz and /readyz, too. 0 chooses a free port, and stderr tells which."},
    {.name = "checkpoint",
     .value = "FOLDER",
     .word = CLI_WORD_FILE,
     .summary = "Keep checkpoints in FOLDER, and go on from the newest one that is there."},
    {.name = "checkpoint-interval",
     .value = "MS",
     .summary = "Make one each so many milliseconds; 1000 where nothing is said."},
    {.name = "otlp",
     .value = "URL",
     .summary = "Send each call as a span, and the numbers, to the OpenTelemetry collector at URL, "
                "each 5 s and at the end: OTLP as JSON over HTTP, as http://localhost:4318. The "
                "run is part of the trace in the variable TRACEPARENT."},
    {.name = "quiet", .letter = 'q', .summary = "Show neither progress nor the table at the end."},
    JSON_OPTION("End with one line of JSON on stdout: times, speed, nodes, queues, error."),
    {0},
};

static const cli_example run_examples[] = {
    {"Half a second of tone through a node",
     "remotemedia run 'test.tone duration_ms=500 ! test.pass'"},
    {"A manifest, with another file and another parameter",
     "remotemedia run pipeline.json --input talk.wav --set resample.rate_hz=8000"},
    {"Without a file: nodes joined by !",
     "remotemedia run 'media.read path=a.wav ! audio.level ! json.write path=-'"},
    {"A run that goes on where it was killed", "remotemedia run pipeline.json --checkpoint state"},
    {"Again with each change", "remotemedia run pipeline.json --watch"},
    {"With its numbers for Prometheus", "remotemedia run pipeline.json --metrics-port 9464"},
    {"With traces for OpenTelemetry", "remotemedia run pipeline.json --otlp http://localhost:4318"},
    {0},
};

#define MACHINE_OPTION                                                                          \
    {                                                                                           \
        .name = "machine", .value = "FILE", .word = CLI_WORD_FILE,                              \
        .summary = "Plan for the machine that FILE describes: what `doctor --json` says there." \
    }

static const cli_option plan_options[] = {
    SET_OPTION,
    MACHINE_OPTION,
    JSON_OPTION("Print everything as JSON."),
    {0},
};

static const cli_example explain_examples[] = {
    {"Where each node runs, and why", "remotemedia explain pipeline.json"},
    {"Which converters are put in", "remotemedia explain 'test.tone ! test.pass'"},
    {"Would it run on another machine?", "remotemedia explain pipeline.json --machine there.json"},
    {0},
};

static const cli_option graph_options[] = {
    {.name = "format",
     .letter = 'f',
     .value = "FORMAT",
     .choices = "text|dot|svg",
     .word = CLI_WORD_CHOICE,
     .summary = "text for a terminal, dot for Graphviz, svg by Graphviz's `dot`."},
    JSON_OPTION("Print the plan as JSON, as `explain --json` does."),
    {0},
};

static const cli_example graph_examples[] = {
    {"In the terminal", "remotemedia graph pipeline.json"},
    {"As a picture", "remotemedia graph pipeline.json --format svg > graph.svg"},
    {0},
};

static const cli_option validate_options[] = {
    {.name = "format",
     .letter = 'f',
     .value = "FORMAT",
     .choices = "text|json|github",
     .word = CLI_WORD_CHOICE,
     .summary = "How findings are printed: text, json, or github (annotations for a workflow)."},
    JSON_OPTION("The same as --format json."),
    MACHINE_OPTION,
    {0},
};

static const cli_example validate_examples[] = {
    {"Check every manifest of a folder", "remotemedia validate pipelines/*.json"},
    {"Annotate a pull request", "remotemedia validate --format github pipeline.json"},
    {0},
};

static const cli_option nodes_options[] = {
    JSON_OPTION("Print everything as JSON."),
    {0},
};

static const cli_example nodes_examples[] = {
    {"All node types", "remotemedia nodes"},
    {"One of them, with ports and parameters", "remotemedia nodes test.tone"},
    {0},
};

static const cli_option json_only[] = {
    JSON_OPTION("Print everything as JSON."),
    {0},
};

static const cli_option top_options[] = {
    {.name = "once", .letter = '1', .summary = "Print the table once, and end."},
    JSON_OPTION("Print once what each pipeline tells, its metrics whole, as JSON."),
    {0},
};

static const cli_example top_examples[] = {
    {"What is running just now", "remotemedia top --once"},
    {"How much waits in each queue",
     "remotemedia top --json | jq '.pipelines[].metrics.edges[].queued'"},
    {0},
};

static const cli_option record_options[] = {
    {.name = "output",
     .letter = 'o',
     .value = "FILE",
     .word = CLI_WORD_FILE,
     .summary = "Where the record goes; what was there is lost. By habit *.rmrec."},
    INPUT_OPTION,
    SET_OPTION,
    {.name = "bytes-max",
     .value = "BYTES",
     .summary = "The record ends there, and the run goes on; 4294967296 where nothing is said."},
    {.name = "without-payloads",
     .summary = "Leave out what sources give: a replay runs them again. For files that stay."},
    {.name = "quiet", .letter = 'q', .summary = "Show neither progress nor the table at the end."},
    JSON_OPTION("End with one line of JSON on stdout: times, speed, nodes, queues, error."),
    {0},
};

static const cli_example record_examples[] = {
    {"Keep a run", "remotemedia record pipeline.json --input talk.wav -o run.rmrec"},
    {"The same, again", "remotemedia replay run.rmrec"},
    {0},
};

static const cli_option replay_options[] = {
    {.name = "output",
     .letter = 'o',
     .value = "FOLDER",
     .word = CLI_WORD_FILE,
     .summary = "Run the sinks too: the files that they write go into FOLDER, by their names. None "
                "may be there already. Not where a node is of Python."},
    {.name = "compare", .summary = "Run no sinks, only compare: as without --output."},
    JSON_OPTION("Print what was done as JSON."),
    {0},
};

static const cli_example replay_examples[] = {
    {"Does everything come out as it did?", "remotemedia replay run.rmrec"},
    {"Its files once more, beside the first ones", "remotemedia replay run.rmrec -o again"},
    {0},
};

static const cli_option profile_options[] = {
    INPUT_OPTION,
    SET_OPTION,
    {.name = "trace",
     .value = "FILE",
     .word = CLI_WORD_FILE,
     .summary = "Write when each call began and ended to FILE, for Perfetto (ui.perfetto.dev) or "
                "chrome://tracing. The last 65,536 calls of each thread are kept."},
    {.name = "flame",
     .value = "FILE",
     .word = CLI_WORD_FILE,
     .summary = "Draw the nodes' working time to FILE as a flame graph, an SVG for a browser."},
    {.name = "quiet", .letter = 'q', .summary = "Show no progress."},
    JSON_OPTION("Print the report as JSON."),
    {0},
};

static const cli_example profile_examples[] = {
    {"What bounds this pipeline?", "remotemedia profile pipeline.json --input talk.wav"},
    {"Would less quality help?", "remotemedia profile pipeline.json --set resample.quality=low"},
    {"Each call on a line of time", "remotemedia profile pipeline.json --trace trace.json"},
    {"As a picture", "remotemedia profile pipeline.json --flame flame.svg"},
    {"The node that works most", "remotemedia profile pipeline.json --json | jq '.nodes[0].id'"},
    {0},
};

static const cli_example doctor_examples[] = {
    {"Why is a node type unknown?", "remotemedia doctor"},
    {"In a script", "remotemedia doctor --json"},
    {0},
};

static const cli_example new_examples[] = {
    {"Make one, and run it",
     "remotemedia new app my-app && cd my-app && remotemedia run pipeline.json -i words.txt"},
    {0},
};

static const cli_example completion_examples[] = {
    {"Now, in this bash", "source <(remotemedia completion bash)"},
    {"For good, in fish",
     "remotemedia completion fish > ~/.config/fish/completions/remotemedia.fish"},
    {0},
};

static const cli_example man_examples[] = {
    {"Read a page", "remotemedia man run | man -l -"},
    {0},
};

static const cli_example help_examples[] = {
    {"About a command", "remotemedia help run"},
    {"About an error", "remotemedia help E0301"},
    {0},
};

const cli_command cli_commands[] = {
    {.name = "run",
     .operands = "PIPELINE",
     .operands_min = 1,
     .operands_max = 1,
     .word = CLI_WORD_FILE,
     .summary = "Run a pipeline",
     .text =
         "PIPELINE is a manifest file, - for a manifest on stdin, or the pipeline itself: node "
         "types joined by !, each followed by parameters name=value.\n\n"
         "What the pipeline prints goes to stdout, a progress line and a table at the end to "
         "stderr. Outputs of the pipeline are printed one a line: text as it is, values as "
         "JSON.\n\n"
         "The table's times are each node's own, by the clock; on several threads they come to "
         "more than the run took. A share is of their sum.\n\n"
         "SIGINT (Ctrl-C) and SIGTERM end the run at once, with exit code 1; a second one, or one "
         "while nodes are being opened, ends the process where it stands. SIGUSR1 prints the live "
         "graph with its queues to stderr. When "
         "the reader of stdout goes away, the run ends quietly with exit code 0.",
     .options = run_options,
     .examples = run_examples,
     .run = cli_run},
    {.name = "profile",
     .operands = "PIPELINE",
     .operands_min = 1,
     .operands_max = 1,
     .word = CLI_WORD_FILE,
     .summary = "Run a pipeline and say where its time went",
     .text = "PIPELINE is as for `run`. At its end stdout gets a report: what to do, the critical "
             "path, the nodes by time, how busy each thread was, and in which queues packets "
             "waited. What the pipeline's outputs get is let go.\n\n"
             "The critical path is the chain from a source to a sink with the most work and the "
             "fullest queues. A run that was ended by Ctrl-C has a report up to there.",
     .options = profile_options,
     .examples = profile_examples,
     .run = cli_profile},
    {.name = "record",
     .operands = "PIPELINE",
     .operands_min = 1,
     .operands_max = 1,
     .word = CLI_WORD_FILE,
     .summary = "Run a pipeline and keep the run in a file",
     .text = "PIPELINE is as for `run`. FILE gets what came into the graph, in which order each "
             "node got it, and the sums of what it gave, while the run goes on: of one that is "
             "killed it has all up to about a second before.\n\n"
             "Whoever may read FILE may read the pipeline and what it was given.",
     .options = record_options,
     .examples = record_examples,
     .run = cli_record},
    {.name = "replay",
     .operands = "RECORD",
     .operands_min = 1,
     .operands_max = 1,
     .word = CLI_WORD_FILE,
     .summary = "Run again what `record` kept, and compare",
     .text =
         "Each node is called with what it was given then, in the order of then, with the "
         "merges, drops, interrupts and retries of then; what sources gave comes from the "
         "record. What each node gives is compared with what it gave. A record with Python nodes "
         "needs the `remotemedia` of the Python package, as its run did.\n\n"
         "Exits with 0 if all is the same, and with 1 at the first difference, which names the "
         "node and the packet.",
     .options = replay_options,
     .examples = replay_examples,
     .run = cli_replay},
    {.name = "top",
     .operands = "",
     .summary = "Show the pipelines that run on this machine",
     .text = "A table of your pipelines that `remotemedia run` runs, made anew each second until q "
             "or Ctrl-C: for each node its items, how many a second, the packets that wait before "
             "it and how many may, its share of the nodes' time, the 99th percentile of its calls "
             "and of the wait before it, drops and errors. Where stdout is no terminal it is "
             "printed once.\n\n"
             "A pipeline is asked through a socket in $XDG_RUNTIME_DIR/remotemedia, or in "
             "/tmp/remotemedia-UID, which only you can enter.",
     .options = top_options,
     .examples = top_examples,
     .run = cli_top},
    {.name = "validate",
     .operands = "FILE...",
     .operands_min = 1,
     .operands_max = CLI_OPERANDS_MAX,
     .word = CLI_WORD_FILE,
     .summary = "Check manifests",
     .text =
         "Prints every finding with line, column, the JSON Pointer of the place, and what would "
         "mend it. FILE may be - for stdin. Exits with 3 if any file has an error.",
     .options = validate_options,
     .examples = validate_examples,
     .run = cli_validate},
    {.name = "explain",
     .operands = "PIPELINE",
     .operands_min = 1,
     .operands_max = 1,
     .word = CLI_WORD_FILE,
     .summary = "Show the plan of a pipeline, and why it is so",
     .text = "For each node its place, tier and strand, for each connection its format, queue and "
             "converter, each with the reason. Nothing is opened.",
     .options = plan_options,
     .examples = explain_examples,
     .run = cli_explain},
    {.name = "graph",
     .operands = "PIPELINE",
     .operands_min = 1,
     .operands_max = 1,
     .word = CLI_WORD_FILE,
     .summary = "Draw a pipeline",
     .text = "Nodes and connections with their formats. A pipeline that cannot be planned here is "
             "drawn as it is written, its errors go to stderr, and the exit code is 3.",
     .options = graph_options,
     .examples = graph_examples,
     .run = cli_graph},
    {.name = "nodes",
     .operands = "[TYPE]",
     .operands_max = 1,
     .word = CLI_WORD_NODE_TYPE,
     .summary = "List node types, or describe one",
     .text =
         "Shows the ports of a node type and its parameters with type, unit, range and default, "
         "and an example.",
     .options = nodes_options,
     .examples = nodes_examples,
     .run = cli_nodes},
    {.name = "doctor",
     .operands = "",
     .summary = "Show what is installed and what is missing",
     .text = "Loads every module, looks for what nodes and commands need and at the machine, and "
             "prints "
             "the command that installs what is missing. Exits with 1 if something is there and "
             "does not work.",
     .options = json_only,
     .examples = doctor_examples,
     .run = cli_doctor},
    {.name = "new",
     .operands = "app NAME",
     .operands_min = 2,
     .operands_max = 2,
     .word = CLI_WORD_CHOICE,
     .choices = "app",
     .summary = "Make a new app",
     .text = "Makes the folder NAME with a manifest, a Python node, its test and a README. It runs "
             "at once.",
     .options = json_only,
     .examples = new_examples,
     .run = cli_new},
    {.name = "completion",
     .operands = "SHELL",
     .operands_min = 1,
     .operands_max = 1,
     .word = CLI_WORD_CHOICE,
     .choices = "bash|zsh|fish",
     .summary = "Print shell completion",
     .text = "Completes commands, options, files, choices and node types. SHELL is bash, zsh or "
             "fish.",
     .examples = completion_examples,
     .run = cli_completion},
    {.name = "man",
     .operands = "[COMMAND]",
     .operands_max = 1,
     .word = CLI_WORD_COMMAND,
     .summary = "Print a manual page",
     .text = "In the form that man(1) shows, made from what --help prints.",
     .examples = man_examples,
     .run = cli_man},
    {.name = "help",
     .operands = "[COMMAND|CODE]",
     .operands_max = 1,
     .word = CLI_WORD_COMMAND,
     .summary = "Explain a command or an error code",
     .text = "A CODE is what an error shows in brackets: E0301.",
     .options = json_only,
     .examples = help_examples,
     .run = cli_help},
    {.name = "version",
     .operands = "",
     .summary = "Print the version",
     .text = "Prints the version of the library.",
     .options = json_only,
     .run = cli_version},
    {0},
};

/* ---- parsing */

const cli_command *cli_find_command(const char *name)
{
    for (const cli_command *c = cli_commands; c->name; c++) {
        if (strcmp(c->name, name) == 0) {
            return c;
        }
    }
    return NULL;
}

typedef struct parse {
    const cli_command *command;
    cli_arguments *arguments;
    rm_error *err;
    int argc, at;
    char **argv;
} parse;

static rm_status usage(parse *p, const char *help)
{
    if (help) {
        rm_error_help(p->err, "%s", help);
    } else {
        rm_error_help(p->err, "`remotemedia help %s` shows how it is used", p->command->name);
    }
    return RM_EINVAL;
}

/* By letter, or by a name of that length. */
static const cli_option *find_option(const cli_option *list, const char *name, size_t length)
{
    for (const cli_option *o = list; o && o->name; o++) {
        bool is_letter = length == 1 && o->letter && o->letter == name[0];
        if (is_letter || (strlen(o->name) == length && memcmp(o->name, name, length) == 0)) {
            return o;
        }
    }
    return NULL;
}

static rm_status unknown_option(parse *p, const char *word, size_t length)
{
    char name[64] = "", help[96];
    memcpy(name, word, length < sizeof name - 1 ? length : sizeof name - 1);
    cli_near near = {.wanted = name + strspn(name, "-")};
    for (const cli_option *o = p->command->options; o && o->name; o++) {
        cli_near_try(&near, o->name);
    }
    cli_near_try(&near, "help");
    (void)rm_fail_as(p->err, RM_CODE_USAGE, "%s has no option '%s'", p->command->name, name);
    snprintf(help, sizeof help, "did you mean '--%s'?", near.best ? near.best : "");
    return usage(p, near.best ? help : NULL);
}

static rm_status check_choice(parse *p, const char *what, const char *choices, const char *text)
{
    char names[128], help[160];
    cli_near near = {.wanted = text};
    snprintf(names, sizeof names, "%s", choices);
    char *rest = names;
    for (char *name; (name = strsep(&rest, "|"));) {
        if (strcmp(name, text) == 0) {
            return RM_OK;
        }
        cli_near_try(&near, name);
    }
    (void)rm_fail_as(p->err, RM_CODE_USAGE, "%s is '%.60s', want %s%s", what, text,
                     strchr(choices, '|') ? "one of " : "", choices);
    snprintf(help, sizeof help, "did you mean '%s'?", near.best ? near.best : "");
    return usage(p, near.best ? help : NULL);
}

static rm_status keep_value(parse *p, const cli_option *option, const char *text)
{
    cli_arguments *a = p->arguments;
    char what[80];
    if (a->value_count == CLI_VALUES_MAX) {
        (void)rm_fail_as(p->err, RM_CODE_USAGE, "more than %d options", CLI_VALUES_MAX);
        return usage(p, NULL);
    }
    if (!option->many && option->value && cli_value_at(a, option->name, 0)) {
        (void)rm_fail_as(p->err, RM_CODE_USAGE, "--%s is given twice", option->name);
        return usage(p, NULL);
    }
    snprintf(what, sizeof what, "--%s", option->name);
    rm_status status = option->choices ? check_choice(p, what, option->choices, text) : RM_OK;
    a->value[a->value_count].option = option;
    a->value[a->value_count++].text = text;
    return status;
}

/* The option's value, which is in its own word or the next one; "" for one that takes none. */
static rm_status value_of(parse *p, const cli_option *option, const char *given,
                          const char **ret_value)
{
    if (!option->value && given) {
        (void)rm_fail_as(p->err, RM_CODE_USAGE, "--%s takes no value, got '%.60s'", option->name,
                         given);
        return usage(p, NULL);
    }
    if (option->value && !given) {
        if (p->at + 1 >= p->argc) {
            (void)rm_fail_as(p->err, RM_CODE_USAGE, "--%s needs a value: %s", option->name,
                             option->value);
            return usage(p, NULL);
        }
        given = p->argv[++p->at];
    }
    *ret_value = given ? given : "";
    return RM_OK;
}

/* "--name", "--name=value", "--name value", "-n", "-n value". */
static rm_status parse_option(parse *p, const char *word)
{
    bool is_long = word[1] == '-';
    const char *name = word + (is_long ? 2 : 1);
    size_t length = is_long ? strcspn(name, "=") : strlen(name);
    const char *given = is_long && name[length] == '=' ? name + length + 1 : NULL;
    bool wrong_dashes = is_long != (length > 1);
    const cli_option *option = wrong_dashes ? NULL : find_option(p->command->options, name, length);
    if (!option && !wrong_dashes && find_option(cli_common_options, name, length)) {
        p->arguments->help = true;
        return RM_OK;
    }
    if (!option) {
        return unknown_option(p, word, is_long ? length + 2 : strlen(word));
    }
    rm_status status = value_of(p, option, given, &given);
    return status == RM_OK ? keep_value(p, option, given) : status;
}

static rm_status check_operands(parse *p)
{
    const cli_arguments *a = p->arguments;
    const cli_command *c = p->command;
    if (a->operand_count < c->operands_min) {
        (void)rm_fail_as(p->err, RM_CODE_USAGE, "%s needs %s", c->name, c->operands);
        return usage(p, NULL);
    }
    if (c->word == CLI_WORD_CHOICE && a->operand_count > 0) {
        return check_choice(p, "the first word", c->choices, a->operand[0]);
    }
    return RM_OK;
}

rm_status cli_parse(const cli_command *command, int argc, char **argv, cli_arguments *ret_arguments,
                    rm_error *err)
{
    rm_status status = RM_OK;
    bool options_over = false;
    memset(ret_arguments, 0, sizeof *ret_arguments);
    ret_arguments->command = command;
    parse p = {command, ret_arguments, err, argc, 0, argv};
    for (; p.at < argc && status == RM_OK; p.at++) {
        const char *word = argv[p.at];
        if (!options_over && strcmp(word, "--") == 0) {
            options_over = true;
        } else if (!options_over && word[0] == '-' && word[1]) {
            status = parse_option(&p, word);
        } else if (ret_arguments->operand_count < command->operands_max) {
            ret_arguments->operand[ret_arguments->operand_count++] = word;
        } else {
            (void)rm_fail_as(err, RM_CODE_USAGE, "%s takes no further word, got '%.60s'",
                             command->name, word);
            status = usage(&p, NULL);
        }
    }
    return status == RM_OK && !ret_arguments->help ? check_operands(&p) : status;
}

/* ---- reading what was parsed */

const char *cli_value_at(const cli_arguments *arguments, const char *option, unsigned index)
{
    for (unsigned i = 0; i < arguments->value_count; i++) {
        if (strcmp(arguments->value[i].option->name, option) == 0 && index-- == 0) {
            return arguments->value[i].text;
        }
    }
    return NULL;
}

bool cli_has(const cli_arguments *arguments, const char *option)
{
    return cli_value_at(arguments, option, 0) != NULL;
}

const char *cli_value(const cli_arguments *arguments, const char *option)
{
    const char *given = cli_value_at(arguments, option, 0);
    const cli_option *o = find_option(arguments->command->options, option, strlen(option));
    assert(o); /* a command asks for its own options only */
    if (given || !o->choices) {
        return given;
    }
    static _Thread_local char first[16];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(o->choices, "|"), o->choices);
    return first;
}
