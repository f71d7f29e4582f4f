/* checkpoint_file_test.c — a checkpoint's file is refused, by what is wrong with it, whichever of
 * its bytes is another one, wherever it ends and whoever made it; the good one before it is used,
 * and kept. */
#include "engine/checkpoint_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <remotemedia/log.h>

#include "base/test.h"

enum { BODY_BYTES = 100, FILE_BYTES = RMI_CHECKPOINT_HEAD_BYTES + BODY_BYTES, DIGEST = 77 };

static char folder[] = "/tmp/remotemedia-checkpoint-file-XXXXXX";

static const char *path_of(unsigned number)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/checkpoint-%08u.rmc", folder, number);
    return path;
}

static void begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/remotemedia-checkpoint-file-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    CHECK_INT(rm_log_set_filter("error", NULL), RM_OK);
}

static void end(void)
{
    rmi_checkpoint_remove(folder);
    CHECK_INT(rmdir(folder), 0);
}

/* Its body has the value `fill` in each byte. */
static uint64_t write_one(uint8_t fill, uint64_t kept)
{
    uint64_t number = 0;
    uint8_t body[BODY_BYTES];
    memset(body, fill, sizeof body);
    CHECK_INT(rmi_checkpoint_write(folder, DIGEST, kept,
                                   &(rmi_bytes){.data = body, .bytes = sizeof body}, &number, NULL),
              RM_OK);
    return number;
}

/* The number of the one that is used, 0: none, and err says why. */
static uint64_t used(uint64_t digest, rm_error *err)
{
    uint64_t number = 0;
    rmi_bytes file = {0};
    rm_status status = rmi_checkpoint_read(folder, digest, &file, &number, err);
    if (status == RM_OK) {
        CHECK_INT(file.bytes, FILE_BYTES);
        CHECK_INT(file.data[FILE_BYTES - 1], (int)number);
    }
    rmi_bytes_fini(&file);
    return number;
}

static void put(unsigned number, const uint8_t *file, size_t bytes)
{
    int fd = open(path_of(number), O_WRONLY | O_TRUNC);
    CHECK(fd >= 0);
    CHECK_INT(write(fd, file, bytes), bytes);
    close(fd);
}

static void get(unsigned number, uint8_t *ret_file)
{
    int fd = open(path_of(number), O_RDONLY);
    CHECK(fd >= 0);
    CHECK_INT(read(fd, ret_file, FILE_BYTES), FILE_BYTES);
    close(fd);
}

TEST(whichever_byte_is_another_one_it_is_refused_and_the_one_before_used)
{
    uint8_t file[FILE_BYTES];
    begin();
    CHECK_INT(write_one(1, 0), 1);
    CHECK_INT(write_one(2, 0), 2);
    get(2, file);
    CHECK_INT(used(DIGEST, NULL), 2);
    for (unsigned at = 0; at < FILE_BYTES; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            file[at] ^= 1u << bit;
            put(2, file, FILE_BYTES);
            if (used(DIGEST, NULL) != 1) {
                RMI_TEST_FAIL("bit %u of byte %u changed, and it was not refused", bit, at);
            }
            file[at] ^= 1u << bit;
        }
    }
    end();
}

TEST(wherever_it_ends_it_is_refused_and_the_one_before_used)
{
    uint8_t file[FILE_BYTES + 1] = {0};
    begin();
    CHECK_INT(write_one(1, 0), 1);
    CHECK_INT(write_one(2, 0), 2);
    get(2, file);
    for (unsigned bytes = 0; bytes <= FILE_BYTES + 1; bytes++) {
        put(2, file, bytes);
        CHECK_INT(used(DIGEST, NULL), bytes == FILE_BYTES ? 2 : 1);
    }
    end();
}

/* What is said of the only one there is, once the byte at `at` is `value`. */
static void check_refusal(unsigned at, uint8_t value, const char *message)
{
    uint8_t file[FILE_BYTES];
    rm_error err = RM_ERROR_INIT;
    begin();
    CHECK_INT(write_one(1, 0), 1);
    get(1, file);
    file[at] = value;
    put(1, file, FILE_BYTES);
    CHECK_INT(used(DIGEST, &err), 0);
    CHECK_INT(err.code, RM_CODE_CHECKPOINT_BAD);
    if (!strstr(err.message, "/checkpoint-00000001.rmc': ") || !strstr(err.message, message)) {
        RMI_TEST_FAIL("the message is '%s', want '…%s'", err.message, message);
    }
    end();
}

