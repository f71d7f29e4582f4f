/* checkpoint_file.h — checkpoints as files of a folder.
 *
 *     FOLDER/checkpoint-00000041.rmc      the one before
 *     FOLDER/checkpoint-00000042.rmc      the newest
 *     FOLDER/checkpoint.part              one that is being written
 *
 *     file: head (64 bytes: magic, version, number, digest of the graph, bytes, CRC-32C) │ body
 *
 * A file is written under another name, flushed to the disk, then renamed, so that one that has its
 * name is whole; it and the newest good one before it are kept. All that is damaged, cut short, of
 * another version or of another graph is refused, and the one before it used.
 *
 * Ownership: rmi_bytes own their memory. Threads: one at a time a folder.
 */
#ifndef RMI_ENGINE_CHECKPOINT_FILE_H
#define RMI_ENGINE_CHECKPOINT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <remotemedia/error.h>
#include <remotemedia/macros.h>

enum { RMI_CHECKPOINT_HEAD_BYTES = 64 };
/* Of the body. */
#define RMI_CHECKPOINT_BYTES_MAX ((size_t)4 << 30)

/* Grows by rmi_bytes_add(). */
typedef struct rmi_bytes {
    uint8_t *data;
    size_t bytes, capacity;
    bool failed; /* no memory, or more than RMI_CHECKPOINT_BYTES_MAX */
} rmi_bytes;

void rmi_bytes_add(rmi_bytes *bytes, const void *data, size_t count);
void rmi_bytes_fini(rmi_bytes *bytes);

/* The file that `body` makes: puts its head in front. `ret_head` has RMI_CHECKPOINT_HEAD_BYTES. */
void rmi_checkpoint_seal(uint8_t *ret_head, uint64_t digest, uint64_t number,
                         const rmi_bytes *body);
/* Is this a whole checkpoint of that graph? E0410. Its body begins behind the head. */
RM_MUST_USE rm_status rmi_checkpoint_check(const void *data, size_t bytes, uint64_t digest,
                                           rm_error *err);

/* Makes the folder if it is not there, and keeps others out of it until *ret_fd is closed. E0409:
 * another session is in it. */
RM_MUST_USE rm_status rmi_checkpoint_lock(const char *folder, int *ret_fd, rm_error *err);

/* As the newest of the folder, which is made if it is not there. Of those before it the one with
 * the number `kept` stays, 0: the newest. */
RM_MUST_USE rm_status rmi_checkpoint_write(const char *folder, uint64_t digest, uint64_t kept,
                                           const rmi_bytes *body, uint64_t *ret_number,
                                           rm_error *err);
/* The newest good one, head and body. RM_ENOENT: the folder holds none, err is left alone. E0410:
 * none of those there are good; err is about the newest. */
RM_MUST_USE rm_status rmi_checkpoint_read(const char *folder, uint64_t digest, rmi_bytes *ret_file,
                                          uint64_t *ret_number, rm_error *err);
/* Removes all of them; the folder stays. */
void rmi_checkpoint_remove(const char *folder);

#endif
