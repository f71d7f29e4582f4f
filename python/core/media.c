/* Audio and video: packets to what set_types() was given and back; PyAV frames to packets.
 *
 * One packet has one piece of memory. Planes that lie in one piece, in order, are lent as they are;
 * others are copied once. */
#include "core.h"

#include <string.h>

enum { GAP_MAX = 4096 }; /* between planes: such a gap lies in the pages of its neighbours */

/* ---- attributes */

/* -1 with an exception; the attribute None leaves the value as it is and gives 0, a number 1. */
static int get_number(PyObject *object, const char *name, long long *ret_number)
{
    PyObject *value = rmpy_get(object, name);
    if (!value) {
        return -1;
    }
    int found = value != Py_None;
    if (found) {
        PyObject *index = PyNumber_Index(value);
        *ret_number = index ? PyLong_AsLongLong(index) : -1;
        Py_XDECREF(index);
    }
    Py_DECREF(value);
    return PyErr_Occurred() ? -1 : found;
}

/* As get_number(), of an attribute that may be missing. */
static int get_optional_number(PyObject *object, const char *name, long long *ret_number)
{
    int found = get_number(object, name, ret_number);
    if (found < 0 && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return 0;
    }
    return found;
}

/* The attribute's text in buffer; -1 with an exception. */
static int get_text(PyObject *object, const char *name, char *buffer, size_t size)
{
    PyObject *value = rmpy_get(object, name);
    const char *utf8 = value && PyUnicode_Check(value) ? PyUnicode_AsUTF8(value) : NULL;
    if (value && !utf8 && !PyErr_Occurred()) {
        PyErr_Format(PyExc_TypeError, "%s is a %s, want str", name, Py_TYPE(value)->tp_name);
    }
    if (utf8) {
        snprintf(buffer, size, "%s", utf8);
    }
    Py_XDECREF(value);
    return utf8 ? 0 : -1;
}

static PyObject *time_or_none(int64_t time_ns)
{
    return time_ns == RM_TIME_NONE ? Py_NewRef(Py_None) : PyLong_FromLongLong(time_ns);
}

static int64_t duration_of(int64_t frames, uint32_t rate_hz)
{
    return rate_hz ? (int64_t)((__int128)frames * 1000000000 / rate_hz) : 0;
}

/* metadata: a dict, another mapping, or None. */
static rm_status set_metadata(rmpy_state *state, rm_packet *packet, PyObject *metadata,
                              rm_error *err)
{
    if (!metadata || metadata == Py_None) {
        return RM_OK;
    }
    PyObject *dict = PyDict_Check(metadata) ? Py_NewRef(metadata) : PyDict_New();
    if (dict && dict != metadata && PyDict_Update(dict, metadata) < 0) {
        Py_CLEAR(dict);
    }
    rmpy_writer writer;
    rmpy_writer_init(&writer);
    rm_status status = RM_OK;
    if (!dict || rmpy_pack(state, &writer, dict) < 0) {
        status = rmpy_fail_exception(err);
    } else if (PyDict_GET_SIZE(dict) > 0) {
        status = rm_packet_set_metadata(packet, writer.data, writer.length);
        if (status != RM_OK) {
            (void)rm_fail(err, status, "metadata of %zu bytes, want at most %d", writer.length,
                          RM_METADATA_MAX);
        }
    }
    rmpy_writer_fini(&writer);
    Py_XDECREF(dict);
    return status;
}

/* The attribute `metadata` where there is one. */
static rm_status copy_metadata(rmpy_state *state, rm_packet *packet, PyObject *object,
                               rm_error *err)
{
    PyObject *metadata = rmpy_get(object, "metadata");
    PyErr_Clear();
    rm_status status = set_metadata(state, packet, metadata, err);
    Py_XDECREF(metadata);
    return status;
}

/* Hands over the packet, or drops it where something failed. */
static rm_status finish(rm_status status, rm_packet *packet, rm_packet **ret_packet)
{
    if (status == RM_OK) {
        *ret_packet = packet;
    } else {
        rm_packet_unref(packet);
    }
    return status;
}

/* ---- audio to Python */

static uint8_t dtype_of_samples(uint8_t sample_format)
{
    static const uint8_t dtypes[] = {[RM_SAMPLE_U8] = RM_DTYPE_U8,
                                     [RM_SAMPLE_S16] = RM_DTYPE_S16,
                                     [RM_SAMPLE_S32] = RM_DTYPE_S32,
                                     [RM_SAMPLE_F32] = RM_DTYPE_F32,
                                     [RM_SAMPLE_F64] = RM_DTYPE_F64};
    return sample_format < sizeof dtypes ? dtypes[sample_format] : RM_DTYPE_NONE;
}

static uint8_t samples_of_dtype(uint8_t dtype)
{
    for (uint8_t format = RM_SAMPLE_U8; format <= RM_SAMPLE_F64; format++) {
        if (dtype_of_samples(format) == dtype) {
            return format;
        }
    }
    return RM_SAMPLE_NONE;
}

