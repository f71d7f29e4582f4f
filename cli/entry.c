/* rm_cli_main(): finds the command, parses, runs it, and sees to the end of stdout. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "help.h"

static bool wants_color(int fd)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fd) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

static void print_log(void *context, rm_log_level level, const char *topic, const char *message)
{
    static const char *const names[] = {"", "error", "warning", "info", "debug", "trace"};
    const cli *state = context;
    cli_style style = level == RM_LOG_ERROR     ? CLI_RED
                      : level == RM_LOG_WARNING ? CLI_YELLOW
                                                : CLI_DIM;
    fprintf(stderr, "%s%s%s %s: %s\n", cli_paint(state->color_err, style), names[level],
            cli_reset(state->color_err), topic, message);
}

/* A filter that is not understood is told, and the run goes on with the default. */
static int start_log(const cli *state)
{
    rm_error err = RM_ERROR_INIT;
    const char *filter = getenv("REMOTEMEDIA_LOG");
    rm_log_set_sink(print_log, (void *)(uintptr_t)state);
    if (filter && *filter && rm_log_set_filter(filter, &err) != RM_OK) {
        rm_error_wrap(&err, "REMOTEMEDIA_LOG");
        return cli_fail(state, &err, CLI_USAGE);
    }
    return CLI_OK;
}

static int run_command(cli *state, const cli_command *command, int argc, char **argv)
{
    rm_error err = RM_ERROR_INIT;
    cli_arguments *arguments = calloc(1, sizeof *arguments);
    if (!arguments) {
        (void)rm_fail(&err, RM_ENOMEM, "no memory for the command line");
        return cli_fail(state, &err, CLI_FAILED);
    }
    int code = CLI_OK;
    if (cli_parse(command, argc, argv, arguments, &err) != RM_OK) {
        code = cli_fail(state, &err, CLI_USAGE);
    } else if (arguments->help) {
        cli_print_command_help(stdout, state->color_out, command);
    } else {
        code = command->run(state, arguments);
    }
    free(arguments);
    return code;
}

/* What was printed must have arrived. A reader that has enough, as `head`, is no error. */
static int end_stdout(const cli *state, int code)
{
    errno = 0;
    bool failed = fflush(stdout) != 0 || ferror(stdout);
    if (!failed || state->out_closed || errno == EPIPE || errno == 0) {
        return code;
    }
    rm_error err = RM_ERROR_INIT;
    (void)rm_fail_os(&err, errno, "cannot write to stdout");
    cli quiet = *state;
    quiet.json = false; /* stdout is what does not work */
    return cli_fail(&quiet, &err, code ? code : CLI_FAILED);
}

static bool has_word(int argc, char **argv, const char *word)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            return false;
        }
        if (strcmp(argv[i], word) == 0) {
            return true;
        }
    }
    return false;
}

/* The command that a global option stands for; NULL: it is none. */
static const char *command_of_option(const char *word)
{
    bool is_short = word[0] == '-' && word[1] && !word[2];
    for (const cli_option *o = cli_global_options; o->name; o++) {
        bool is_long = strncmp(word, "--", 2) == 0 && strcmp(word + 2, o->name) == 0;
        if (is_long || (is_short && word[1] == o->letter)) {
            return o->name;
        }
    }
    return NULL;
}

static int dispatch(cli *state, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (argc < 2) {
        cli_print_overview(stderr, state->color_err);
        return CLI_USAGE;
    }
    const char *meant = command_of_option(name);
    const cli_command *command = cli_find_command(meant ? meant : name);
    if (!command) {
        return cli_unknown_command(state, name);
    }
    return run_command(state, command, argc - 2, argv + 2);
}

int rm_cli_main(const rm_cli_host *host, int argc, char **argv)
{
    rm_cli_host mine = {0};
    if (host) { /* what both sides know */
        memcpy(&mine, host, host->struct_size < sizeof mine ? host->struct_size : sizeof mine);
    }
    cli state = {.host = host ? &mine : NULL,
                 .prog = host && mine.prog ? mine.prog : "remotemedia",
                 .json = has_word(argc, argv, "--json"),
                 .color_out = wants_color(STDOUT_FILENO),
                 .color_err = wants_color(STDERR_FILENO)};
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigaction(SIGPIPE, &ignore, &before);
    int code = start_log(&state);
    if (code == CLI_OK) {
        code = dispatch(&state, argc, argv);
    }
    code = end_stdout(&state, code);
    rm_log_set_sink(NULL, NULL);
    sigaction(SIGPIPE, &before, NULL);
    return code;
}
