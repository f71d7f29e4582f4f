#include "engine/checkpoint_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <remotemedia/log.h>

#include "base/alloc.h"
#include "base/crc32c.h"

enum { FILE_VERSION = 1, NAME_BYTES = 64 };

static const char part_name[] = "checkpoint.part";

typedef struct file_head {
    char magic[8];
    uint32_t version, crc; /* crc: of the head with 0 here, and of the body */
    uint64_t number, digest, body_bytes;
    char made_by[16]; /* RM_VERSION */
    uint8_t zero[8];
} file_head;

_Static_assert(sizeof(file_head) == RMI_CHECKPOINT_HEAD_BYTES, "a head has 64 bytes");
_Static_assert(sizeof RM_VERSION <= sizeof((file_head *)0)->made_by, "the version fits");

static const char magic[8] = {'r', 'm', 'c', 'h', 'k', 'p', 't', '\n'};

/* ---- bytes */

void rmi_bytes_add(rmi_bytes *bytes, const void *data, size_t count)
{
    if (bytes->failed || count > RMI_CHECKPOINT_BYTES_MAX - bytes->bytes) {
        bytes->failed = true;
        return;
    }
    if (bytes->bytes + count > bytes->capacity) {
        size_t capacity = 2 * (bytes->bytes + count) + 4096;
        uint8_t *grown = rmi_realloc(bytes->data, capacity);
        if (!grown) {
            bytes->failed = true;
            return;
        }
        bytes->data = grown;
        bytes->capacity = capacity;
    }
    if (count) {
        memcpy(bytes->data + bytes->bytes, data, count);
    }
    bytes->bytes += count;
}

void rmi_bytes_fini(rmi_bytes *bytes)
{
    rmi_free(bytes->data);
    *bytes = (rmi_bytes){0};
}

/* ---- the head */

static uint32_t checksum(const file_head *head, const uint8_t *body)
{
    file_head cleared = *head;
    cleared.crc = 0;
    return rmi_crc32c(rmi_crc32c(0, &cleared, sizeof cleared), body, head->body_bytes);
}

void rmi_checkpoint_seal(uint8_t *ret_head, uint64_t digest, uint64_t number, const rmi_bytes *body)
{
    file_head head = {
        .version = FILE_VERSION, .number = number, .digest = digest, .body_bytes = body->bytes};
    memcpy(head.magic, magic, sizeof magic);
    memcpy(head.made_by, RM_VERSION, sizeof RM_VERSION);
    head.crc = checksum(&head, body->data);
    memcpy(ret_head, &head, sizeof head);
}

rm_status rmi_checkpoint_check(const void *data, size_t bytes, uint64_t digest, rm_error *err)
{
    file_head head;
    if (bytes < sizeof head) {
        return rm_fail_as(err, RM_CODE_CHECKPOINT_BAD, "it has %zu bytes, want %zu or more", bytes,
                          sizeof head);
    }
    memcpy(&head, data, sizeof head);
    if (memcmp(head.magic, magic, sizeof magic) != 0) {
        return rm_fail_as(err, RM_CODE_CHECKPOINT_BAD, "it is no checkpoint");
    }
    if (head.version != FILE_VERSION) {
        return rm_fail_as(err, RM_CODE_CHECKPOINT_BAD, "its version is %u, want %d", head.version,
                          FILE_VERSION);
    }
    if (strncmp(head.made_by, RM_VERSION, sizeof head.made_by) != 0) {
        return rm_fail_as(err, RM_CODE_CHECKPOINT_BAD, "it was made by version %.16s, want %s",
                          head.made_by, RM_VERSION);
    }
    if (head.body_bytes != bytes - sizeof head) {
        return rm_fail_as(err, RM_CODE_CHECKPOINT_BAD,
                          "it is cut short: %zu bytes behind its head, want %" PRIu64,
                          bytes - sizeof head, head.body_bytes);
    }
    uint32_t crc = checksum(&head, (const uint8_t *)data + sizeof head);
    if (crc != head.crc) {
        return rm_fail_as(err, RM_CODE_CHECKPOINT_BAD,
                          "it is damaged: its checksum is %08x, want %08x", crc, head.crc);
    }
    if (head.digest != digest) {
        rm_status status = rm_fail_as(err, RM_CODE_CHECKPOINT_BAD,
                                      "it is of another graph: %016" PRIx64 ", want %016" PRIx64,
                                      head.digest, digest);
        rm_error_help(err, "a checkpoint fits the manifest that it was made of, unchanged");
        return status;
    }
    return RM_OK;
}

/* ---- the folder */

static void name_of(uint64_t number, char *ret_name)
{
    snprintf(ret_name, NAME_BYTES, "checkpoint-%08" PRIu64 ".rmc", number);
}

/* 0: it is none of ours. */
static uint64_t number_of(const char *name)
{
    uint64_t number = 0;
    char again[NAME_BYTES];
    if (sscanf(name, "checkpoint-%" SCNu64 ".rmc", &number) != 1) {
        return 0;
    }
    name_of(number, again);
    return strcmp(again, name) == 0 ? number : 0;
}

/* The highest number below `below`; 0: there is none. */
static uint64_t newest_below(int folder, uint64_t below)
{
    uint64_t newest = 0;
    int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = again >= 0 ? fdopendir(again) : NULL;
    if (!list) {
        if (again >= 0) {
            close(again);
        }
        return 0;
    }
    const struct dirent *entry;
    while ((entry = readdir(list)) != NULL) {
        uint64_t number = number_of(entry->d_name);
        newest = number > newest && number < below ? number : newest;
    }
    closedir(list);
    return newest;
}

