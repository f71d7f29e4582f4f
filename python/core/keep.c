/* What a Python node keeps in a checkpoint: what its save() gives, by the value model, and its
 * load() gets back in another process. Nothing is pickled.
 *
 *     state · (results that wait to go out, items put aside for a worker, its end, items so far) ·
 *     bytes of the state
 *
 * Asked between two calls. A node that is within an item is asked later (RM_EAGAIN). A source is
 * within one while it makes it; a generator's frame cannot be kept, so that of a source, and of a
 * node that is one generator for its whole stream, begins anew after load().
 */
#include "run.h"

#include <string.h>

/* The generator waits for the next item of its stream, and has had all others. */
static bool waits_for_item(const rmpy_runner *p)
{
    return p->is_streaming && p->wants_input && !p->item && !p->ended;
}

/* Something of it runs, or is about to. */
static bool runs(const rmpy_runner *p)
{
    bool flushes = p->flush_called || p->flush_wanted || (p->is_streaming && p->ended);
    return p->job || p->on_task || p->in_call || p->reset_wanted || p->in_reset || flushes;
}

static bool is_within_item(const rmpy_runner *p)
{
    if (runs(p) || p->taken || p->item || p->at_hand || p->handed) {
        return true;
    }
    if (p->outcome) {
        return !p->is_source || p->outcome != RM_DONE;
    }
    return waits_for_item(p) ? false : p->coro || ((p->gen || p->agen) && !p->is_source);
}

/* The result of a method of the node; NULL with an exception. */
static PyObject *call_method(rmpy_runner *p, PyObject *method, PyObject *argument, const char *name)
{
    PyObject *result = rmpy_call_sync(p, method, argument);
    if (result && PyCoro_CheckExact(result)) {
        PyObject *closed = rmpy_call(result, "close", NULL);
        Py_XDECREF(closed);
        Py_CLEAR(result);
        PyErr_Format(PyExc_TypeError, "%s() is a coroutine, want a plain function", name);
    }
    return result;
}

/* save() or load() of the node. NULL: it keeps nothing, or an exception. */
static PyObject *method_of(rmpy_runner *p, const char *name)
{
    PyObject *method = rmpy_get(p->object, name);
    if (!method && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    return method;
}

static PyObject *list_of(rmpy_ring *ring)
{
    PyObject *list = PyList_New((Py_ssize_t)ring->length);
    for (unsigned i = 0; list && i < ring->length; i++) {
        PyList_SET_ITEM(list, (Py_ssize_t)i, Py_NewRef(*rmpy_ring_at(ring, i)));
    }
    return list;
}

static PyObject *state_of(rmpy_runner *p)
{
    PyObject *save = method_of(p, "save");
    PyObject *state = save               ? call_method(p, save, NULL, "save")
                      : PyErr_Occurred() ? NULL
                                         : Py_NewRef(Py_None);
    Py_XDECREF(save);
    return state;
}

/* exact: items on their way come back as what they are; what save() gives is the node's matter.
 * Takes the value; NULL: an exception. */
static rm_status keep_value(rmpy_state *state, PyObject *takes_value, bool exact, rm_blob *blob,
                            uint64_t *ret_bytes, rm_error *err)
{
    rmpy_writer writer;
    rmpy_writer_init(&writer);
    writer.exact = exact;
    bool fits = takes_value && rmpy_pack(state, &writer, takes_value) == 0;
    rm_status status =
        fits ? rm_blob_append(blob, writer.data, writer.length) : rmpy_fail_exception(err);
    *ret_bytes = writer.length;
    rmpy_writer_fini(&writer);
    Py_XDECREF(takes_value);
    return status;
}

static rm_status keep_node(rmpy_runner *p, rm_blob *blob, rm_error *err)
{
    rmpy_state *state = p->session->state;
    uint64_t bytes, others;
    rm_status status = keep_value(state, state_of(p), false, blob, &bytes, err);
    if (status == RM_OK) {
        PyObject *items =
            Py_BuildValue("(NNOK)", list_of(&p->out), list_of(&p->queue),
                          p->outcome == RM_DONE ? Py_True : Py_False, (unsigned long long)p->items);
        status = keep_value(state, items, true, blob, &others, err);
        status =
            status < 0 && status != RM_ENOMEM ? RM_EAGAIN : status; /* once they have gone on */
    }
    return status == RM_OK ? rm_blob_append(blob, &bytes, sizeof bytes) : status;
}

/* On the thread that steps, between two calls. */
static rm_status node_checkpoint(rm_node *node, rm_blob *blob, rm_error *err)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    rmpy_runner *p = rmpy_runner_of(node);
    rm_status status = RM_EAGAIN;
    if (is_within_item(p)) {
        (void)rm_fail(err, RM_EFAIL, "it is within an item");
    } else {
        status = keep_node(p, blob, err);
    }
    PyGILState_Release(gil);
    return status;
}