/* (samples, rate) or (samples, rate, metadata). */
static PyObject *plain_audio(PyObject *samples, uint32_t rate_hz, PyObject *metadata)
{
    return metadata == Py_None ? Py_BuildValue("(OI)", samples, rate_hz)
                               : Py_BuildValue("(OIO)", samples, rate_hz, metadata);
}

static PyObject *call_audio(PyObject *audio, const rm_packet_header *header, PyObject *samples,
                            PyObject *metadata)
{
    uint32_t rate_hz = header->format.audio.rate_hz;
    int64_t duration_ns = header->duration_ns > 0
                              ? header->duration_ns
                              : duration_of(header->instance.audio.frames, rate_hz);
    PyObject *pts = time_or_none(header->pts_ns);
    PyObject *result = pts ? PyObject_CallFunction(audio, "OIOLO", samples, rate_hz, pts,
                                                   (long long)duration_ns, metadata)
                           : NULL;
    Py_XDECREF(pts);
    return result;
}

PyObject *rmpy_audio_to_python(rmpy_state *state, rm_packet *packet)
{
    const rm_packet_header *header = &packet->header;
    uint8_t dtype = dtype_of_samples(header->format.audio.sample_format);
    Py_ssize_t element = (Py_ssize_t)rm_dtype_bytes(dtype);
    Py_ssize_t channels = header->format.audio.channels;
    bool planar = header->format.audio.planar;
    rmpy_layout layout = {
        .data = packet->payload,
        .dtype = dtype,
        .ndim = 2,
        .writable = rmpy_packet_is_writable(packet),
        .shape = {channels, (Py_ssize_t)header->instance.audio.frames},
        .strides = {planar ? (Py_ssize_t)header->instance.audio.plane_stride_bytes : element,
                    planar ? element : element * channels}};
    PyObject *samples = rmpy_array_of_memory(state, packet, &layout);
    PyObject *metadata = samples ? rmpy_metadata_of(state, packet) : NULL;
    PyObject *result = NULL;
    if (metadata) {
        result = state->audio ? call_audio(state->audio, header, samples, metadata)
                              : plain_audio(samples, header->format.audio.rate_hz, metadata);
    }
    Py_XDECREF(samples);
    Py_XDECREF(metadata);
    return result;
}

/* ---- audio from Python */

/* How samples lie, as the header says it. */
typedef struct audio_form {
    uint32_t rate_hz, stride_bytes;
    uint16_t channels;
    uint8_t sample_format, planar;
    Py_ssize_t frames;
    uint64_t bytes;
    bool in_place; /* false: they must be copied into planes */
} audio_form;

static void fill_audio(rm_packet *packet, const audio_form *form)
{
    packet->header.format.audio.rate_hz = form->rate_hz;
    packet->header.format.audio.channels = form->channels;
    packet->header.format.audio.sample_format = form->sample_format;
    packet->header.format.audio.planar = form->planar;
    packet->header.instance.audio.frames = (uint32_t)form->frames;
    packet->header.instance.audio.plane_stride_bytes = form->stride_bytes;
    packet->header.duration_ns = duration_of(form->frames, form->rate_hz);
}

/* Samples as rows of one channel each; distances in bytes. */
typedef struct sample_rows {
    Py_ssize_t channels, frames, element, row_bytes;
    Py_ssize_t step, row; /* to the next sample of a channel; to the next channel */
    bool aligned;
} sample_rows;

/* False: these are no samples. Shape (frames,) or (channels, frames). */
static bool rows_of(const rmpy_layout *layout, sample_rows *rows)
{
    bool is_flat = layout->ndim == 1;
    if (!is_flat && layout->ndim != 2) {
        return false;
    }
    rows->element = (Py_ssize_t)rm_dtype_bytes(layout->dtype);
    rows->channels = is_flat ? 1 : layout->shape[0];
    rows->row = is_flat ? 0 : layout->strides[0];
    rows->frames = layout->shape[layout->ndim - 1];
    rows->step = layout->strides[layout->ndim - 1];
    rows->row_bytes = rows->frames * rows->element;
    rows->aligned = (uintptr_t)layout->data % (size_t)rows->element == 0;
    return rows->channels >= 1 && rows->channels <= 1024 &&
           rows->row_bytes <= (Py_ssize_t)UINT32_MAX;
}

/* A packet can hold them as they lie: one channel, or a plane for each, in rising order. */
static bool lie_in_planes(const sample_rows *rows)
{
    bool is_tight = rows->step == rows->element || rows->frames <= 1;
    bool is_rising = rows->row >= rows->row_bytes && rows->row % rows->element == 0 &&
                     rows->row <= (Py_ssize_t)UINT32_MAX;
    return rows->aligned && is_tight && (rows->channels == 1 || is_rising);
}

/* As well: the channels of a frame side by side. */
static bool lie_interleaved(const sample_rows *rows)
{
    return rows->aligned && rows->row == rows->element &&
           rows->step == rows->channels * rows->element;
}

