#include "engine/drivers/sim.h"

#include "base/alloc.h"
#include "engine/checkpoint.h"
#include "engine/quiet.h"
#include "engine/snapshot.h"

enum { BUDGET_MAX = 8 };

/* Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014 (SplitMix64). */
static uint64_t split_mix(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
}

uint32_t rmi_sim_random(rmi_sim *sim, uint32_t bound)
{
    return (uint32_t)(split_mix(&sim->random) >> 32) % bound;
}

/* file: of a checkpoint to go on from, taken on success; NULL: none. */
static rm_status start(const rm_plan *plan, uint64_t memory_bytes_max, const char *record_path,
                       rmi_bytes *file, rmi_sim **ret_sim, rm_error *err)
{
    rm_session_options options = {.struct_size = sizeof options,
                                  .driver = RM_DRIVER_CALLER,
                                  .memory_bytes_max = memory_bytes_max,
                                  .record_path = record_path};
    rmi_sim *sim = RMI_NEW(rmi_sim);
    if (!sim) {
        return rm_fail(err, RM_ENOMEM, "no memory for a simulation");
    }
    sim->status = RM_PENDING;
    rm_status status = rmi_session_build(plan, &options, &sim->session, err);
    if (status == RM_OK) {
        sim->session->simulated = true;
        status = file ? rmi_checkpoints_give(sim->session, file, err) : RM_OK;
    }
    if (status == RM_OK) {
        status = rmi_session_start(sim->session, err);
    }
    if (status != RM_OK) {
        rm_session_free(sim->session);
        rmi_free(sim);
        return status;
    }
    *ret_sim = sim;
    return RM_OK;
}

rm_status rmi_sim_new(const rm_plan *plan, uint64_t memory_bytes_max, const char *record_path,
                      uint64_t seed, rmi_sim **ret_sim, rm_error *err)
{
    rm_status status = start(plan, memory_bytes_max, record_path, NULL, ret_sim, err);
    if (status == RM_OK) {
        (*ret_sim)->random = seed;
    }
    return status;
}

rm_status rmi_sim_restart(rmi_sim **sim, rm_error *err)
{
    static const uint8_t head[RMI_CHECKPOINT_HEAD_BYTES];
    rm_session *session = (*sim)->session;
    rmi_sim *fresh = NULL;
    rmi_bytes file = {0}, body = {0};
    rm_status status = rmi_snapshot_take(session, &body, err);
    if (status == RM_OK) {
        rmi_bytes_add(&file, head, sizeof head);
        rmi_bytes_add(&file, body.data, body.bytes);
        status = file.failed ? rm_fail(err, RM_ENOMEM, "no memory for a checkpoint")
                             : start(session->plan, session->options.memory_bytes_max, NULL, &file,
                                     &fresh, err);
    }
    rmi_bytes_fini(&body);
    rmi_bytes_fini(&file);
    if (status == RM_OK) {
        fresh->random = (*sim)->random;
        rmi_sim_free(*sim);
        *sim = fresh;
    }
    return status;
}

/* What a thread of its own does between two looks at whether to sleep (session.c). */
static void step_strand(rmi_sim *sim, rmi_strand *strand, uint32_t budget)
{
    int64_t *due_ns = &sim->due_ns[strand->index];
    rmi_parking_leave(&strand->parking);
    rm_status status = rmi_strand_step(strand, sim->now_ns, budget, due_ns);
    if (strand->finished) {
        rmi_session_strand_stopped(strand);
        return;
    }
    if (status == RM_MORE) {
        return;
    }
    rmi_parking_prepare(&strand->parking);
    if (rmi_strand_has_work(strand) || rmi_strand_rest(strand)) {
        rmi_parking_leave(&strand->parking);
    }
}

static bool is_awake(const rmi_sim *sim, uint32_t index)
{
    const rmi_strand *strand = sim->session->strands[index];
    if (index > 0 && strand->finished) {
        return false;
    }
    return !atomic_load(&strand->parking.parked) || sim->due_ns[index] <= sim->now_ns;
}

static uint32_t list_awake(const rmi_sim *sim, uint32_t *ret_awake)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->session->strand_count; i++) {
        if (is_awake(sim, i)) {
            ret_awake[count++] = i;
        }
    }
    return count;
}

/* To the next timer; false: there is none. */
static bool advance(rmi_sim *sim)
{
    int64_t next_ns = INT64_MAX;
    for (uint32_t i = 0; i < sim->session->strand_count; i++) {
        bool finished = i > 0 && sim->session->strands[i]->finished;
        if (!finished && sim->due_ns[i] < next_ns) {
            next_ns = sim->due_ns[i];
        }
    }
    if (next_ns == INT64_MAX) {
        return false;
    }
    sim->now_ns = next_ns;
    return true;
}

rm_status rmi_sim_step(rmi_sim *sim)
{
    uint32_t awake[RMI_SESSION_STRANDS_MAX];
    if (sim->status != RM_PENDING) {
        return sim->status;
    }
    uint32_t count = list_awake(sim, awake);
    if (count == 0) {
        return advance(sim) ? RM_MORE : RM_PENDING;
    }
    uint32_t index = awake[rmi_sim_random(sim, count)];
    uint32_t budget = 1 + rmi_sim_random(sim, BUDGET_MAX);
    if (index > 0) {
        step_strand(sim, sim->session->strands[index], budget);
        return RM_MORE;
    }
    rm_status status = rm_session_step(sim->session, sim->now_ns, budget, &sim->due_ns[0]);
    if (status != RM_MORE && status != RM_PENDING) {
        sim->status = status;
        return status;
    }
    return RM_MORE;
}

void rmi_sim_free(rmi_sim *sim)
{
    if (!sim) {
        return;
    }
    if (sim->status == RM_PENDING) {
        rm_session_cancel(sim->session);
        while (rmi_sim_step(sim) == RM_MORE) {
        }
    }
    rm_session_free(sim->session);
    rmi_free(sim);
}