static int fill(rmpy_ring *ring, PyObject *list, Py_ssize_t most)
{
    int failed = PyList_GET_SIZE(list) <= most ? 0 : -1;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list) && !failed; i++) {
        failed = rmpy_ring_push(ring, Py_NewRef(PyList_GET_ITEM(list, i)));
    }
    return failed;
}

static int load_state(rmpy_runner *p, PyObject *state)
{
    PyObject *load = method_of(p, "load");
    PyObject *answer = load ? call_method(p, load, state, "load") : NULL;
    Py_XDECREF(load);
    Py_XDECREF(answer);
    return PyErr_Occurred() ? -1 : 0;
}

static int give_items(rmpy_runner *p, PyObject *items)
{
    PyObject *out, *queue;
    int is_over;
    unsigned long long count;
    if (!PyTuple_Check(items) || !PyArg_ParseTuple(items, "O!O!pK", &PyList_Type, &out,
                                                   &PyList_Type, &queue, &is_over, &count)) {
        return -1;
    }
    if (fill(&p->out, out, RMPY_BATCH_MAX) < 0 || fill(&p->queue, queue, RMPY_BATCH_MAX - 1) < 0) {
        return -1; /* one more comes, see node_step() */
    }
    p->is_plain &= p->out.length == 0 && p->queue.length == 0;
    if (p->is_source) { /* its items are its starts */
        p->outcome = is_over ? RM_DONE : RM_OK;
    } else {
        p->items = count;
    }
    return 0;
}

static int give_back(rmpy_runner *p, const uint8_t *data, size_t bytes)
{
    uint64_t first = 0;
    if (bytes >= sizeof first) {
        bytes -= sizeof first;
        memcpy(&first, data + bytes, sizeof first);
    }
    rmpy_state *state = p->session->state;
    bool fits = bytes > 0 && first < bytes;
    PyObject *kept = fits ? rmpy_unpack(state, data, first) : NULL;
    PyObject *items = kept ? rmpy_unpack(state, data + first, bytes - first) : NULL;
    int failed = !items || load_state(p, kept) < 0 || give_items(p, items) < 0;
    Py_XDECREF(items);
    Py_XDECREF(kept);
    return failed ? -1 : 0;
}

static rm_status bad(rm_error *err)
{
    return PyErr_Occurred() ? rmpy_fail_exception(err)
                            : rm_fail(err, RM_EINVAL, "it is none of a Python node");
}

/* Nodes are opened without the GIL. */
static rm_status node_restore(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    rmpy_runner *p = rmpy_runner_of(node);
    rm_status status = RM_OK;
    if (p->fell_back) { /* load() comes after initialize() */
        status =
            rm_fail(err, RM_EUNSUPPORTED,
                    "it has fallen back to this machine, where it begins anew: it cannot go on "
                    "from a checkpoint");
    } else if (give_back(p, data, bytes) < 0) {
        status = bad(err);
    }
    PyGILState_Release(gil);
    return status;
}

void rmpy_node_type_keep(rm_node_type *type)
{
    type->checkpoint = node_checkpoint;
    type->restore = node_restore;
}

/* ---- what a program gives a run, and gets of it */

/* Both under the GIL. */
typedef rm_status (*keeper)(rmpy_runner *p, rm_blob *blob, rm_error *err);
typedef rm_status (*giver)(rmpy_runner *p, const void *data, size_t bytes, rm_error *err);

