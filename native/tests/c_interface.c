/* Uses the C interface as a program would: many threads with models of their own, many threads with one model, and every kind of
 * misuse. Built with sanitizers by `make sanitize`.
 *
 *     c_interface FILE...
 *
 * Exit status 0: every run gave the same bits and every misuse an error. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onebit.h"

#define THREADS 4
#define MOST 16 /* inputs or outputs of a file */

static int complaints = 0;
static pthread_mutex_t printing = PTHREAD_MUTEX_INITIALIZER;

static void complain(const char* where, const char* what) {
    pthread_mutex_lock(&printing);
    printf("%s: %s (%s)\n", where, what, onebit_error());
    ++complaints;
    pthread_mutex_unlock(&printing);
}

static void* grab(size_t bytes) {
    void* p = malloc(bytes == 0 ? 1 : bytes);
    if (p == NULL) exit(3);
    return p;
}

static size_t element_bytes(onebit_dtype dtype) {
    return dtype == ONEBIT_INT64 ? 8 : dtype == ONEBIT_FLOAT32 || dtype == ONEBIT_INT32 ? 4 : 1;
}

/* An array for a port with every symbol of this size, filled with small values that repeat from run to run. */
static onebit_array make_input(const onebit_port* port, int64_t size) {
    onebit_array array = {NULL, 0, ONEBIT_ANY, 0, {0}};
    size_t count = 1, i;
    int axis;
    array.dtype = port->dtype;
    array.rank = port->rank;
    for (axis = 0; axis < port->rank; ++axis) {
        const char* symbol = port->symbols[axis];
        int64_t coefficient = symbol != NULL && symbol[0] >= '0' && symbol[0] <= '9' ? strtoll(symbol, NULL, 10) : 1;
        array.shape[axis] = symbol == NULL ? port->shape[axis] : coefficient * size;
        count *= (size_t)array.shape[axis];
    }
    array.bytes = count * element_bytes(port->dtype);
    array.data = grab(array.bytes);
    for (i = 0; i < count; ++i) {
        int value = (int)(i * 7 + i / 5 * 3) % 11;
        switch (port->dtype) {
            case ONEBIT_FLOAT32: ((float*)array.data)[i] = (float)(value - 5) / 3.0f; break;
            case ONEBIT_INT32: ((int32_t*)array.data)[i] = value % 7; break;
            case ONEBIT_INT64: ((int64_t*)array.data)[i] = value % 7; break;
            case ONEBIT_BOOL: ((uint8_t*)array.data)[i] = (uint8_t)(value % 2); break;
            case ONEBIT_BIT: ((int8_t*)array.data)[i] = (int8_t)(value % 2 == 0 ? 1 : -1); break;
            default: ((uint8_t*)array.data)[i] = (uint8_t)value; break;
        }
    }
    return array;
}

/* What one run gives; count < 0: the network does not take this size. */
typedef struct {
    int count;
    onebit_array outputs[MOST];
} Result;

static void release(onebit_array* arrays, int count) {
    int i;
    for (i = 0; i < count; ++i) free(arrays[i].data);
}

static Result run(onebit_model* model, int64_t size, const char* where) {
    onebit_array inputs[MOST];
    size_t in = onebit_input_count(model), out = onebit_output_count(model), i;
    uint64_t memory = 0;
    Result result;
    memset(&result, 0, sizeof result);
    result.count = -1;
    if (in > MOST || out > MOST) return result;
    for (i = 0; i < in; ++i) inputs[i] = make_input(onebit_input(model, i), size);
    if (onebit_prepare(model, inputs, in, result.outputs, out, &memory) == ONEBIT_OK) {
        result.count = (int)out;
        for (i = 0; i < out; ++i) result.outputs[i].data = grab(result.outputs[i].bytes);
        if (onebit_run(model, inputs, in, result.outputs, out) != ONEBIT_OK) {
            release(result.outputs, result.count);
            result.count = -1;
        }
    } else if (onebit_error()[0] == '\0') {
        complain(where, "an error without a sentence");
    }
    release(inputs, (int)in);
    return result;
}

static int same(const onebit_array* a, const onebit_array* b) {
    size_t i;
    if (a->dtype != b->dtype || a->rank != b->rank || a->bytes != b->bytes) return 0;
    if (memcmp(a->shape, b->shape, (size_t)a->rank * sizeof a->shape[0]) != 0) return 0;
    if (a->dtype != ONEBIT_FLOAT32) return memcmp(a->data, b->data, a->bytes) == 0;
    for (i = 0; i < a->bytes / 4; ++i) {
        const float *x = (const float*)a->data + i, *y = (const float*)b->data + i;
        if (memcmp(x, y, 4) != 0 && !(isnan(*x) && isnan(*y))) return 0;
    }
    return 1;
}

static void compare(Result found, const Result* expected, const char* where) {
    int i;
    if (found.count != expected->count) complain(where, "one run fails and the other does not");
    for (i = 0; i < found.count && i < expected->count; ++i)
        if (!same(&found.outputs[i], &expected->outputs[i])) complain(where, "outputs differ");
    release(found.outputs, found.count);
}

