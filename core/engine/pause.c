/* A session that stands still: no node of it is called, so that its graph can change. And who may
 * look at its lists meanwhile. */
#include <time.h>

#include "engine/arrivals.h"
#include "engine/session.h"

enum { LOOK_NS = 1000000 };

static struct timespec time_of(int64_t until_ns)
{
    struct timespec now;
    int64_t left_ns = until_ns - rmi_clock_ns();
    clock_gettime(CLOCK_REALTIME, &now);
    left_ns = (left_ns > 0 ? left_ns : 0) + now.tv_nsec;
    now.tv_sec += left_ns / 1000000000;
    now.tv_nsec = left_ns % 1000000000;
    return now;
}

/* ---- visits */

bool rmi_session_is_inside(rm_session *session)
{
    bool inside = session->stepping;
    for (uint32_t i = 0; i < session->strand_count; i++) {
        bool is_thread = i > 0 || session->options.driver == RM_DRIVER_THREAD;
        inside |= is_thread && !session->simulated && session->started &&
                  atomic_load(&session->strands[i]->thread) == rmi_thread_self();
    }
    return inside;
}

/* A thread of the session itself never waits: as long as it is here it does not pause. */
void rmi_session_begin_visit(rm_session *session)
{
    bool inside = rmi_session_is_inside(session);
    pthread_mutex_lock(&session->lock);
    while (session->changing && !inside) {
        pthread_cond_wait(&session->changed, &session->lock);
    }
    session->visitors++;
    pthread_mutex_unlock(&session->lock);
}

void rmi_session_end_visit(rm_session *session)
{
    pthread_mutex_lock(&session->lock);
    if (--session->visitors == 0 && session->changing) {
        pthread_cond_broadcast(&session->changed);
    }
    pthread_mutex_unlock(&session->lock);
}

void rmi_session_begin_change(rm_session *session)
{
    bool is_stepped = session->options.driver == RM_DRIVER_CALLER;
    pthread_mutex_lock(&session->lock);
    session->changing = true;
    while (session->visitors > 0) {
        struct timespec until = time_of(rmi_clock_ns() + LOOK_NS);
        pthread_mutex_unlock(&session->lock);
        if (is_stepped) {
            rmi_arrivals_drain_mailbox(session->strands[0]); /* what they wait for */
        }
        pthread_mutex_lock(&session->lock);
        if (session->visitors > 0) {
            pthread_cond_timedwait(&session->changed, &session->lock, &until);
        }
    }
    pthread_mutex_unlock(&session->lock);
}

void rmi_session_end_change(rm_session *session)
{
    pthread_mutex_lock(&session->lock);
    session->changing = false;
    pthread_cond_broadcast(&session->changed);
    pthread_mutex_unlock(&session->lock);
}

/* ---- pauses */

/* Runs on a strand: stays here until the pause it was asked for is over. */
static void run_pause(rmi_strand *strand, rmi_message *message)
{
    rm_session *session = strand->session;
    (void)message;
    pthread_mutex_lock(&session->lock);
    strand->pause_posted = false;
    uint32_t round = session->pause_round;
    if (session->pausing) {
        session->paused_strands++;
        pthread_cond_broadcast(&session->changed);
    }
    while (session->pausing && session->pause_round == round) {
        pthread_cond_wait(&session->changed, &session->lock);
    }
    pthread_mutex_unlock(&session->lock);
}

/* How many of these strands have to come. Under the lock. */
static uint32_t ask_strands(rm_session *session, uint32_t first, uint32_t end)
{
    uint32_t asked = 0;
    for (uint32_t i = first; i < end && !session->simulated; i++) {
        rmi_strand *strand = session->strands[i];
        if (rmi_session_is_direct(session, strand)) {
            continue;
        }
        asked++;
        if (!strand->pause_posted) {
            strand->pause_posted = true;
            strand->pause_message.run = run_pause;
            rmi_strand_post(strand, &strand->pause_message);
        }
    }
    return asked;
}

/* Under the lock. */
static bool await_strands(rm_session *session, uint32_t asked, const struct timespec *until)
{
    int timed_out = 0;
    while (session->paused_strands < asked && !timed_out && !session->ending) {
        timed_out = pthread_cond_timedwait(&session->changed, &session->lock, until);
    }
    return session->paused_strands >= asked;
}

bool rmi_session_pause(rm_session *session, int64_t until_ns, bool but_home)
{
    struct timespec until = time_of(until_ns);
    pthread_mutex_lock(&session->lock);
    session->pausing = true;
    session->pause_round++;
    session->paused_strands = 0;
    uint32_t asked = ask_strands(session, 1, session->strand_count);
    bool paused = await_strands(session, asked, &until);
    if (paused && !but_home) {
        asked += ask_strands(session, 0, 1);
        paused = await_strands(session, asked, &until);
    }
    pthread_mutex_unlock(&session->lock);
    if (!paused) {
        rmi_session_resume(session);
    }
    return paused;
}

void rmi_session_resume(rm_session *session)
{
    pthread_mutex_lock(&session->lock);
    session->pausing = false;
    pthread_cond_broadcast(&session->changed);
    pthread_mutex_unlock(&session->lock);
}
