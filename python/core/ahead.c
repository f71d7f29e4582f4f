/* What the sessions need whose slices come next, fetched into the cache while another one has its
 * own.
 *
 *     s ──follower──▶ ──follower──▶ ──follower──▶      who had its slice next, the last time
 *           nodes         strand        runners        each slice of another brings it nearer
 *
 * Each of many sessions of a loop finds nothing of its own in the cache when its next item comes,
 * and would wait for one line after the other. Items at a steady pace, as audio is, come in the
 * same order round after round: so it is known who is next. Where they come in another one each
 * time nothing is fetched ahead, and a session asks for what it needs as its slice begins.
 */
#include "run.h"

enum {
    TURNS = RM_FETCH_TURNS + 1, /* from the first stage to the slice itself */
    RUNNERS_MAX = 16,
    FORESEEN_MAX = 16, /* halved by each session that nobody expected */
    FORESEEN_ENOUGH = 8
};

static inline void fetch(const void *memory, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 64) {
        __builtin_prefetch((const char *)memory + at, 1);
    }
    __builtin_prefetch((const char *)memory + bytes - 1, 1); /* it begins within a line */
}

static size_t count_runners(const rmpy_session *s)
{
    return s->runner_count < RUNNERS_MAX ? s->runner_count : RUNNERS_MAX;
}

static void fetch_runners(const rmpy_session *s)
{
    for (size_t i = 0; i < count_runners(s); i++) {
        fetch(s->runners[i], offsetof(rmpy_runner, wakeup));
    }
}

static void fetch_behind_runners(const rmpy_session *s)
{
    for (size_t i = 0; i < count_runners(s); i++) {
        const rmpy_runner *p = s->runners[i];
        if (p->kind == RMPY_FEED) {
            fetch(&p->next, sizeof *p - offsetof(rmpy_runner, next));
            __builtin_prefetch(p->id);
        } else {
            __builtin_prefetch(p->self, 1);
            __builtin_prefetch(p->context, 1);
        }
    }
}

/* It begins a slice once turns - 1 others have. */
static void fetch_stage(const rmpy_session *s, unsigned turns)
{
    if (turns == TURNS) {
        fetch(s, sizeof *s);
        return;
    }
    if (!s->native) {
        return; /* it is being closed */
    }
    rm_session_fetch(s->native, turns);
    switch (turns) {
    case 6: fetch(s->runners, (s->runner_count + 1) * sizeof(rmpy_runner *)); break;
    case 5: fetch_runners(s); break;
    case 4: fetch_behind_runners(s); break;
    default: break;
    }
}

static void follow(rmpy_session *s, rmpy_session *leader)
{
    if (leader->follower) {
        leader->follower->leader = NULL;
    }
    if (s->leader) {
        s->leader->follower = NULL;
    }
    leader->follower = s;
    s->leader = leader;
}

/* Was it known that the session comes next? Notes that it did. */
static bool was_foreseen(rmpy_session *s)
{
    rmpy_run *run = s->run;
    rmpy_session *latest = run->latest;
    run->latest = s;
    if (!latest || latest == s) {
        return false;
    }
    if (latest->follower != s) {
        run->foreseen /= 2;
        follow(s, latest);
        return false;
    }
    run->foreseen += run->foreseen < FORESEEN_MAX;
    return run->foreseen > FORESEEN_ENOUGH;
}

void rmpy_ahead_look(rmpy_session *s)
{
    if (!was_foreseen(s)) {
        fetch_runners(s); /* asked for at once it comes at once */
        fetch_behind_runners(s);
    }
    if (s->run->foreseen < FORESEEN_ENOUGH) {
        return;
    }
    const rmpy_session *next = s->follower;
    for (unsigned turns = 1; next && next != s && turns <= TURNS; turns++) {
        if (turns < TURNS && next->thread != s->thread) {
            return; /* of which the other thread may be making something else just now */
        }
        fetch_stage(next, turns);
        next = turns < TURNS ? next->follower : NULL;
    }
}

void rmpy_ahead_forget(rmpy_session *s)
{
    if (s->run->latest == s) {
        s->run->latest = NULL;
    }
    if (s->leader) {
        s->leader->follower = NULL;
    }
    if (s->follower) {
        s->follower->leader = NULL;
    }
    s->leader = s->follower = NULL;
}
