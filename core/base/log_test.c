/* log_test.c — the last pattern that matches a topic decides; a wrong filter changes nothing. */
#include <remotemedia/log.h>

#include "base/test.h"

static char last[128];

static void keep(void *context, rm_log_level level, const char *topic, const char *message)
{
    snprintf(last, sizeof last, "%s%d %s: %s", (const char *)context, (int)level, topic, message);
}

static const char *said(rm_log_level level, const char *topic)
{
    last[0] = '\0';
    rm_log(level, topic, "n is %d", 7);
    return last;
}

TEST(warnings_pass_by_default_and_nothing_without_a_sink)
{
    CHECK_TEXT(said(RM_LOG_ERROR, "engine"), "");
    rm_log_set_sink(keep, ">");
    CHECK_TEXT(said(RM_LOG_WARNING, "engine"), ">2 engine: n is 7");
    CHECK_TEXT(said(RM_LOG_INFO, "engine"), "");
}

TEST(the_last_matching_pattern_decides)
{
    rm_log_set_sink(keep, "");
    CHECK_INT(rm_log_set_filter("info,audio.*:debug,audio.level:off", NULL), RM_OK);
    CHECK_TEXT(said(RM_LOG_DEBUG, "audio.gain"), "4 audio.gain: n is 7");
    CHECK_TEXT(said(RM_LOG_TRACE, "audio.gain"), "");
    CHECK_TEXT(said(RM_LOG_ERROR, "audio.level"), "");
    CHECK_TEXT(said(RM_LOG_INFO, "engine"), "3 engine: n is 7");
    CHECK_TEXT(said(RM_LOG_DEBUG, "engine"), "");
}

TEST(a_wrong_filter_is_named_and_the_old_one_stays)
{
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_log_set_filter("error", NULL), RM_OK);
    CHECK_INT(rm_log_set_filter("audio.*:loud", &err), RM_EINVAL);
    CHECK_CONTAINS(err.message, "'loud' is not a level");
    CHECK_TEXT(said(RM_LOG_WARNING, "engine"), "");
    CHECK_TEXT(said(RM_LOG_ERROR, "engine"), "1 engine: n is 7");
    CHECK_INT(rm_log_set_filter("a:info,b:info,c:info,d:info,e:info,f:info,g:info,h:info,i:info,"
                                "j:info,k:info,l:info,m:info,n:info,o:info,p:info,q:info",
                                &err),
              RM_EINVAL);
    CHECK_CONTAINS(err.message, "more than 16");
}

TEST_MAIN(T(warnings_pass_by_default_and_nothing_without_a_sink),
          T(the_last_matching_pattern_decides), T(a_wrong_filter_is_named_and_the_old_one_stays))