/* False: these are no samples. */
static bool audio_form_of(const rmpy_layout *layout, audio_form *form)
{
    sample_rows rows;
    form->sample_format = samples_of_dtype(layout->dtype);
    if (form->sample_format == RM_SAMPLE_NONE || !rows_of(layout, &rows)) {
        return false;
    }
    bool in_planes = lie_in_planes(&rows), interleaved = !in_planes && lie_interleaved(&rows);
    Py_ssize_t plane = in_planes && rows.channels > 1 ? rows.row : rows.row_bytes;
    form->channels = (uint16_t)rows.channels;
    form->frames = rows.frames;
    form->planar = rows.channels > 1 && !interleaved;
    form->in_place = in_planes || interleaved;
    form->stride_bytes = form->planar ? (uint32_t)plane : 0;
    form->bytes = (uint64_t)(plane * (rows.channels - 1) + rows.row_bytes);
    return true;
}

/* Takes what holds the samples, in `lent`, also on failure. */
static rm_status samples_to_packet(rmpy_packet_maker maker, const rmpy_layout *layout,
                                   const audio_form *form, rmpy_lent *lent, rm_packet **ret_packet,
                                   rm_error *err)
{
    rm_packet *packet = NULL;
    rm_status status;
    lent->data = layout->data;
    lent->bytes = form->bytes;
    if (form->in_place) {
        status = rmpy_new_foreign(maker, lent, RM_KIND_AUDIO, &packet, err);
    } else {
        status = rmpy_new_packet(maker, RM_KIND_AUDIO, form->bytes, &packet, err);
        if (status == RM_OK) {
            rmpy_layout_copy(layout, packet->payload);
        }
        lent->release(lent->owner);
    }
    if (status == RM_OK) {
        fill_audio(packet, form);
        *ret_packet = packet;
    }
    return status;
}

/* What a tuple or an Audio says, borrowed. */
typedef struct audio_parts {
    PyObject *samples, *metadata;
    PyObject *object; /* an Audio, whose attributes say more; NULL: a tuple */
    uint32_t rate_hz;
} audio_parts;

/* A rate: an integer, or a float that is one, in 1 to 2^32 - 1. */
static bool get_rate(PyObject *value, uint32_t *ret_rate_hz)
{
    double rate = 0;
    if (PyBool_Check(value)) {
        return false;
    }
    if (PyFloat_Check(value)) {
        rate = PyFloat_AS_DOUBLE(value);
    } else if (PyIndex_Check(value)) {
        rate = PyNumber_AsSsize_t(value, NULL) > 0 ? (double)PyNumber_AsSsize_t(value, NULL) : 0;
        PyErr_Clear();
    }
    if (!(rate >= 1 && rate <= (double)UINT32_MAX) || rate != (double)(uint32_t)rate) {
        return false;
    }
    *ret_rate_hz = (uint32_t)rate;
    return true;
}

static bool has_samples(rmpy_state *state, PyObject *value)
{
    bool is_text = PyBytes_Check(value) || PyByteArray_Check(value);
    return !is_text && ((PyObject_CheckBuffer(value) && !rmpy_is_numpy_scalar(state, value)) ||
                        rmpy_has_dlpack(state, value));
}

/* (samples, rate), (samples, rate, metadata), ((samples, rate), metadata). */
static bool audio_parts_of(rmpy_state *state, PyObject *value, audio_parts *parts)
{
    if (!PyTuple_Check(value)) {
        return false;
    }
    Py_ssize_t size = PyTuple_GET_SIZE(value);
    PyObject *last = size > 0 ? PyTuple_GET_ITEM(value, size - 1) : NULL;
    *parts = (audio_parts){.metadata = NULL};
    if (size == 2 && PyDict_Check(last) && PyTuple_Check(PyTuple_GET_ITEM(value, 0))) {
        parts->metadata = last;
        value = PyTuple_GET_ITEM(value, 0);
        size = PyTuple_GET_SIZE(value);
    } else if (size == 3 && (PyDict_Check(last) || last == Py_None)) {
        parts->metadata = last;
        size = 2;
    }
    if (size != 2 || !get_rate(PyTuple_GET_ITEM(value, 1), &parts->rate_hz) ||
        !has_samples(state, PyTuple_GET_ITEM(value, 0))) {
        return false;
    }
    parts->samples = PyTuple_GET_ITEM(value, 0);
    if (state->audio && PyType_Check(state->audio) &&
        PyObject_TypeCheck(value, (PyTypeObject *)state->audio)) {
        parts->object = value;
    }
    return true;
}

/* Layout of the samples, and in `lent` what holds them. */
static int borrow_samples(PyObject *samples, rmpy_layout *layout, rmpy_lent *lent)
{
    if (!PyObject_CheckBuffer(samples)) {
        PyObject *capsule = rmpy_dlpack(samples, layout);
        if (capsule) {
            rmpy_lend_object(lent, capsule);
        }
        return capsule ? 0 : -1;
    }
    rmpy_buffer *buffer = rmpy_buffer_new(samples);
    if (!buffer) {
        return -1;
    }
    if (rmpy_layout_of_buffer(rmpy_buffer_view(buffer), layout) < 0) {
        rmpy_buffer_release(buffer);
        return -1;
    }
    rmpy_lend_buffer(lent, buffer);
    return 0;
}

