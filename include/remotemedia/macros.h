/* macros.h — compiler attributes used by the public headers. */
#ifndef REMOTEMEDIA_MACROS_H
#define REMOTEMEDIA_MACROS_H

#if defined(_WIN32)
#define RM_EXPORT __declspec(dllexport)
#else
#define RM_EXPORT __attribute__((visibility("default")))
#endif

/* A function of libremotemedia. */
#define RM_API RM_EXPORT

#define RM_MUST_USE __attribute__((warn_unused_result))
#define RM_PRINTF(format_index, first_argument) \
    __attribute__((format(printf, format_index, first_argument)))

#endif
