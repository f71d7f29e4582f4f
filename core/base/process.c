#include "base/process.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "VmRSS:   1234 kB" of /proc/self/status. */
static uint64_t bytes_of(const char *status, const char *name)
{
    const char *line = strstr(status, name);
    return line ? strtoull(line + strlen(name), NULL, 10) * 1024 : 0;
}

void rmi_process_memory(uint64_t *ret_rss_bytes, uint64_t *ret_rss_bytes_peak)
{
    char status[4096];
    size_t length = 0;
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0 && length < sizeof status - 1) {
        got = read(fd, status + length, sizeof status - 1 - length);
        length += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    status[length] = '\0';
    *ret_rss_bytes = bytes_of(status, "\nVmRSS:");
    *ret_rss_bytes_peak = bytes_of(status, "\nVmHWM:");
}