/* pts_ns, duration_ns and metadata of an Audio or a Video. */
static rm_status copy_times(rmpy_state *state, rm_packet *packet, PyObject *object, rm_error *err)
{
    long long pts_ns = 0, duration_ns = 0;
    int has_pts = get_optional_number(object, "pts_ns", &pts_ns);
    int has_duration = has_pts < 0 ? -1 : get_optional_number(object, "duration_ns", &duration_ns);
    if (has_duration < 0) {
        return rmpy_fail_exception(err);
    }
    if (has_pts) {
        packet->header.pts_ns = pts_ns;
    }
    if (has_duration && duration_ns >= 0) {
        packet->header.duration_ns = duration_ns;
    }
    return copy_metadata(state, packet, object, err);
}

/* False: a tuple whose array is no audio; it is a value then. */
static bool audio_to_packet(rmpy_state *state, rmpy_packet_maker maker, const audio_parts *parts,
                            rm_packet **ret_packet, rm_status *ret_status, rm_error *err)
{
    rmpy_layout layout;
    rmpy_lent lent;
    audio_form form = {.rate_hz = parts->rate_hz};
    rm_packet *packet = NULL;
    if (borrow_samples(parts->samples, &layout, &lent) < 0) {
        *ret_status = rmpy_fail_exception(err);
        return true;
    }
    if (!audio_form_of(&layout, &form)) {
        lent.release(lent.owner);
        *ret_status =
            rm_fail_as(err, RM_CODE_PYTHON_VALUE,
                       "samples are a %d-dimensional array of %s, want shape (channels, frames) or "
                       "(frames,), at most 1024 channels, of u8 s16 s32 f32 or f64",
                       layout.ndim, rm_dtype_name(layout.dtype));
        return parts->object != NULL;
    }
    rm_status status = samples_to_packet(maker, &layout, &form, &lent, &packet, err);
    if (status == RM_OK && parts->object) {
        status = copy_times(state, packet, parts->object, err);
    }
    if (status == RM_OK && parts->metadata) {
        status = set_metadata(state, packet, parts->metadata, err);
    }
    *ret_status = finish(status, packet, ret_packet);
    return true;
}

/* ---- pictures */

typedef struct plane_row {
    uint32_t fourcc;
    uint8_t planes;
    uint8_t pixel_bytes[3]; /* of one column of the plane */
    uint8_t halved[3];      /* 1: half as many columns and rows */
} plane_row;

static const plane_row plane_rows[] = {{RM_FOURCC_I420, 3, {1, 1, 1}, {0, 1, 1}},
                                       {RM_FOURCC_NV12, 2, {1, 2, 0}, {0, 1, 0}},
                                       {RM_FOURCC_RGB24, 1, {3, 0, 0}, {0}},
                                       {RM_FOURCC_RGBA, 1, {4, 0, 0}, {0}},
                                       {RM_FOURCC_GRAY8, 1, {1, 0, 0}, {0}}};

static const plane_row *find_planes(uint32_t fourcc)
{
    for (size_t i = 0; i < sizeof plane_rows / sizeof plane_rows[0]; i++) {
        if (plane_rows[i].fourcc == fourcc) {
            return &plane_rows[i];
        }
    }
    return NULL;
}

/* A picture and the memory of its planes. */
typedef struct picture {
    const plane_row *row;
    uint32_t width, height;
    PyObject *views; /* tuple of memoryviews; owned */
    struct {
        const uint8_t *data;
        uint64_t stride_bytes, row_bytes, rows;
    } plane[3];
} picture;

static void set_plane_size(picture *p, unsigned i)
{
    uint64_t half = p->row->halved[i];
    p->plane[i].rows = half ? (p->height + 1) / 2 : p->height;
    p->plane[i].row_bytes = (half ? (p->width + 1) / 2 : p->width) * p->row->pixel_bytes[i];
}

static uint64_t plane_bytes(const picture *p, unsigned i)
{
    return p->plane[i].stride_bytes * (p->plane[i].rows - 1) + p->plane[i].row_bytes;
}

static PyObject *plane_list(rmpy_state *state, rm_packet *packet, const plane_row *row)
{
    const rm_packet_header *header = &packet->header;
    picture p = {
        .row = row, .width = header->format.video.width, .height = header->format.video.height};
    PyObject *list = PyList_New(row->planes);
    for (unsigned i = 0; list && i < row->planes; i++) {
        set_plane_size(&p, i);
        p.plane[i].stride_bytes = header->instance.video.stride_bytes[i];
        rmpy_layout layout = {.data =
                                  (char *)packet->payload + header->instance.video.offset_bytes[i],
                              .dtype = RM_DTYPE_U8,
                              .ndim = 1,
                              .writable = rmpy_packet_is_writable(packet),
                              .shape = {(Py_ssize_t)plane_bytes(&p, i)},
                              .strides = {1}};
        PyObject *view = rmpy_view_new(state, packet, NULL, &layout);
        PyObject *memory = view ? PyMemoryView_FromObject(view) : NULL;
        Py_XDECREF(view);
        if (!memory) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, i, memory);
        }
    }
    return list;
}