typedef struct {
    const char* path;
    unsigned char* bytes;
    size_t size;
    Result expected[2]; /* every symbol 1, 2 */
    onebit_model* shared;
} File;

static File* files;
static int file_count;

static void read_bytes(File* file) {
    FILE* stream = fopen(file->path, "rb");
    if (stream == NULL) exit(2);
    fseek(stream, 0, SEEK_END);
    file->size = (size_t)ftell(stream);
    rewind(stream);
    file->bytes = grab(file->size);
    if (fread(file->bytes, 1, file->size, stream) != file->size) exit(2);
    fclose(stream);
}

static void* work(void* argument) {
    int number = *(int*)argument, step, size;
    for (step = 0; step < file_count; ++step) {
        File* file = &files[(step + number * file_count / THREADS) % file_count];
        onebit_options options = ONEBIT_DEFAULTS;
        onebit_model* model = NULL;
        onebit_status status;
        options.threads = 1 + (step + number) % 2;
        status = number % 2 == 0 ? onebit_load(file->path, &options, &model)
                                 : onebit_load_memory(file->bytes, file->size, &options, &model);
        if (status != ONEBIT_OK) complain(file->path, "does not load on another thread");
        for (size = 1; size <= 2; ++size) {
            onebit_reset(model);
            compare(run(model, size, file->path), &file->expected[size - 1], file->path);
            if (file->shared != NULL) compare(run(file->shared, size, file->path), &file->expected[size - 1], file->path);
        }
        onebit_free(model);
    }
    return NULL;
}

