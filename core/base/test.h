/* test.h — unit tests in TAP, https://testanything.org.
 *
 *     TEST(queue_keeps_the_order)
 *     {
 *         CHECK_INT(rmi_queue_length(queue), 3);
 *     }
 *     TEST_MAIN(T(queue_keeps_the_order))
 *
 * A failed check prints both values and the test goes on; a test with a failed check is "not ok".
 * SKIP("no ffmpeg here") ends a test that this machine cannot run.
 * An argument on the command line runs the tests whose name contains it.
 */
#ifndef RMI_BASE_TEST_H
#define RMI_BASE_TEST_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

typedef struct rmi_test {
    const char *name;
    void (*run)(void);
} rmi_test;

static unsigned rmi_test_failures;
static __attribute__((unused)) const char *rmi_test_skipped;

#define TEST(name) static void test_##name(void)

#define RMI_TEST_FAIL(...)                       \
    do {                                         \
        rmi_test_failures++;                     \
        printf("# %s:%d: ", __FILE__, __LINE__); \
        printf(__VA_ARGS__);                     \
        printf("\n");                            \
    } while (0)

#define SKIP(reason)                 \
    do {                             \
        rmi_test_skipped = (reason); \
        return;                      \
    } while (0)

#define CHECK(condition)                              \
    do {                                              \
        if (!(condition)) {                           \
            RMI_TEST_FAIL("%s is false", #condition); \
        }                                             \
    } while (0)

#define CHECK_INT(actual, expected)                                              \
    do {                                                                         \
        intmax_t actual_ = (intmax_t)(actual), expected_ = (intmax_t)(expected); \
        if (actual_ != expected_) {                                              \
            RMI_TEST_FAIL("%s is %jd, want %jd", #actual, actual_, expected_);   \
        }                                                                        \
    } while (0)

#define CHECK_NEAR(actual, expected, tolerance)                                          \
    do {                                                                                 \
        double actual_ = (actual), expected_ = (expected), tolerance_ = (tolerance);     \
        if (!(actual_ >= expected_ - tolerance_ && actual_ <= expected_ + tolerance_)) { \
            RMI_TEST_FAIL("%s is %.9g, want %.9g +- %.3g", #actual, actual_, expected_,  \
                          tolerance_);                                                   \
        }                                                                                \
    } while (0)

#define CHECK_TEXT(actual, expected)                                                      \
    do {                                                                                  \
        const char *actual_ = (actual), *expected_ = (expected);                          \
        if (!actual_ || !expected_ || strcmp(actual_, expected_) != 0) {                  \
            RMI_TEST_FAIL("%s is '%s', want '%s'", #actual, actual_ ? actual_ : "(null)", \
                          expected_ ? expected_ : "(null)");                              \
        }                                                                                 \
    } while (0)

#define CHECK_CONTAINS(actual, part)                                      \
    do {                                                                  \
        const char *actual_ = (actual), *part_ = (part);                  \
        if (!actual_ || !strstr(actual_, part_)) {                        \
            RMI_TEST_FAIL("%s is '%s', want it to contain '%s'", #actual, \
                          actual_ ? actual_ : "(null)", part_);           \
        }                                                                 \
    } while (0)

static inline int rmi_test_main(const rmi_test *tests, size_t count, int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%zu\n", count);
    unsigned failed = 0;
    for (size_t i = 0; i < count; i++) {
        if (argc > 1 && !strstr(tests[i].name, argv[1])) {
            printf("ok %zu %s # SKIP not asked for\n", i + 1, tests[i].name);
            continue;
        }
        rmi_test_failures = 0;
        rmi_test_skipped = NULL;
        tests[i].run();
        printf("%s %zu %s%s%s\n", rmi_test_failures ? "not ok" : "ok", i + 1, tests[i].name,
               rmi_test_skipped ? " # SKIP " : "", rmi_test_skipped ? rmi_test_skipped : "");
        failed += rmi_test_failures != 0;
    }
    return failed != 0;
}

#define RMI_TEST_ROW(name) \
    {                      \
#name, test_##name \
    }
/* A row of TEST_MAIN(). */
#define T(name) RMI_TEST_ROW(name)
#define TEST_MAIN(...)                                             \
    int main(int argc, char **argv)                                \
    {                                                              \
        static const rmi_test tests[] = {__VA_ARGS__};             \
        return rmi_test_main(tests, RMI_COUNT(tests), argc, argv); \
    }

#endif
