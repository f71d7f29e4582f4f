#include "base/near.h"

#include <string.h>

enum { NAME_MAX_BYTES = 63 };

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

unsigned rmi_near_distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    unsigned row[3][NAME_MAX_BYTES + 1]; /* two rows back, one row back, this one */
    if (na > NAME_MAX_BYTES || nb > NAME_MAX_BYTES) {
        return NAME_MAX_BYTES + 1;
    }
    for (size_t j = 0; j <= nb; j++) {
        row[1][j] = row[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= na; i++) {
        row[2][0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned replace = row[1][j - 1] + (a[i - 1] != b[j - 1]);
            row[2][j] = least(row[1][j] + 1, row[2][j - 1] + 1, replace);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                unsigned swapped = row[0][j - 2] + 1;
                row[2][j] = row[2][j] < swapped ? row[2][j] : swapped;
            }
        }
        memcpy(row[0], row[1], sizeof row[0]);
        memcpy(row[1], row[2], sizeof row[1]);
    }
    return row[1][nb];
}

const char *rmi_near_result(const rmi_near *near)
{
    size_t length = strlen(near->wanted);
    if (length < 2) {
        return NULL; /* every other letter would be near */
    }
    size_t limit = length < 4 ? 1 : (length + 2) / 3;
    return near->best && near->distance <= limit ? near->best : NULL;
}