PyObject *rmpy_video_to_python(rmpy_state *state, rm_packet *packet)
{
    static const char call[] = "(NIIs#NNN)";
    static const char dict[] = "{s:N,s:I,s:I,s:s#,s:N,s:N,s:N}";
    const rm_packet_header *header = &packet->header;
    const uint32_t *strides = header->instance.video.stride_bytes;
    const plane_row *row = find_planes(header->format.video.fourcc);
    rm_error err = RM_ERROR_INIT;
    char fourcc[4];
    memcpy(fourcc, &header->format.video.fourcc, sizeof fourcc);
    if (!row) {
        (void)rm_fail_as(&err, RM_CODE_PYTHON_VALUE, "a picture of fourcc %.4s has no Python form",
                         fourcc);
        return rmpy_raise(state, &err, NULL);
    }
    PyObject *stride_list = row->planes == 1 ? Py_BuildValue("[I]", strides[0])
                            : row->planes == 2
                                ? Py_BuildValue("[II]", strides[0], strides[1])
                                : Py_BuildValue("[III]", strides[0], strides[1], strides[2]);
    PyObject *planes = plane_list(state, packet, row), *pts = time_or_none(header->pts_ns);
    PyObject *metadata = rmpy_metadata_of(state, packet);
    uint32_t width = header->format.video.width, height = header->format.video.height;
    if (!state->video) {
        return Py_BuildValue(dict, "planes", planes, "width", width, "height", height, "fourcc",
                             fourcc, (Py_ssize_t)4, "pts_ns", pts, "strides", stride_list,
                             "metadata", metadata);
    }
    PyObject *args = Py_BuildValue(call, planes, width, height, fourcc, (Py_ssize_t)4, pts,
                                   stride_list, metadata);
    PyObject *result = args ? PyObject_CallObject(state->video, args) : NULL;
    Py_XDECREF(args);
    return result;
}

/* ---- pictures from Python */

/* Planes in one piece of memory, in order: the whole is lent. */
static bool is_one_piece(const picture *p, uint64_t *ret_bytes)
{
    for (unsigned i = 1; i < p->row->planes; i++) {
        const uint8_t *end = p->plane[i - 1].data + plane_bytes(p, i - 1);
        if (p->plane[i].data < end || p->plane[i].data - end >= GAP_MAX) {
            return false;
        }
    }
    unsigned last = p->row->planes - 1u;
    *ret_bytes = (uint64_t)(p->plane[last].data - p->plane[0].data) + plane_bytes(p, last);
    return *ret_bytes <= UINT32_MAX;
}

static rm_status copy_picture(rmpy_packet_maker maker, const picture *p, rm_packet **ret_packet,
                              rm_error *err)
{
    uint64_t offset[3] = {0}, stride[3] = {0}, bytes = 0;
    rm_packet *packet = NULL;
    for (unsigned i = 0; i < p->row->planes; i++) {
        offset[i] = bytes;
        stride[i] = (p->plane[i].row_bytes + 63) / 64 * 64;
        bytes += stride[i] * p->plane[i].rows;
    }
    rm_status status = bytes > UINT32_MAX
                           ? rm_fail(err, RM_ELIMIT, "a picture is over 4 GiB")
                           : rmpy_new_packet(maker, RM_KIND_VIDEO, bytes, &packet, err);
    if (status != RM_OK) {
        return status;
    }
    for (unsigned i = 0; i < p->row->planes; i++) {
        for (uint64_t y = 0; y < p->plane[i].rows; y++) {
            memcpy((uint8_t *)packet->payload + offset[i] + y * stride[i],
                   p->plane[i].data + y * p->plane[i].stride_bytes, p->plane[i].row_bytes);
        }
        packet->header.instance.video.offset_bytes[i] = (uint32_t)offset[i];
        packet->header.instance.video.stride_bytes[i] = (uint32_t)stride[i];
    }
    *ret_packet = packet;
    return RM_OK;
}

/* Takes the views. */
static rm_status picture_to_packet(rmpy_packet_maker maker, picture *p, rm_packet **ret_packet,
                                   rm_error *err)
{
    rm_packet *packet = NULL;
    rmpy_lent lent = {.data = p->plane[0].data};
    rm_status status;
    if (is_one_piece(p, &lent.bytes)) {
        rmpy_lend_object(&lent, p->views);
        status = rmpy_new_foreign(maker, &lent, RM_KIND_VIDEO, &packet, err);
        for (unsigned i = 0; status == RM_OK && i < p->row->planes; i++) {
            packet->header.instance.video.offset_bytes[i] =
                (uint32_t)(p->plane[i].data - p->plane[0].data);
            packet->header.instance.video.stride_bytes[i] = (uint32_t)p->plane[i].stride_bytes;
        }
    } else {
        status = copy_picture(maker, p, &packet, err);
        Py_DECREF(p->views);
    }
    if (status == RM_OK) {
        packet->header.format.video.fourcc = p->row->fourcc;
        packet->header.format.video.width = p->width;
        packet->header.format.video.height = p->height;
        packet->header.format.video.planes = p->row->planes;
        *ret_packet = packet;
    }
    return status;
}

