/* sessions.c — 10,000 sessions, planned, opened, run and freed, every second one on threads: how
 * the process's memory grows a session (fitted over the second half), and that no descriptor,
 * thread or file is left.
 *
 *     sessions [SESSIONS]
 */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "bench.h"

typedef struct left {
    unsigned descriptors, threads, files;
} left;

static unsigned entries(const char *folder)
{
    unsigned count = 0;
    DIR *dir = opendir(folder);
    while (dir && readdir(dir)) {
        count++;
    }
    if (dir) {
        closedir(dir);
    }
    return count;
}

static left look(void)
{
    return (left){entries("/proc/self/fd"), entries("/proc/self/task"), entries("/dev/shm")};
}

static double resident_bytes(void)
{
    unsigned long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    int read = file ? fscanf(file, "%lu %lu", &size, &pages) : 0;
    if (file) {
        fclose(file);
    }
    if (read != 2) {
        bench_fail("/proc/self/statm can't be read");
    }
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static rm_status end_process(rm_node *node, const rm_inputs *inputs, rm_error *err)
{
    (void)node;
    (void)inputs;
    (void)err;
    return RM_OK;
}

static const rm_port in[] = {{.name = "in"}, {0}};
static const rm_node_type here = {.struct_size = sizeof(rm_node_type),
                                  .name = "bench.end",
                                  .summary = "Take packets",
                                  .inputs = in,
                                  .process = end_process};
static const rm_node_type apart = {.struct_size = sizeof(rm_node_type),
                                   .name = "bench.end_apart",
                                   .summary = "Take packets on a thread",
                                   .flags = RM_NODE_HEAVY,
                                   .inputs = in,
                                   .process = end_process};
static const rm_node_type *const types[] = {&here, &apart, NULL};

static void run_one(unsigned number)
{
    rm_session_options options = {.struct_size = sizeof options,
                                  .driver = number % 2 ? RM_DRIVER_THREAD : RM_DRIVER_CALLER};
    (void)bench_inline_run(number % 2 ? "test.tone duration_ms=100 ! test.pass ! bench.end_apart"
                                      : "test.tone duration_ms=100 ! test.pass ! bench.end",
                           types, &options);
}

int main(int argc, char **argv)
{
    unsigned sessions = bench_argument(argc, argv, 1, 10000);
    double n = 0, x = 0, y = 0, xx = 0, xy = 0;
    run_one(0);
    run_one(1);
    left before = look();
    for (unsigned i = 0; i < sessions; i++) {
        run_one(i);
        if (i >= sessions / 2) {
            double bytes = resident_bytes();
            n++;
            x += i;
            y += bytes;
            xx += (double)i * i;
            xy += i * bytes;
        }
    }
    left after = look();
    if (after.descriptors != before.descriptors || after.threads != before.threads ||
        after.files != before.files) {
        bench_fail("left behind: %d descriptors, %d threads, %d files",
                   (int)(after.descriptors - before.descriptors),
                   (int)(after.threads - before.threads), (int)(after.files - before.files));
    }
    bench_row("sessions", (n * xy - x * y) / (n * xx - x * x), 0);
    return 0;
}