static int open_folder(const char *folder)
{
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static rm_status cannot_open(const char *folder, rm_error *err)
{
    return rm_fail_os(err, errno, "cannot open the folder '%.300s' of checkpoints", folder);
}

static bool write_all(int fd, const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, data, bytes);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        data += written > 0 ? written : 0;
        bytes -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

static bool write_part(int folder, const uint8_t *head, const rmi_bytes *body)
{
    int fd = openat(folder, part_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return false;
    }
    bool good = write_all(fd, head, RMI_CHECKPOINT_HEAD_BYTES) &&
                write_all(fd, body->data, body->bytes) && fsync(fd) == 0;
    int os_errno = errno;
    good = close(fd) == 0 && good;
    errno = os_errno;
    return good;
}

/* But for one that is kept. */
static void remove_below(int folder, uint64_t below, uint64_t kept)
{
    char name[NAME_BYTES];
    uint64_t number = below;
    while ((number = newest_below(folder, number)) != 0) {
        name_of(number, name);
        if (number != kept && unlinkat(folder, name, 0) != 0) {
            return;
        }
    }
}

rm_status rmi_checkpoint_lock(const char *folder, int *ret_fd, rm_error *err)
{
    (void)mkdir(folder, 0777);
    int fd = open_folder(folder);
    if (fd < 0) {
        return cannot_open(folder, err);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return rm_fail_as(err, RM_CODE_CHECKPOINT_REFUSED,
                          "another run keeps its checkpoints in '%.300s'", folder);
    }
    *ret_fd = fd;
    return RM_OK;
}

rm_status rmi_checkpoint_write(const char *folder, uint64_t digest, uint64_t kept,
                               const rmi_bytes *body, uint64_t *ret_number, rm_error *err)
{
    uint8_t head[RMI_CHECKPOINT_HEAD_BYTES];
    char name[NAME_BYTES];
    (void)mkdir(folder, 0777);
    int fd = open_folder(folder);
    if (fd < 0) {
        return cannot_open(folder, err);
    }
    uint64_t before = newest_below(fd, UINT64_MAX);
    rmi_checkpoint_seal(head, digest, before + 1, body);
    name_of(before + 1, name);
    bool good =
        write_part(fd, head, body) && renameat(fd, part_name, fd, name) == 0 && fsync(fd) == 0;
    rm_status status =
        good ? RM_OK : rm_fail_os(err, errno, "cannot write a checkpoint into '%.300s'", folder);
    if (good) {
        remove_below(fd, before + 1, kept ? kept : before);
        *ret_number = before + 1;
    }
    close(fd);
    return status;
}

static rm_status read_file(int folder, const char *name, rmi_bytes *ret_file, rm_error *err)
{
    uint8_t piece[65536];
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0 && !ret_file->failed) {
        got = read(fd, piece, sizeof piece);
        if (got > 0) {
            rmi_bytes_add(ret_file, piece, (size_t)got);
        } else if (got < 0 && errno == EINTR) {
            got = 1;
        }
    }
    rm_status status = RM_OK;
    if (ret_file->failed) {
        status = rm_fail(err, RM_ENOMEM, "no memory for it");
    } else if (got < 0) {
        status = rm_fail_os(err, errno, "cannot read it");
    }
    if (fd >= 0) {
        close(fd);
    }
    return status;
}

static rm_status read_newest_good(int folder, const char *path, uint64_t digest,
                                  rmi_bytes *ret_file, uint64_t *ret_number, rm_error *err)
{
    char name[NAME_BYTES];
    rm_status first = RM_ENOENT;
    uint64_t number = UINT64_MAX;
    while ((number = newest_below(folder, number)) != 0) {
        rm_error why = RM_ERROR_INIT;
        rmi_bytes file = {0};
        name_of(number, name);
        rm_status status = read_file(folder, name, &file, &why);
        if (status == RM_OK) {
            status = rmi_checkpoint_check(file.data, file.bytes, digest, &why);
        }
        if (status == RM_OK) {
            *ret_file = file;
            *ret_number = number;
            return RM_OK;
        }
        rmi_bytes_fini(&file);
        rm_error_wrap(&why, "checkpoint '%.200s/%s'", path, name);
        rm_log(RM_LOG_WARNING, "engine", "%s: refused", why.message);
        if (first == RM_ENOENT) {
            first = status;
            *err = why;
        }
    }
    return first;
}

rm_status rmi_checkpoint_read(const char *folder, uint64_t digest, rmi_bytes *ret_file,
                              uint64_t *ret_number, rm_error *err)
{
    rm_error why = RM_ERROR_INIT;
    int fd = open_folder(folder);
    if (fd < 0) {
        return errno == ENOENT ? RM_ENOENT : cannot_open(folder, err);
    }
    rm_status status = read_newest_good(fd, folder, digest, ret_file, ret_number, &why);
    close(fd);
    if (why.status < 0 && status != RM_OK && err) {
        *err = why;
    }
    return status;
}

void rmi_checkpoint_remove(const char *folder)
{
    int fd = open_folder(folder);
    if (fd >= 0) {
        remove_below(fd, UINT64_MAX, 0);
        (void)unlinkat(fd, part_name, 0);
        (void)fsync(fd);
        close(fd);
    }
}