static rm_status misfit(const rmpy_runner *p, rm_error *err)
{
    PyErr_Clear();
    return rm_fail_as(err, RM_CODE_CHECKPOINT_BAD,
                      "the checkpoint does not fit: '%s' was %s a two-way session then", p->id,
                      p->queued ? "not of" : "of");
}

static const char *name_of_count(const rmpy_runner *p)
{
    return p->kind == RMPY_FEED ? "pushed" : "pulled";
}

/* What waits in the queue of push() or pull(), oldest first. */
static PyObject *list_waiting(rmpy_runner *p)
{
    bool is_feed = p->kind == RMPY_FEED;
    PyObject *first = list_of(is_feed ? &p->out : &p->queue);
    PyObject *rest = is_feed     ? list_of(&p->queue)
                     : p->object ? Py_NewRef(p->object)
                                 : PyList_New(0);
    PyObject *all = first && rest ? PySequence_Concat(first, rest) : NULL;
    Py_XDECREF(first);
    Py_XDECREF(rest);
    return all;
}

/* How many items each feed has got: of one that has ended the engine keeps nothing. */
static PyObject *list_pushed(const rmpy_session *s)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < s->runner_count; i++) {
        const rmpy_runner *p = s->runners[i];
        PyObject *count = p->kind == RMPY_FEED ? PyLong_FromSsize_t(p->next) : Py_NewRef(Py_None);
        int failed = count ? PyList_Append(list, count) : -1;
        Py_XDECREF(count);
        if (failed) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static int give_pushed_back(const rmpy_session *s, PyObject *list)
{
    for (size_t i = 0; i < s->runner_count && (Py_ssize_t)i < PyList_GET_SIZE(list); i++) {
        rmpy_runner *p = s->runners[i];
        if (p->kind == RMPY_FEED && p->queued) {
            p->next = PyLong_AsSsize_t(PyList_GET_ITEM(list, (Py_ssize_t)i));
        }
    }
    return PyErr_Occurred() ? -1 : 0;
}

/* (what is counted, how many so far, what waits, whether the end was announced, those of all feeds)
 */
static rm_status keep_queue(rmpy_runner *p, rm_blob *blob, rm_error *err)
{
    uint64_t bytes;
    PyObject *kept = Py_BuildValue("(snNON)", name_of_count(p), p->next, list_waiting(p),
                                   p->ended ? Py_True : Py_False, list_pushed(p->session));
    rm_status status = keep_value(p->session->state, kept, true, blob, &bytes, err);
    if (status != RM_OK) {
        rm_error_wrap(err, "what waits there");
    }
    return status;
}

static int fill_queue(rmpy_runner *p, PyObject *waiting)
{
    Py_ssize_t length = PyList_GET_SIZE(waiting);
    if (p->kind == RMPY_FEED || length <= RMPY_QUEUE_MAX) {
        return fill(&p->queue, waiting, RMPY_QUEUE_MAX + 1); /* one had found no memory */
    }
    PyObject *first = PyList_GetSlice(waiting, 0, RMPY_QUEUE_MAX);
    Py_XSETREF(p->object, PyList_GetSlice(waiting, RMPY_QUEUE_MAX, length));
    int failed = first && p->object ? fill(&p->queue, first, RMPY_QUEUE_MAX) : -1;
    Py_XDECREF(first);
    return failed;
}

static rm_status give_queue_back(rmpy_runner *p, const void *data, size_t bytes, rm_error *err)
{
    const char *name;
    Py_ssize_t count;
    PyObject *waiting, *pushed;
    int is_over;
    PyObject *kept = bytes ? rmpy_unpack(p->session->state, data, bytes) : NULL;
    bool fits = kept && PyTuple_Check(kept) &&
                PyArg_ParseTuple(kept, "snO!pO!", &name, &count, &PyList_Type, &waiting, &is_over,
                                 &PyList_Type, &pushed) &&
                strcmp(name, name_of_count(p)) == 0 && count >= 0;
    rm_status status = RM_OK;
    if (!fits) {
        status = misfit(p, err);
    } else if (fill_queue(p, waiting) < 0 || give_pushed_back(p->session, pushed) < 0) {
        status = bad(err);
    }
    if (status == RM_OK) {
        p->next = count;
        p->ended = is_over;
        p->wants = true; /* pull() finds out whether it is waited for */
        rm_node_ready(p->node);
    }
    Py_XDECREF(kept);
    return status;
}

static rm_status keep_feed(rmpy_runner *p, rm_blob *blob, rm_error *err)
{
    int64_t taken = p->next;
    return p->queued ? keep_queue(p, blob, err) : rm_blob_append(blob, &taken, sizeof taken);
}

static rm_status give_feed_back(rmpy_runner *p, const void *data, size_t bytes, rm_error *err)
{
    int64_t taken;
    if (p->queued) {
        return give_queue_back(p, data, bytes, err);
    }
    if (bytes != sizeof taken) {
        return misfit(p, err);
    }
    memcpy(&taken, data, sizeof taken);
    if (taken < 0 || (p->object && taken > Py_SIZE(p->object))) {
        return rm_fail_as(err, RM_CODE_CHECKPOINT_BAD,
                          "the checkpoint does not fit: %lld items of the input were taken, and it "
                          "has %lld",
                          (long long)taken, (long long)(p->object ? Py_SIZE(p->object) : 0));
    }
    p->next = (Py_ssize_t)taken;
    p->skip = p->object ? 0 : (uint64_t)taken;
    return RM_OK;
}

static rm_status keep_collect(rmpy_runner *p, rm_blob *blob, rm_error *err)
{
    uint64_t bytes;
    if (p->queued) {
        return keep_queue(p, blob, err);
    }
    return PyList_CheckExact(p->object)
               ? keep_value(p->session->state, Py_NewRef(p->object), true, blob, &bytes, err)
               : RM_OK;
}

static rm_status give_collect_back(rmpy_runner *p, const void *data, size_t bytes, rm_error *err)
{
    if (p->queued) {
        return give_queue_back(p, data, bytes, err);
    }
    PyObject *results = bytes ? rmpy_unpack(p->session->state, data, bytes) : PyList_New(0);
    rm_status status = RM_OK;
    if (!results || !PyList_CheckExact(results)) {
        status = misfit(p, err);
    } else if (PyList_CheckExact(p->object)) {
        Py_ssize_t end = PyList_GET_SIZE(p->object);
        status = PyList_SetSlice(p->object, end, end, results) == 0 ? RM_OK : bad(err);
    }
    Py_XDECREF(results);
    return status;
}

static rm_status keep_by(keeper keep, rm_node *node, rm_blob *blob, rm_error *err)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    rm_status status = keep(rmpy_runner_of(node), blob, err);
    PyGILState_Release(gil);
    return status;
}

