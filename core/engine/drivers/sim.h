/* sim.h — the simulated driver: one thread steps all strands of a session, in an order and by
 * budgets that are drawn from a seed, on a clock that moves only when nothing else can.
 *
 *     seed ─▶ which strand, how many calls ─▶ strand 0 │ strand 1 │ … │ strand n
 *                                             a strand that sleeps is left alone until something
 *                                             wakes it or its timer is due
 *
 * The same seed gives the same run, so that a test that fails can be run again. That each strand
 * sleeps with work left for it (a wake that was lost) is an error of the engine, and is told.
 *
 * Ownership: rmi_sim_free() frees the session. Threads: one.
 */
#ifndef RMI_ENGINE_DRIVERS_SIM_H
#define RMI_ENGINE_DRIVERS_SIM_H

#include "engine/session.h"

typedef struct rmi_sim {
    rm_session *session;
    uint64_t random;
    int64_t now_ns;
    int64_t due_ns[RMI_SESSION_STRANDS_MAX]; /* timer of a strand that sleeps */
    rm_status status;                        /* RM_PENDING until the session has ended */
} rmi_sim;

/* Builds and starts a session of the plan, which must outlive it. memory_bytes_max and record_path
 * as in rm_session_options. On failure *ret_sim is left alone. */
RM_MUST_USE rm_status rmi_sim_new(const rm_plan *plan, uint64_t memory_bytes_max,
                                  const char *record_path, uint64_t seed, rmi_sim **ret_sim,
                                  rm_error *err);
/* Another process that goes on where this one is killed between two steps: a session anew, from a
 * checkpoint of this one. RM_EAGAIN: work is out. On failure the old one is as it was. */
RM_MUST_USE rm_status rmi_sim_restart(rmi_sim **sim, rm_error *err);
/* Cancels what still runs. NULL is fine. */
void rmi_sim_free(rmi_sim *sim);

/* One step of one strand. RM_MORE: there is more to do. RM_PENDING: nothing is, until something
 * comes from outside (a completion). RM_DONE, or < 0: the session has ended so. */
rm_status rmi_sim_step(rmi_sim *sim);

/* The next number of the seed's row, below `bound`. */
uint32_t rmi_sim_random(rmi_sim *sim, uint32_t bound);

#endif
