/* file_place.h — how far a writing node has come, for checkpoints.
 *
 *     file_place_of() ─▶ in the checkpoint … another process ─▶ file_place_return(): the file that
 *                                             was begun then, cut back to where the checkpoint was
 *
 * What was written behind the checkpoint goes, and is written again: exactly once. A pipe, a device
 * and standard output can't be cut back: what is written there comes again, at least once.
 *
 * Ownership: as file_out.h, whose file goes on. Threads: one at a time.
 */
#ifndef NODES_FILE_PLACE_H
#define NODES_FILE_PLACE_H

#include "file_out.h"

typedef struct file_place {
    uint64_t device, inode;
    int64_t offset_bytes;                    /* below 0: it can't be cut back */
    char target[PATH_MAX], beside[PATH_MAX]; /* as in file_out */
} file_place;

/* Every byte of *ret_place is set. */
static inline void file_place_of(const file_out *file, file_place *ret_place)
{
    struct stat about;
    memset(ret_place, 0, sizeof *ret_place);
    ret_place->offset_bytes = -1;
    if (!file->owned || !file->regular || fstat(file->fd, &about) != 0) {
        return;
    }
    ret_place->device = about.st_dev;
    ret_place->inode = about.st_ino;
    ret_place->offset_bytes = lseek(file->fd, 0, SEEK_CUR);
    memcpy(ret_place->target, file->target, strlen(file->target));
    memcpy(ret_place->beside, file->beside, strlen(file->beside));
}

/* The descriptor of the file that was begun, if that is it; -1: it is not, or not there. */
static inline int file_place_open(const file_place *place, const char *path, bool by_identity)
{
    struct stat about;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_it = fd >= 0 && fstat(fd, &about) == 0 && S_ISREG(about.st_mode) &&
                 (!by_identity || (about.st_dev == place->device && about.st_ino == place->inode));
    if (fd >= 0 && !is_it) {
        close(fd);
    }
    return is_it ? fd : -1;
}

/* One that was written beside its target: it may have taken its place already, or was left behind
 * as PATH.part. Sets file->target and file->beside by where it is. */
static inline int file_place_find_beside(const file_place *place, file_out *file)
{
    char part[PATH_MAX];
    memcpy(file->target, place->target, sizeof file->target);
    memcpy(file->beside, place->beside, sizeof file->beside);
    int fd = file_place_open(place, place->beside, true);
    if (fd < 0 && (fd = file_place_open(place, place->target, true)) >= 0) {
        file->beside[0] = '\0';
    }
    if (fd < 0 && file_out_name(part, place->target, ".part") &&
        (fd = file_place_open(place, part, true)) >= 0) {
        memcpy(file->beside, part, sizeof part);
    }
    return fd;
}

/* `file` was opened anew; goes on with the one of the place. */
static inline rm_status file_place_return(const file_place *place, file_out *file, rm_error *err)
{
    struct stat about;
    if (place->offset_bytes < 0) {
        return RM_OK;
    }
    if (memchr(place->target, 0, PATH_MAX) == NULL || memchr(place->beside, 0, PATH_MAX) == NULL) {
        return rm_fail(err, RM_EINVAL, "a saved file has no name");
    }
    (void)file_out_close_fd(file);
    if (file->beside[0]) {
        (void)unlink(file->beside);
        file->beside[0] = '\0';
    }
    file->fd = place->beside[0] ? file_place_find_beside(place, file)
                                : file_place_open(place, file->name, false);
    if (file->fd < 0) {
        file->beside[0] = '\0';
        return rm_fail_as(err, RM_CODE_MEDIA_WRITE, "'%.300s' is not there any more", file->name);
    }
    file->regular = true;
    if (fstat(file->fd, &about) != 0 || about.st_size < place->offset_bytes) {
        return rm_fail_as(err, RM_CODE_MEDIA_WRITE,
                          "'%.300s' is shorter than the %lld bytes that it had", file->name,
                          (long long)place->offset_bytes);
    }
    if (ftruncate(file->fd, place->offset_bytes) != 0 ||
        lseek(file->fd, place->offset_bytes, SEEK_SET) != place->offset_bytes) {
        return file_out_fail(file, errno, err);
    }
    return RM_OK;
}

#endif