/* Views of the planes, checked against what the picture needs. stride_bytes 0: rows are packed. */
static int take_planes(picture *p, PyObject *planes, const long long *stride_bytes)
{
    PyObject *items = PySequence_Tuple(planes);
    if (!items || PyTuple_GET_SIZE(items) < p->row->planes) {
        if (items) {
            PyErr_Format(PyExc_ValueError, "a picture has %zd planes, want %d",
                         PyTuple_GET_SIZE(items), p->row->planes);
        }
        Py_XDECREF(items);
        return -1;
    }
    p->views = PyTuple_New(p->row->planes);
    for (unsigned i = 0; p->views && i < p->row->planes; i++) {
        PyObject *view = PyMemoryView_FromObject(PyTuple_GET_ITEM(items, i));
        if (!view) {
            break;
        }
        PyTuple_SET_ITEM(p->views, i, view);
        const Py_buffer *buffer = PyMemoryView_GET_BUFFER(view);
        set_plane_size(p, i);
        p->plane[i].data = buffer->buf;
        p->plane[i].stride_bytes =
            stride_bytes[i] ? (uint64_t)stride_bytes[i] : p->plane[i].row_bytes;
        if (stride_bytes[i] < 0 || stride_bytes[i] > (long long)UINT32_MAX ||
            p->plane[i].stride_bytes < p->plane[i].row_bytes ||
            !PyBuffer_IsContiguous(buffer, 'C') || plane_bytes(p, i) > (uint64_t)buffer->len) {
            PyErr_Format(PyExc_ValueError,
                         "plane %u has %zd bytes and rows of %lld, want a "
                         "contiguous one of %llu bytes a row and %llu rows",
                         i, buffer->len, (long long)p->plane[i].stride_bytes,
                         (unsigned long long)p->plane[i].row_bytes,
                         (unsigned long long)p->plane[i].rows);
            break;
        }
    }
    Py_DECREF(items);
    if (PyErr_Occurred()) {
        Py_CLEAR(p->views);
        return -1;
    }
    return 0;
}

/* Width, height and fourcc, checked. */
static int take_size(picture *p, PyObject *object, uint32_t fourcc, const char *name)
{
    long long width = 0, height = 0;
    p->row = find_planes(fourcc);
    if (!p->row) {
        PyErr_Format(PyExc_ValueError,
                     "a picture's pixel format is '%s', want I420, NV12, RGB3, RGBA or GREY (PyAV: "
                     "yuv420p, nv12, rgb24, rgba, gray)",
                     name);
        return -1;
    }
    if (get_number(object, "width", &width) < 0 || get_number(object, "height", &height) < 0) {
        return -1;
    }
    if (width < 1 || width > 65536 || height < 1 || height > 65536) {
        PyErr_Format(PyExc_ValueError, "a picture is %lld x %lld, want 1 to 65536 each", width,
                     height);
        return -1;
    }
    p->width = (uint32_t)width;
    p->height = (uint32_t)height;
    return 0;
}

/* The attribute `strides`, a sequence or None: zeros. */
static int take_strides(PyObject *object, long long *ret_strides)
{
    PyObject *strides = rmpy_get(object, "strides");
    PyObject *items = strides && strides != Py_None ? PySequence_Tuple(strides) : NULL;
    for (Py_ssize_t i = 0; items && i < PyTuple_GET_SIZE(items) && i < 3; i++) {
        ret_strides[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(items, i));
    }
    Py_XDECREF(items);
    Py_XDECREF(strides);
    return PyErr_Occurred() ? -1 : 0;
}

static rm_status video_to_packet(rmpy_state *state, rmpy_packet_maker maker, PyObject *video,
                                 rm_packet **ret_packet, rm_error *err)
{
    picture p = {.row = NULL};
    long long strides[3] = {0};
    char name[8] = "";
    uint32_t fourcc = 0;
    rm_packet *packet = NULL;
    if (get_text(video, "fourcc", name, sizeof name) < 0) {
        return rmpy_fail_exception(err);
    }
    memcpy(&fourcc, name, sizeof fourcc);
    PyObject *planes = take_size(&p, video, strlen(name) == 4 ? fourcc : 0, name) < 0 ||
                               take_strides(video, strides) < 0
                           ? NULL
                           : rmpy_get(video, "planes");
    int failed = !planes || take_planes(&p, planes, strides) < 0;
    Py_XDECREF(planes);
    if (failed) {
        return rmpy_fail_exception(err);
    }
    rm_status status = picture_to_packet(maker, &p, &packet, err);
    if (status == RM_OK) {
        status = copy_times(state, packet, video, err);
    }
    return finish(status, packet, ret_packet);
}

/* ---- PyAV frames */

