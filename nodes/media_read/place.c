#include "place.h"

#include <string.h>
#include <sys/stat.h>

#include <libavutil/avstring.h>

file_mark file_mark_of(const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0) {
        return (file_mark){0};
    }
    return (file_mark){.size_bytes = (uint64_t)about.st_size,
                       .changed_s = about.st_mtim.tv_sec,
                       .changed_ns = about.st_mtim.tv_nsec};
}

/* Formats whose packets come from other files, which may change unseen. */
static bool reads_other_files(const AVFormatContext *container)
{
    return container->iformat->flags & AVFMT_NOFILE ||
           av_match_name(container->iformat->name, "concat,dash,hls,imf,image2");
}

rm_status media_place_check(const media_source *source, rm_error *err)
{
    if (media_source_is_pipe(source)) {
        return rm_fail_as(err, RM_CODE_CHECKPOINT_REFUSED,
                          "media file '%.300s' is a pipe, which cannot be read again; want a file",
                          source->path);
    }
    if (source->container && reads_other_files(source->container)) {
        return rm_fail_as(
            err, RM_CODE_CHECKPOINT_REFUSED,
            "media file '%.300s' (%s) refers to other files, which may change unseen; "
            "want one file that has all",
            source->path, source->container->iformat->name);
    }
    return RM_OK;
}

rm_status media_place_read(const media_source *source, const file_mark *now, const void *data,
                           size_t bytes, media_place *ret_place, rm_error *err)
{
    media_place place;
    if (bytes != sizeof place) {
        return rm_fail(err, RM_EINVAL, "a saved place has %zu bytes, want %zu", bytes,
                       sizeof place);
    }
    memcpy(&place, data, sizeof place);
    if (place.mark.size_bytes != now->size_bytes) {
        return rm_fail_as(err, RM_CODE_CHECKPOINT_BAD,
                          "media file '%.300s' has changed since the checkpoint was made: it has "
                          "%llu bytes, want the %llu of then",
                          source->path, (unsigned long long)now->size_bytes,
                          (unsigned long long)place.mark.size_bytes);
    }
    if (place.mark.changed_s != now->changed_s || place.mark.changed_ns != now->changed_ns) {
        return rm_fail_as(err, RM_CODE_CHECKPOINT_BAD,
                          "media file '%.300s' has changed since the checkpoint was made: it was "
                          "written to",
                          source->path);
    }
    *ret_place = place;
    return RM_OK;
}
