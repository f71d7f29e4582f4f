/* report_test.c — findings are copied, counted beyond the bound, and survive a lack of memory. */
#include <remotemedia/report.h>

#include "base/alloc.h"
#include "base/test.h"

static const rm_finding finding = {
    RM_SEVERITY_ERROR, RM_CODE_MANIFEST_TYPE, 3, 5, "/nodes/0/id", "id is 7, want text", "quote it",
};

TEST(a_finding_is_copied)
{
    rm_report *report = NULL;
    CHECK_INT(rm_report_new(&report, NULL), RM_OK);
    char message[] = "first";
    rm_finding mine = finding;
    mine.message = message;
    mine.help = NULL;
    rm_report_add(report, &mine);
    message[0] = 'w';
    CHECK_INT(rm_report_count(report), 1);
    CHECK_TEXT(rm_report_at(report, 0)->message, "first");
    CHECK_TEXT(rm_report_at(report, 0)->help, "");
    CHECK_INT(rm_report_at(report, 0)->line, 3);
    CHECK(rm_report_at(report, 1) == NULL);
    rm_report_clear(report);
    CHECK_INT(rm_report_count(report), 0);
    rm_report_add(NULL, &mine);
    rm_report_free(report);
    rm_report_free(NULL);
}

TEST(beyond_the_bound_findings_are_counted_only)
{
    rm_report *report = NULL;
    CHECK_INT(rm_report_new(&report, NULL), RM_OK);
    for (unsigned i = 0; i < 1500; i++) {
        rm_report_add(report, &finding);
    }
    CHECK(rm_report_count(report) >= 1000 && rm_report_count(report) <= 1024);
    CHECK_INT(rm_report_error_count(report), 1500);
    rm_report_free(report);
}

TEST(each_failed_allocation_leaves_the_report_whole)
{
    for (unsigned nth = 1;; nth++) {
        rm_report *report = NULL;
        rmi_alloc_fault_begin(nth);
        rm_status status = rm_report_new(&report, NULL);
        if (report) {
            rm_report_add(report, &finding);
        }
        bool struck = rmi_alloc_fault_end();
        CHECK_INT(status, nth == 1 ? RM_ENOMEM : RM_OK);
        if (report) {
            CHECK_INT(rm_report_count(report), !struck);
            CHECK_INT(rm_report_error_count(report), 1);
        }
        rm_report_free(report);
        if (!struck) {
            CHECK_INT(nth, 6);
            return;
        }
    }
}

TEST_MAIN(T(a_finding_is_copied), T(beyond_the_bound_findings_are_counted_only),
          T(each_failed_allocation_leaves_the_report_whole))
