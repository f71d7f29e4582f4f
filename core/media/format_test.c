/* format_test.c — what the text says is what is parsed, printed, met and accepted. */
#include <remotemedia/format.h>

#include "base/test.h"

static rm_format one(const char *text)
{
    rm_formats formats = {0};
    rm_error err = RM_ERROR_INIT;
    CHECK_INT(rm_formats_parse(text, &formats, &err), RM_OK);
    CHECK_TEXT(err.message, "");
    CHECK_INT(formats.count, 1);
    return formats.alternative[0];
}

static const char *text_of(const rm_format *format)
{
    static char text[256];
    rm_format_print(format, text, sizeof text);
    return text;
}

TEST(text_goes_round)
{
    static const char *const texts[] = {
        "any",
        "audio",
        "audio rate_hz=16000,8000 channels=1 sample_format=f32,s16 planar=0",
        "audio rate_hz=8000..192000 | audio sample_format=s16 | any",
        "video fourcc=I420,NV12 width=16..4096 height=720 | tensor dtype=f32 ndim=2",
        "encoded codec=opus rate_hz=48000 channels=2 | text | bytes | value | object",
    };
    for (size_t i = 0; i < RMI_COUNT(texts); i++) {
        rm_formats formats;
        char text[256];
        CHECK_INT(rm_formats_parse(texts[i], &formats, NULL), RM_OK);
        CHECK_INT(rm_formats_print(&formats, text, sizeof text), strlen(texts[i]));
        CHECK_TEXT(text, texts[i]);
    }
}

TEST(nothing_said_is_any)
{
    rm_formats formats = {.count = 5};
    CHECK_INT(rm_formats_parse(NULL, &formats, NULL), RM_OK);
    CHECK_INT(formats.count, 0);
    CHECK_INT(rm_formats_parse("  ", &formats, NULL), RM_OK);
    CHECK_INT(formats.count, 0);
}

TEST(a_wrong_word_is_named_and_the_output_untouched)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"sound", "'sound' is not a kind"},
        {"audio rate=1", "'rate=1' is not a field of kind audio"},
        {"audio rate_hz", "'rate_hz' is not a field"},
        {"audio rate_hz=", "'' is not a value of rate_hz"},
        {"audio rate_hz=9..1", "range"},
        {"audio rate_hz=-1", "'-1'"},
        {"audio rate_hz=99999999999", "'99999999999'"},
        {"audio sample_format=f31", "'f31' is not a value of sample_format"},
        {"audio sample_format=s16..f32", "range"},
        {"audio channels=1,2,3,4,5,6,7,8,9", "8 values"},
        {"audio channels=1 channels=2", "named once"},
        {"video fourcc=I42", "'I42'"},
        {"audio |", "'' is not a kind"},
        {"any|any|any|any|any|any|any|any|any", "more than 8"},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rm_formats formats = {.count = 77};
        rm_error err = RM_ERROR_INIT;
        CHECK_INT(rm_formats_parse(rows[i].text, &formats, &err), RM_EINVAL);
        CHECK_CONTAINS(err.message, rows[i].part);
        CHECK_INT(formats.count, 77);
    }
}

TEST(two_formats_meet_in_the_order_of_the_first)
{
    rm_format a = one("audio rate_hz=48000,44100,16000 channels=1,2"), common;
    rm_format b = one("audio rate_hz=16000,48000 sample_format=f32");
    CHECK_INT(rm_format_meet(&a, &b, &common, NULL), RM_OK);
    CHECK_TEXT(text_of(&common), "audio rate_hz=48000,16000 channels=1,2 sample_format=f32");
    rm_format range = one("audio rate_hz=8000..20000");
    CHECK_INT(rm_format_meet(&a, &range, &common, NULL), RM_OK);
    CHECK_TEXT(text_of(&common), "audio rate_hz=16000 channels=1,2");
    CHECK_INT(rm_format_meet(&range, &a, &common, NULL), RM_OK);
    CHECK_TEXT(text_of(&common), "audio rate_hz=16000 channels=1,2");
    rm_format any = one("any");
    CHECK_INT(rm_format_meet(&any, &b, &common, NULL), RM_OK);
    CHECK_TEXT(text_of(&common), "audio rate_hz=16000,48000 sample_format=f32");
}

TEST(what_cannot_meet_names_the_field)
{
    rm_format a = one("audio rate_hz=16000 channels=2"), b = one("audio channels=1");
    uint32_t field = 0;
    CHECK_INT(rm_format_meet(&a, &b, NULL, &field), RM_EINVAL);
    CHECK_TEXT(rm_format_field_name(RM_KIND_AUDIO, field), "channels");
    rm_format text = one("text");
    CHECK_INT(rm_format_meet(&a, &text, NULL, &field), RM_EINVAL);
    CHECK_INT(field, RM_FIELD_COUNT);
}

TEST(a_fixed_format_and_a_format_line_say_the_same)
{
    rm_format a = one("audio rate_hz=16000,8000 channels=1..8 sample_format=s16"), back;
    rm_format_fix(&a);
    CHECK_TEXT(text_of(&a), "audio rate_hz=16000 channels=1 sample_format=s16");
    rm_format_line line;
    rm_format_to_line(&a, &line);
    CHECK_INT(line.audio.rate_hz, 16000);
    CHECK_INT(line.audio.sample_format, RM_SAMPLE_S16);
    CHECK(rm_format_accepts(&a, RM_KIND_AUDIO, &line));
    CHECK(!rm_format_accepts(&a, RM_KIND_TEXT, &line));
    line.audio.channels = 2;
    CHECK(!rm_format_accepts(&a, RM_KIND_AUDIO, &line));
    rm_format_from_line(RM_KIND_AUDIO, &line, &back);
    CHECK_TEXT(text_of(&back), "audio rate_hz=16000 channels=2 sample_format=s16 planar=0");
}

TEST(a_short_buffer_is_cut_with_its_end)
{
    rm_format a = one("audio rate_hz=16000");
    char text[8] = "xxxxxxx";
    CHECK_INT(rm_format_print(&a, text, sizeof text), 19);
    CHECK_TEXT(text, "audio r");
    CHECK_INT(rm_format_print(&a, NULL, 0), 19);
}

TEST_MAIN(T(text_goes_round), T(nothing_said_is_any),
          T(a_wrong_word_is_named_and_the_output_untouched),
          T(two_formats_meet_in_the_order_of_the_first), T(what_cannot_meet_names_the_field),
          T(a_fixed_format_and_a_format_line_say_the_same), T(a_short_buffer_is_cut_with_its_end))
