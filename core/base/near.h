/* near.h — "did you mean": which known name is nearest to a wrong one. */
#ifndef RMI_BASE_NEAR_H
#define RMI_BASE_NEAR_H

#include <stddef.h>
#include <string.h>

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b (Damerau and
 * Levenshtein, optimal string alignment). Names longer than 63 bytes count as far apart. */
unsigned rmi_near_distance(const char *a, const char *b);

/* Keeps the nearest name of those shown to it. A name that begins with the wanted one is one slip
 * away: who forgets the unit of rate_hz should be told of it. */
typedef struct rmi_near {
    const char *wanted, *best;
    unsigned distance;
} rmi_near;

static inline void rmi_near_try(rmi_near *near, const char *name)
{
    size_t wanted = strlen(near->wanted), length = strlen(name);
    if (wanted > length && wanted - length > (wanted + 2) / 3) {
        return; /* so many letters are too many already */
    }
    unsigned distance = rmi_near_distance(near->wanted, name);
    if (distance > 1 && strncmp(name, near->wanted, strlen(near->wanted)) == 0) {
        distance = 1;
    }
    if (!near->best || distance < near->distance) {
        near->best = name;
        near->distance = distance;
    }
}

/* The best name, or NULL where none is near enough to be a slip: a third of its length. */
const char *rmi_near_result(const rmi_near *near);

#endif