/* pts × time_base in ns; RM_TIME_NONE where either is missing. */
static int pyav_time(PyObject *frame, int64_t *ret_pts_ns)
{
    long long pts = 0, numerator = 0, denominator = 0;
    *ret_pts_ns = RM_TIME_NONE;
    int found = get_number(frame, "pts", &pts);
    PyObject *base = found > 0 ? rmpy_get(frame, "time_base") : NULL;
    if (base && base != Py_None && get_number(base, "numerator", &numerator) > 0 &&
        get_number(base, "denominator", &denominator) > 0 && denominator > 0) {
        *ret_pts_ns = (int64_t)((__int128)pts * numerator * 1000000000 / denominator);
    }
    Py_XDECREF(base);
    return PyErr_Occurred() ? -1 : 0;
}

static int pyav_format(PyObject *frame, char *buffer, size_t size)
{
    PyObject *format = rmpy_get(frame, "format");
    int result = format ? get_text(format, "name", buffer, size) : -1;
    Py_XDECREF(format);
    return result;
}

/* The sample format of that name; RM_SAMPLE_NONE: a packet cannot hold it. */
static uint8_t pyav_sample_format(const char *name, bool *ret_planar)
{
    static const struct {
        const char *name;
        uint8_t format;
    } rows[] = {{"u8", RM_SAMPLE_U8},
                {"s16", RM_SAMPLE_S16},
                {"s32", RM_SAMPLE_S32},
                {"flt", RM_SAMPLE_F32},
                {"dbl", RM_SAMPLE_F64}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t length = strlen(rows[i].name);
        if (strncmp(name, rows[i].name, length) == 0) {
            *ret_planar = strcmp(name + length, "p") == 0;
            return *ret_planar || !name[length] ? rows[i].format : RM_SAMPLE_NONE;
        }
    }
    return RM_SAMPLE_NONE;
}

static bool is_within(long long value, long long min, long long max)
{
    return value >= min && value <= max;
}

static int pyav_audio_form(PyObject *frame, audio_form *form)
{
    char name[16];
    long long samples = 0, rate = 0, channels = 0;
    PyObject *layout = rmpy_get(frame, "layout");
    int failed = !layout || get_number(layout, "nb_channels", &channels) < 0 ||
                 get_number(frame, "samples", &samples) < 0 ||
                 get_number(frame, "sample_rate", &rate) < 0 ||
                 pyav_format(frame, name, sizeof name) < 0;
    Py_XDECREF(layout);
    if (failed) {
        return -1;
    }
    bool planar = false;
    form->sample_format = pyav_sample_format(name, &planar);
    if (!form->sample_format || !is_within(channels, 1, 1024) || !is_within(rate, 1, UINT32_MAX) ||
        !is_within(samples, 0, 1 << 28)) {
        PyErr_Format(PyExc_ValueError,
                     "an AudioFrame has format %s, %lld channels, %lld samples at "
                     "%lld Hz: not what a packet can hold",
                     name, channels, samples, rate);
        return -1;
    }
    form->planar = planar && channels > 1;
    form->channels = (uint16_t)channels;
    form->rate_hz = (uint32_t)rate;
    form->frames = (Py_ssize_t)samples;
    return 0;
}

/* Packed samples, or one channel, are lent; planes of their own are copied together. */
static rm_status pyav_planes(rmpy_packet_maker maker, PyObject *planes, audio_form *form,
                             rm_packet **ret_packet, rm_error *err)
{
    Py_ssize_t count = form->planar ? form->channels : 1;
    size_t bytes = (size_t)form->frames * rm_sample_format_bytes(form->sample_format) *
                   (form->planar ? 1 : form->channels);
    rmpy_lent lent = {.bytes = bytes};
    rm_packet *packet = NULL;
    rm_status status = RM_OK;
    if (PyTuple_GET_SIZE(planes) < count) {
        return rm_fail_as(err, RM_CODE_PYTHON_VALUE, "an AudioFrame has %zd planes, want %zd",
                          PyTuple_GET_SIZE(planes), count);
    }
    form->stride_bytes = form->planar ? (uint32_t)bytes : 0;
    if (form->planar) {
        status = rmpy_new_packet(maker, RM_KIND_AUDIO, bytes * (size_t)count, &packet, err);
    }
    for (Py_ssize_t i = 0; status == RM_OK && i < count; i++) {
        rmpy_buffer *buffer = rmpy_buffer_new(PyTuple_GET_ITEM(planes, i));
        const Py_buffer *view = buffer ? rmpy_buffer_view(buffer) : NULL;
        if (!view || (size_t)view->len < bytes) {
            status = buffer ? rm_fail_as(err, RM_CODE_PYTHON_VALUE,
                                         "a plane of an AudioFrame has "
                                         "%zd bytes, want %zu",
                                         view->len, bytes)
                            : rmpy_fail_exception(err);
        } else if (form->planar) {
            memcpy((char *)packet->payload + (size_t)i * bytes, view->buf, bytes);
        } else {
            lent.data = view->buf;
            rmpy_lend_buffer(&lent, buffer);
            buffer = NULL;
            status = rmpy_new_foreign(maker, &lent, RM_KIND_AUDIO, &packet, err);
        }
        if (buffer) {
            rmpy_buffer_release(buffer);
        }
    }
    if (status == RM_OK) {
        fill_audio(packet, form);
    }
    return finish(status, packet, ret_packet);
}