static rm_status restore_by(giver give, rm_node *node, const void *data, size_t bytes,
                            rm_error *err)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    rm_status status = give(rmpy_runner_of(node), data, bytes, err);
    PyGILState_Release(gil);
    return status;
}

rm_status rmpy_feed_checkpoint(rm_node *node, rm_blob *blob, rm_error *err)
{
    return keep_by(keep_feed, node, blob, err);
}

rm_status rmpy_feed_restore(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    return restore_by(give_feed_back, node, data, bytes, err);
}

rm_status rmpy_collect_checkpoint(rm_node *node, rm_blob *blob, rm_error *err)
{
    return keep_by(keep_collect, node, blob, err);
}

rm_status rmpy_collect_restore(rm_node *node, const void *data, size_t bytes, rm_error *err)
{
    return restore_by(give_collect_back, node, data, bytes, err);
}

/* ---- objects on their way */

rm_status rmpy_pack_object(void *session, const rm_packet *packet, rm_blob *blob, rm_error *err)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    const rmpy_session *s = session;
    uint64_t bytes;
    PyObject *object = Py_NewRef((PyObject *)rm_packet_owner(packet));
    rm_status status = keep_value(s->state, object, true, blob, &bytes, err);
    PyGILState_Release(gil);
    return status;
}

rm_status rmpy_unpack_object(void *session, const void *data, size_t bytes, void **ret_owner,
                             void (**ret_release)(void *owner), rm_error *err)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    const rmpy_session *s = session;
    PyObject *object = rmpy_unpack(s->state, data, bytes);
    rm_status status = object ? RM_OK : rmpy_fail_exception(err);
    *ret_owner = object;
    *ret_release = rmpy_release;
    PyGILState_Release(gil);
    return status;
}
