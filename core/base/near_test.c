/* Near names: a slip of the pen is found, a name of its own is not. */
#include "base/near.h"

#include "base/test.h"

static const char *nearest(const char *wanted)
{
    static const char *const names[] = {"rate_hz", "channels", "gain_db", "path"};
    rmi_near near = {.wanted = wanted};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        rmi_near_try(&near, names[i]);
    }
    const char *best = rmi_near_result(&near);
    return best ? best : "none";
}

TEST(distance_counts_swapped_neighbours_once)
{
    CHECK_INT(rmi_near_distance("path", "path"), 0);
    CHECK_INT(rmi_near_distance("ptah", "path"), 1);
    CHECK_INT(rmi_near_distance("", "path"), 4);
    CHECK_INT(rmi_near_distance("gain", "rain_db"), 4);
}

TEST(slips_are_near)
{
    CHECK_TEXT(nearest("chanels"), "channels");
    CHECK_TEXT(nearest("rate_zh"), "rate_hz");
    CHECK_TEXT(nearest("paht"), "path");
}

TEST(a_name_without_its_unit_is_near)
{
    CHECK_TEXT(nearest("rate"), "rate_hz");
    CHECK_TEXT(nearest("gain"), "gain_db");
}

TEST(other_names_and_single_letters_are_not_near)
{
    CHECK_TEXT(nearest("frequency"), "none");
    CHECK_TEXT(nearest("p"), "none");
    CHECK_TEXT(nearest(""), "none");
}

TEST_MAIN(T(distance_counts_swapped_neighbours_once), T(slips_are_near),
          T(a_name_without_its_unit_is_near), T(other_names_and_single_letters_are_not_near))
