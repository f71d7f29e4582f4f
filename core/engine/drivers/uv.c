/* The driver for libuv. It sees the public headers alone: whatever it does, a program could do. */
#include <string.h>

#include <remotemedia/driver_uv.h>

#include <uv.h>

/* Calls of nodes between two looks at the loop's other handles. */
enum { SLICE_CALLS = 256 };

struct rm_uv_driver {
    rm_session *session;
    uv_async_t wake;
    uv_timer_t timer;
    uv_idle_t more; /* while there is work: the loop polls without waiting */
    uint32_t open_handles;
    int closing;
    void (*closed)(void *context);
    void *closed_context;
};

static void on_idle(uv_idle_t *idle);
static void on_timer(uv_timer_t *timer);

static void wait_until(rm_uv_driver *driver, int64_t next_ns)
{
    uv_idle_stop(&driver->more);
    if (next_ns == INT64_MAX) {
        uv_timer_stop(&driver->timer);
        return;
    }
    int64_t wait_ns = next_ns - (int64_t)uv_hrtime();
    uv_update_time(driver->timer.loop); /* a timer counts from the loop's time, which may be old */
    uv_timer_start(&driver->timer, on_timer, wait_ns > 0 ? (uint64_t)wait_ns / 1000000 + 1 : 0, 0);
}

/* Nothing of an ended session keeps the loop alive. */
static void rest(rm_uv_driver *driver)
{
    uv_idle_stop(&driver->more);
    uv_timer_stop(&driver->timer);
    uv_unref((uv_handle_t *)&driver->wake);
}

static void step(rm_uv_driver *driver)
{
    int64_t next_ns = INT64_MAX;
    if (driver->closing) {
        return;
    }
    rm_status status =
        rm_session_step(driver->session, (int64_t)uv_hrtime(), SLICE_CALLS, &next_ns);
    if (driver->closing) {
        return; /* on_event closed it */
    }
    if (status == RM_MORE) {
        uv_idle_start(&driver->more, on_idle);
    } else if (status == RM_PENDING) {
        wait_until(driver, next_ns);
    } else {
        rest(driver);
    }
}

static void on_idle(uv_idle_t *idle)
{
    step(idle->data);
}

static void on_timer(uv_timer_t *timer)
{
    step(timer->data);
}

static void on_async(uv_async_t *async)
{
    step(async->data);
}

/* Any thread. */
static void wake(void *context)
{
    rm_uv_driver *driver = context;
    uv_async_send(&driver->wake);
}

/* The handles go after the session, whose threads may send to one of them until they have ended. */
static void on_closed(uv_handle_t *handle)
{
    rm_uv_driver *driver = handle->data;
    if (--driver->open_handles > 0) {
        return;
    }
    void (*closed)(void *) = driver->closed;
    void *context = driver->closed_context;
    rm_free(driver);
    if (closed) {
        closed(context);
    }
}

static void close_handles(rm_uv_driver *driver)
{
    driver->open_handles = 3;
    uv_close((uv_handle_t *)&driver->wake, on_closed);
    uv_close((uv_handle_t *)&driver->timer, on_closed);
    uv_close((uv_handle_t *)&driver->more, on_closed);
}

/* Outside of any step: the loop calls it once it has come round. */
static void on_close_idle(uv_idle_t *idle)
{
    rm_uv_driver *driver = idle->data;
    rm_session_free(driver->session);
    driver->session = NULL;
    close_handles(driver);
}

void rm_uv_close(rm_uv_driver *driver, void (*closed)(void *context), void *context)
{
    if (!driver || driver->closing) {
        return;
    }
    driver->closing = 1;
    driver->closed = closed;
    driver->closed_context = context;
    uv_timer_stop(&driver->timer);
    uv_idle_stop(&driver->more);
    uv_idle_start(&driver->more, on_close_idle);
}

rm_session *rm_uv_session(rm_uv_driver *driver)
{
    return driver->session;
}

static rm_status init_handles(rm_uv_driver *driver, uv_loop_t *loop, rm_error *err)
{
    int failed = uv_async_init(loop, &driver->wake, on_async);
    if (failed) {
        return rm_fail(err, RM_EFAIL, "cannot wake this libuv loop: %s", uv_strerror(failed));
    }
    uv_timer_init(loop, &driver->timer); /* these two cannot fail */
    uv_idle_init(loop, &driver->more);
    driver->wake.data = driver->timer.data = driver->more.data = driver;
    return RM_OK;
}

static rm_status check(const rm_session_options *options, rm_error *err)
{
    if (options->driver != RM_DRIVER_CALLER || options->wake || options->wake_context) {
        return rm_fail(err, RM_EINVAL,
                       "the session's driver or wake is set, want 0: the libuv driver sets them");
    }
    return RM_OK;
}

rm_status rm_uv_open(const rm_plan *plan, const rm_session_options *given, struct uv_loop_s *loop,
                     rm_uv_driver **ret_driver, rm_error *err)
{
    rm_session_options options = {.struct_size = sizeof options};
    if (given) {
        memcpy(&options, given,
               given->struct_size < sizeof options ? given->struct_size : sizeof options);
    }
    rm_status status = check(&options, err);
    if (status != RM_OK) {
        return status;
    }
    rm_uv_driver *driver = rm_alloc(sizeof *driver);
    if (!driver) {
        return rm_fail(err, RM_ENOMEM, "no memory for a driver");
    }
    status = init_handles(driver, loop, err);
    if (status != RM_OK) {
        rm_free(driver);
        return status;
    }
    options.wake = wake;
    options.wake_context = driver;
    status = rm_session_open(plan, &options, &driver->session, err);
    if (status != RM_OK) {
        driver->closing = 1;
        close_handles(driver);
        return status;
    }
    uv_idle_start(&driver->more, on_idle); /* the first slice */
    *ret_driver = driver;
    return RM_OK;
}