TEST(what_is_wrong_is_said_where_none_is_good)
{
    rm_error err = RM_ERROR_INIT;
    check_refusal(0, 'R', "it is no checkpoint");
    check_refusal(8, 9, "its version is 9, want 1");
    check_refusal(11, 1, "its version is 16777217, want 1");
    check_refusal(40, 'x', "it was made by version x");
    check_refusal(FILE_BYTES - 1, 0, "it is damaged: its checksum is");
    begin();
    CHECK_INT(write_one(1, 0), 1);
    CHECK_INT(used(DIGEST + 1, &err), 0);
    CHECK(strstr(err.message, "it is of another graph: 000000000000004d, want 000000000000004e"));
    CHECK_INT(truncate(path_of(1), FILE_BYTES - 1), 0);
    CHECK_INT(used(DIGEST, &err), 0);
    CHECK(strstr(err.message, "it is cut short: 99 bytes behind its head, want 100"));
    CHECK_INT(truncate(path_of(1), 3), 0);
    CHECK_INT(used(DIGEST, &err), 0);
    CHECK(strstr(err.message, "it has 3 bytes, want 64 or more"));
    end();
}

TEST(the_newest_two_good_ones_are_kept)
{
    begin();
    for (unsigned n = 1; n <= 4; n++) {
        CHECK_INT(write_one((uint8_t)n, n - 1), n);
    }
    CHECK(access(path_of(2), F_OK) != 0);
    CHECK_INT(truncate(path_of(4), 5), 0);
    CHECK_INT(used(DIGEST, NULL), 3);
    CHECK_INT(write_one(5, 3), 5); /* who went on from 3 knows that it is good */
    CHECK(access(path_of(4), F_OK) != 0);
    CHECK_INT(truncate(path_of(5), 5), 0);
    CHECK_INT(used(DIGEST, NULL), 3);
    end();
}

TEST(other_files_and_one_that_was_being_written_are_left_alone)
{
    static const char *const names[] = {"checkpoint.part", "checkpoint-7.rmc",
                                        "checkpoint-00000009.rmc~", "checkpoint-0000000x.rmc",
                                        "checkpoint-00000000.rmc"};
    char path[160];
    rm_error err = RM_ERROR_INIT;
    begin();
    for (unsigned i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        CHECK(fd >= 0);
        close(fd);
    }
    CHECK_INT(used(DIGEST, &err), 0);
    CHECK_TEXT(err.message, ""); /* there is none, which is no error */
    CHECK_INT(write_one(1, 0), 1);
    CHECK_INT(used(DIGEST, NULL), 1);
    for (unsigned i = 1; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        CHECK_INT(unlink(path), 0);
    }
    end();
}

TEST(a_folder_is_one_session_s)
{
    int first = -1, second = -1;
    rm_error err = RM_ERROR_INIT;
    begin();
    CHECK_INT(rmi_checkpoint_lock(folder, &first, &err), RM_OK);
    CHECK_INT(rmi_checkpoint_lock(folder, &second, &err), RM_EUNSUPPORTED);
    CHECK_INT(err.code, RM_CODE_CHECKPOINT_REFUSED);
    CHECK(strstr(err.message, "another run keeps its checkpoints in '/tmp/"));
    close(first);
    CHECK_INT(rmi_checkpoint_lock(folder, &second, &err), RM_OK);
    close(second);
    end();
}

TEST_MAIN(T(whichever_byte_is_another_one_it_is_refused_and_the_one_before_used),
          T(wherever_it_ends_it_is_refused_and_the_one_before_used),
          T(what_is_wrong_is_said_where_none_is_good), T(the_newest_two_good_ones_are_kept),
          T(other_files_and_one_that_was_being_written_are_left_alone),
          T(a_folder_is_one_session_s))
