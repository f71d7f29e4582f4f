/* The plain `remotemedia` binary. */
#include <remotemedia/cli.h>

int main(int argc, char **argv)
{
    return rm_cli_main(NULL, argc, argv);
}
