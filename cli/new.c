/* `remotemedia new app NAME`: a folder with a manifest, a node of one's own, and a test; it runs at
 * once. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app_template.h" /* static const char app_…[], from cli/app/ */
#include "cli.h"

enum { NAME_MAX_BYTES = 64, PATH_BYTES = 4096 };

typedef struct app_file {
    const char *name, *text; /* "@NAME@" in the text stands for the app's name */
} app_file;

static const app_file files[] = {{"README.md", app_readme},
                                 {"pipeline.json", app_pipeline},
                                 {"nodes.py", app_nodes},
                                 {"test_nodes.py", app_test},
                                 {"words.txt", app_words}};

/* The last part of the path: a letter, then letters, digits, '-' and '_'. */
static bool is_name(const char *name)
{
    size_t length = strlen(name);
    bool good = length > 0 && length <= NAME_MAX_BYTES && isalpha((unsigned char)name[0]);
    for (size_t i = 0; i < length; i++) {
        good &= isalnum((unsigned char)name[i]) || name[i] == '-' || name[i] == '_';
    }
    return good;
}

static void write_text(FILE *out, const char *text, const char *name)
{
    const char *mark;
    while ((mark = strstr(text, "@NAME@"))) {
        fwrite(text, 1, (size_t)(mark - text), out);
        fputs(name, out);
        text = mark + strlen("@NAME@");
    }
    fputs(text, out);
}

static rm_status write_file(const char *folder, const app_file *file, const char *name,
                            rm_error *err)
{
    char path[PATH_BYTES + 32];
    snprintf(path, sizeof path, "%s/%s", folder, file->name);
    FILE *out = fopen(path, "wxe"); /* never over what is there */
    if (!out) {
        return rm_fail_os(err, errno, "cannot write '%s'", path);
    }
    write_text(out, file->text, name);
    bool failed = ferror(out) != 0;
    failed |= fclose(out) != 0;
    return failed ? rm_fail_os(err, errno, "cannot write '%s'", path) : RM_OK;
}

static rm_status make_app(const char *folder, const char *name, rm_error *err)
{
    if (mkdir(folder, 0777) != 0) {
        int failed = errno;
        rm_status status = rm_fail_os(err, failed, "cannot make the folder '%s'", folder);
        if (failed == EEXIST) {
            rm_error_help(err, "choose another name; what is there is left alone");
        } else if (failed == ENOENT) {
            rm_error_help(err, "the folder that it is to be in must be there");
        }
        return status;
    }
    rm_status status = RM_OK;
    for (size_t i = 0; i < sizeof files / sizeof *files && status == RM_OK; i++) {
        status = write_file(folder, &files[i], name, err);
    }
    return status;
}

static json_t *app_json(const char *folder)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        json_array_append_new(list, json_string(files[i].name));
    }
    return json_pack("{s:o, s:o, s:s}", "folder", cli_text_json(folder), "files", list, "run",
                     "remotemedia run pipeline.json --input words.txt");
}

int cli_new(cli *state, const cli_arguments *arguments)
{
    rm_error err = RM_ERROR_INIT;
    const char *folder = arguments->operand[1];
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s", folder);
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') {
        path[--length] = '\0';
    }
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (strlen(folder) >= sizeof path || !is_name(name)) {
        return cli_fail_usage(state, "for example: remotemedia new app my-app",
                              "'%.80s' is no name for an app: want a letter, then letters, digits, "
                              "- and _, at most %d",
                              folder, NAME_MAX_BYTES);
    }
    if (make_app(path, name, &err) != RM_OK) {
        return cli_fail(state, &err, CLI_FAILED);
    }
    if (state->json) {
        return cli_print_json(app_json(path), 2);
    }
    printf("made %s%s%s\n", cli_paint(state->color_out, CLI_BOLD), path,
           cli_reset(state->color_out));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        printf("  %s\n", files[i].name);
    }
    printf("\nRun it:\n  cd %s\n  remotemedia run pipeline.json --input words.txt\n"
           "\nTest its node (pip install pytest):\n  python -m pytest\n",
           path);
    return CLI_OK;
}