/* One call that must be refused with this status and a sentence. */
#define REFUSED(wanted, call)                                                       \
    do {                                                                            \
        if ((call) != (wanted) || onebit_error()[0] == '\0') complain(#call, "is not refused as " #wanted); \
    } while (0)

static void misuse(const File* file) {
    onebit_options options = ONEBIT_DEFAULTS;
    onebit_model* model = (onebit_model*)&options;
    onebit_array inputs[MOST], outputs[MOST], wrong[MOST];
    size_t in, out, i, cut;

    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_load(NULL, NULL, &model));
    if (model != NULL) complain("onebit_load", "leaves the model as it was");
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_load(file->path, NULL, NULL));
    REFUSED(ONEBIT_NO_FILE, onebit_load("there/is/no/such.onebit", NULL, &model));
    REFUSED(ONEBIT_NO_FILE, onebit_load(".", NULL, &model));
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_load_memory(NULL, 8, NULL, &model));
    REFUSED(ONEBIT_BAD_FILE, onebit_load_memory("", 0, NULL, &model));
    for (cut = 0; cut < file->size; cut += 1 + file->size / 50)
        REFUSED(ONEBIT_BAD_FILE, onebit_load_memory(file->bytes, cut, NULL, &model));
    options.threads = -1;
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_load(file->path, &options, &model));
    options.threads = 1;
    options.isa = "sse9";
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_load(file->path, &options, &model));
    options.isa = NULL;
    options.reserved = 1;
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_load(file->path, &options, &model));
    options.reserved = 0;
    for (i = 0; i < sizeof options; ++i) {
        options.size = i;
        REFUSED(ONEBIT_BAD_ARGUMENT, onebit_load(file->path, &options, &model));
    }

    onebit_free(NULL);
    if (onebit_input(NULL, 0) != NULL || onebit_output(NULL, 0) != NULL || onebit_state(NULL, 0) != NULL ||
        onebit_input_count(NULL) + onebit_output_count(NULL) + onebit_state_count(NULL) + onebit_channel_count(NULL) != 0 ||
        onebit_isa(NULL) != NULL || onebit_class_name(NULL, 0) != NULL || onebit_mean(NULL) != NULL || onebit_std(NULL) != NULL)
        complain("NULL", "is taken for a model");
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_run(NULL, NULL, 0, NULL, 0));
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_prepare(NULL, NULL, 0, NULL, 0, NULL));
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_get_state(NULL, 0, NULL, 0));
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_set_state(NULL, 0, NULL, 0));
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_reset(NULL));

    if (onebit_load(file->path, NULL, &model) != ONEBIT_OK) {
        complain(file->path, "does not load");
        return;
    }
    in = onebit_input_count(model);
    out = onebit_output_count(model);
    if (onebit_input(model, in) != NULL || onebit_output(model, out) != NULL) complain(file->path, "has a port too many");
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_get_state(model, onebit_state_count(model), inputs, 4));
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_set_state(model, onebit_state_count(model), inputs, 4));
    for (i = 0; i < onebit_state_count(model); ++i) {
        REFUSED(ONEBIT_BAD_ARGUMENT, onebit_get_state(model, i, inputs, 0xffffffffu));
        REFUSED(ONEBIT_BAD_ARGUMENT, onebit_set_state(model, i, inputs, 0xffffffffu));
    }
    if (file->expected[0].count <= 0 || in == 0) {
        onebit_free(model);
        return;
    }
    for (i = 0; i < in; ++i) inputs[i] = make_input(onebit_input(model, i), 1);
    for (i = 0; i < out; ++i) {
        outputs[i] = file->expected[0].outputs[i];
        outputs[i].data = grab(outputs[i].bytes);
    }
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_run(model, NULL, in, outputs, out));
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_run(model, inputs, in, NULL, out));
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_run(model, inputs, in + 1, outputs, out));
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_run(model, inputs, in, outputs, out - 1));
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_prepare(model, NULL, in, outputs, out, NULL));
    REFUSED(ONEBIT_BAD_ARGUMENT, onebit_prepare(model, inputs, in, NULL, out, NULL));
    for (i = 0; i < in; ++i) {
#define WRONG_INPUT(field, value)                                                      \
    do {                                                                               \
        memcpy(wrong, inputs, in * sizeof inputs[0]);                                  \
        wrong[i].field = (value);                                                      \
        REFUSED(ONEBIT_BAD_ARGUMENT, onebit_run(model, wrong, in, outputs, out));      \
    } while (0)
        WRONG_INPUT(rank, -1);
        WRONG_INPUT(rank, ONEBIT_MAX_RANK + 1);
        WRONG_INPUT(rank, 0x7fffffff);
        WRONG_INPUT(dtype, ONEBIT_ANY);
        WRONG_INPUT(dtype, 99);
        WRONG_INPUT(bytes, inputs[i].bytes + 1);
        if (inputs[i].rank > 0) {
            WRONG_INPUT(rank, inputs[i].rank - 1);
            WRONG_INPUT(shape[0], -1);
            WRONG_INPUT(shape[0], INT64_MAX);
        }
        if (inputs[i].bytes > 0) WRONG_INPUT(data, NULL);
        if (inputs[i].bytes > 0 && element_bytes(inputs[i].dtype) > 1) WRONG_INPUT(data, (char*)inputs[i].data + 1);
        if (inputs[i].bytes > 0 && (inputs[i].dtype == ONEBIT_BIT || inputs[i].dtype == ONEBIT_BOOL)) {
            int8_t* data = inputs[i].data;
            int8_t kept = data[inputs[i].bytes - 1];
            data[inputs[i].bytes - 1] = 2;
            REFUSED(ONEBIT_BAD_ARGUMENT, onebit_run(model, inputs, in, outputs, out));
            data[inputs[i].bytes - 1] = kept;
        }
    }
    for (i = 0; i < out; ++i) {
#define WRONG_OUTPUT(field, value)                                                     \
    do {                                                                               \
        memcpy(wrong, outputs, out * sizeof outputs[0]);                               \
        wrong[i].field = (value);                                                      \
        REFUSED(ONEBIT_BAD_ARGUMENT, onebit_run(model, inputs, in, wrong, out));       \
    } while (0)
        WRONG_OUTPUT(dtype, outputs[i].dtype == ONEBIT_INT8 ? ONEBIT_FLOAT32 : ONEBIT_INT8);
        if (outputs[i].bytes > 0) WRONG_OUTPUT(bytes, outputs[i].bytes - 1);
        if (outputs[i].bytes > 0) WRONG_OUTPUT(data, NULL);
    }
    /* and after all that the model still works */
    compare(run(model, 1, file->path), &file->expected[0], file->path);
    release(inputs, (int)in);
    release(outputs, (int)out);
    onebit_free(model);
}

int main(int count, char** paths) {
    pthread_t threads[THREADS];
    int numbers[THREADS], i, size;
    if (count < 2) {
        puts("usage: c_interface FILE...");
        return 2;
    }
    file_count = count - 1;
    files = calloc((size_t)file_count, sizeof *files);
    if (files == NULL) return 3;
    for (i = 0; i < file_count; ++i) {
        File* file = &files[i];
        file->path = paths[i + 1];
        read_bytes(file);
        if (onebit_load(file->path, NULL, &file->shared) != ONEBIT_OK) complain(file->path, "does not load");
        for (size = 1; size <= 2; ++size) {
            onebit_reset(file->shared);
            file->expected[size - 1] = run(file->shared, size, file->path);
        }
        if (onebit_state_count(file->shared) != 0) { /* its runs depend on those before */
            onebit_free(file->shared);
            file->shared = NULL;
        }
    }
    for (i = 0; i < THREADS; ++i) {
        numbers[i] = i;
        if (pthread_create(&threads[i], NULL, work, &numbers[i]) != 0) return 3;
    }
    for (i = 0; i < THREADS; ++i) pthread_join(threads[i], NULL);
    for (i = 0; i < file_count; ++i) {
        misuse(&files[i]);
        for (size = 0; size < 2; ++size) release(files[i].expected[size].outputs, files[i].expected[size].count);
        onebit_free(files[i].shared);
        free(files[i].bytes);
    }
    free(files);
    printf("%d files on %d threads through the C interface, %d complaints\n", file_count, THREADS, complaints);
    return complaints == 0 ? 0 : 1;
}