static rm_status pyav_audio(rmpy_packet_maker maker, PyObject *frame, rm_packet **ret_packet,
                            rm_error *err)
{
    audio_form form = {.planar = 0};
    int64_t pts_ns;
    PyObject *planes = pyav_audio_form(frame, &form) < 0 || pyav_time(frame, &pts_ns) < 0
                           ? NULL
                           : rmpy_get(frame, "planes");
    PyObject *items = planes ? PySequence_Tuple(planes) : NULL;
    Py_XDECREF(planes);
    if (!items) {
        return rmpy_fail_exception(err);
    }
    rm_status status = pyav_planes(maker, items, &form, ret_packet, err);
    Py_DECREF(items);
    if (status == RM_OK) {
        (*ret_packet)->header.pts_ns = pts_ns;
    }
    return status;
}

static uint32_t pyav_fourcc(const char *name, uint8_t *ret_range)
{
    static const struct {
        const char *name;
        uint32_t fourcc;
        uint8_t range;
    } rows[] = {{"yuv420p", RM_FOURCC_I420, 0}, {"yuvj420p", RM_FOURCC_I420, 2},
                {"nv12", RM_FOURCC_NV12, 0},    {"rgb24", RM_FOURCC_RGB24, 0},
                {"rgba", RM_FOURCC_RGBA, 0},    {"gray", RM_FOURCC_GRAY8, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *ret_range = rows[i].range;
            return rows[i].fourcc;
        }
    }
    return 0;
}

/* libav's numbers for range and matrix are those of H.273 and of the packet header. */
static int pyav_color(PyObject *frame, rm_packet *packet, uint8_t range)
{
    long long matrix = 0, own_range = 0;
    if (get_optional_number(frame, "colorspace", &matrix) < 0 ||
        get_optional_number(frame, "color_range", &own_range) < 0) {
        return -1;
    }
    packet->header.format.video.matrix = matrix > 0 && matrix < 256 ? (uint8_t)matrix : 0;
    packet->header.format.video.range =
        own_range == 1 || own_range == 2 ? (uint8_t)own_range : range;
    return 0;
}

static int pyav_strides(PyObject *planes, unsigned count, long long *ret_strides)
{
    for (unsigned i = 0; i < count; i++) {
        PyObject *plane = PySequence_GetItem(planes, i);
        int found = plane ? get_number(plane, "line_size", &ret_strides[i]) : -1;
        Py_XDECREF(plane);
        if (found < 0) {
            return -1;
        }
    }
    return 0;
}

static rm_status pyav_video(rmpy_packet_maker maker, PyObject *frame, rm_packet **ret_packet,
                            rm_error *err)
{
    picture p = {.row = NULL};
    long long strides[3] = {0};
    char name[24] = "";
    uint8_t range = 0;
    int64_t pts_ns;
    rm_packet *packet = NULL;
    PyObject *planes = pyav_format(frame, name, sizeof name) < 0 ||
                               take_size(&p, frame, pyav_fourcc(name, &range), name) < 0 ||
                               pyav_time(frame, &pts_ns) < 0
                           ? NULL
                           : rmpy_get(frame, "planes");
    int failed = !planes || pyav_strides(planes, p.row->planes, strides) < 0 ||
                 take_planes(&p, planes, strides) < 0;
    Py_XDECREF(planes);
    if (failed) {
        return rmpy_fail_exception(err);
    }
    rm_status status = picture_to_packet(maker, &p, &packet, err);
    if (status == RM_OK) {
        packet->header.pts_ns = pts_ns;
        status = pyav_color(frame, packet, range) < 0 ? rmpy_fail_exception(err) : RM_OK;
    }
    return finish(status, packet, ret_packet);
}

/* ---- which of these a value is */

/* PyAV's classes by name, so that nothing is imported. */
static bool is_a(PyObject *value, const char *name)
{
    for (PyTypeObject *type = Py_TYPE(value); type; type = type->tp_base) {
        if (strcmp(type->tp_name, name) == 0) {
            return true;
        }
    }
    return false;
}

bool rmpy_media_to_packet(rmpy_state *state, rmpy_packet_maker maker, PyObject *value,
                          rm_packet **ret_packet, rm_status *ret_status, rm_error *err)
{
    audio_parts parts;
    if (audio_parts_of(state, value, &parts)) {
        return audio_to_packet(state, maker, &parts, ret_packet, ret_status, err);
    }
    if (state->video && PyType_Check(state->video) &&
        PyObject_TypeCheck(value, (PyTypeObject *)state->video)) {
        *ret_status = video_to_packet(state, maker, value, ret_packet, err);
        return true;
    }
    if (is_a(value, "av.audio.frame.AudioFrame")) {
        *ret_status = pyav_audio(maker, value, ret_packet, err);
        return true;
    }
    if (is_a(value, "av.video.frame.VideoFrame")) {
        *ret_status = pyav_video(maker, value, ret_packet, err);
        return true;
    }
    return false;
}
