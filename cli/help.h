/* help.h — help texts made from the option table. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli.h"

#define CLI_TAGLINE "Runs audio, video and ML pipelines"

/* Variables (line) and what they do; ends with one whose line is NULL. */
extern const cli_example cli_environment[];

void cli_print_overview(FILE *out, bool color);
void cli_print_command_help(FILE *out, bool color, const cli_command *command);
/* Says so, with a near name; returns CLI_USAGE. */
int cli_unknown_command(const cli *state, const char *name);

#endif
