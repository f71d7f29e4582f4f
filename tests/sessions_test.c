/* sessions_test.c — a thousand sessions opened, run and closed leave memory flat: the heap's growth
 * a session, fitted over the second half, is printed and bounded. What is fetched into the cache
 * for one that is to be stepped changes nothing. */
#include <malloc.h>

#include <remotemedia/remotemedia.h>

#include "base/test.h"

enum { SESSIONS = 1000, WARM_UP = 500 };

#if defined(__has_feature)
#define SANITIZED (__has_feature(thread_sanitizer) || __has_feature(address_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* Least squares of the heap's bytes over the number of the session. */
typedef struct fit {
    double n, x, y, xx, xy;
} fit;

static void add(fit *line, double x, double y)
{
    line->n++;
    line->x += x;
    line->y += y;
    line->xx += x * x;
    line->xy += x * y;
}

static double slope(const fit *line)
{
    return (line->n * line->xy - line->x * line->y) / (line->n * line->xx - line->x * line->x);
}

static void run_session(const rm_plan *plan, rm_driver driver)
{
    rm_session_options options = {.struct_size = sizeof options, .driver = driver};
    rm_session *session = NULL;
    CHECK_INT(rm_session_open(plan, &options, &session, NULL), RM_OK);
    if (driver == RM_DRIVER_THREAD) {
        CHECK_INT(rm_session_wait(session, 20000), RM_DONE);
    } else {
        rm_status status;
        while ((status = rm_session_step(session, 0, 100, NULL)) == RM_MORE) {
        }
        CHECK_INT(status, RM_DONE);
    }
    rm_session_free(session);
}

static void run_many(rm_driver driver)
{
    rm_registry *registry = NULL;
    fit heap = {0};
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    for (unsigned i = 0; i < SESSIONS; i++) {
        rm_graph *graph = NULL;
        rm_plan *plan = NULL;
        rm_error err = RM_ERROR_INIT;
        CHECK_INT(rm_graph_parse_inline("test.tone duration_ms=100 ! test.pass ! test.pass", &graph,
                                        &err),
                  RM_OK);
        CHECK_INT(rm_graph_plan(graph, registry, NULL, &plan, NULL, &err), RM_OK);
        CHECK_TEXT(err.message, "");
        if (plan) {
            run_session(plan, driver);
        }
        rm_plan_free(plan);
        rm_graph_free(graph);
        if (i >= WARM_UP) {
            add(&heap, i, (double)mallinfo2().uordblks);
        }
    }
    rm_registry_free(registry);
    printf("# note: %s: the heap grows by %.2f bytes a session\n",
           driver == RM_DRIVER_THREAD ? "sessions on threads" : "sessions that the caller steps",
           slope(&heap));
    if (!SANITIZED) { /* their heap is not malloc's; LeakSanitizer looks itself */
        CHECK(heap.y > 0);
        CHECK_NEAR(slope(&heap), 0, 1);
    }
}

TEST(a_thousand_sessions_that_the_caller_steps_leave_memory_flat)
{
    run_many(RM_DRIVER_CALLER);
}

TEST(a_thousand_sessions_on_threads_leave_memory_flat)
{
    run_many(RM_DRIVER_THREAD);
}

/* In as many turns as there are, and in turns that there are not. */
static void fetch(const rm_session *session)
{
    for (unsigned turns = RM_FETCH_TURNS + 2; turns-- > 0;) {
        rm_session_fetch(session, turns);
    }
}

TEST(a_session_is_stepped_as_well_after_it_was_fetched)
{
    rm_registry *registry = NULL;
    rm_graph *graph = NULL;
    rm_plan *plan = NULL;
    rm_session *sessions[3] = {NULL};
    rm_session_options options = {.struct_size = sizeof options, .driver = RM_DRIVER_CALLER};
    CHECK_INT(rm_registry_new(&registry, NULL), RM_OK);
    CHECK_INT(rm_graph_parse_inline("test.tone duration_ms=100 ! test.pass", &graph, NULL), RM_OK);
    CHECK_INT(rm_graph_plan(graph, registry, NULL, &plan, NULL, NULL), RM_OK);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(rm_session_open(plan, &options, &sessions[i], NULL), RM_OK);
        fetch(sessions[i]);
    }
    rm_status status = RM_MORE;
    while (status == RM_MORE) {
        for (unsigned i = 0; i < 3; i++) {
            fetch(sessions[(i + 1) % 3]);
            status = rm_session_step(sessions[i], 0, 4, NULL);
        }
    }
    CHECK_INT(status, RM_DONE);
    for (unsigned i = 0; i < 3; i++) {
        fetch(sessions[i]); /* it has ended */
        rm_session_free(sessions[i]);
    }
    rm_plan_free(plan);
    rm_graph_free(graph);
    rm_registry_free(registry);
}

TEST_MAIN(T(a_session_is_stepped_as_well_after_it_was_fetched),
          T(a_thousand_sessions_that_the_caller_steps_leave_memory_flat),
          T(a_thousand_sessions_on_threads_leave_memory_flat))
