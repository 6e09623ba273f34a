/* Runs packed networks (*.onebit) from C: load, run, free. C99, and C++.
 *
 *     onebit_model* model = NULL;
 *     if (onebit_load("digits.onebit", NULL, &model) != ONEBIT_OK) { puts(onebit_error()); return 1; }
 *     float pixels[64] = {0}, scores[10];
 *     onebit_array x = {pixels, sizeof pixels, ONEBIT_FLOAT32, 4, {1, 1, 8, 8}};
 *     onebit_array y = {scores, sizeof scores, ONEBIT_FLOAT32, 0, {0}};
 *     if (onebit_run(model, &x, 1, &y, 1) != ONEBIT_OK) puts(onebit_error());
 *     onebit_free(model);
 *
 * Arrays are dense, the last axis fastest (C order). The outputs are the same bits on every processor, for every instruction
 * set and number of threads; what each kind of node computes is defined in docs/kinds.md.
 *
 * Errors. A function that can fail returns an onebit_status, or NULL where it returns a pointer; onebit_error() then has one
 * sentence that names the argument, what came and what is allowed. No call ends the process or throws. A null pointer, a size
 * that does not fit and a damaged file are errors; a pointer to freed memory is not noticed.
 *
 * Threads. Different models can be used by different threads at once. Calls on one model wait for each other, so sharing one is
 * safe too, but onebit_free must be the last call on it. A model loaded with several threads does not work in a child made by
 * fork(): load it there.
 *
 * Memory. Every array belongs to the caller, who may release it as soon as the call returns. What a function returns a pointer
 * to belongs to the model and lives until onebit_free. A run with shapes that have run before allocates nothing (the plans of
 * the last 8 tuples of shapes are kept).
 */
#ifndef ONEBIT_H
#define ONEBIT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __GNUC__
#define ONEBIT_API __attribute__((visibility("default")))
#else
#define ONEBIT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t onebit_status;
enum {
    ONEBIT_OK = 0,
    ONEBIT_BAD_ARGUMENT = 1, /* an argument, a shape or a value in an input does not fit */
    ONEBIT_BAD_FILE = 2,     /* these bytes are no packed network */
    ONEBIT_NO_FILE = 3,      /* the file cannot be read */
    ONEBIT_NO_MEMORY = 4,    /* the system has none left, or max_memory allows less than is needed */
    ONEBIT_FAILED = 5        /* the system refused something else, such as a thread */
};

typedef int32_t onebit_dtype;
enum {
    ONEBIT_ANY = 0, /* of an output before a run: whatever the network gives */
    ONEBIT_FLOAT32 = 1,
    ONEBIT_INT8 = 2,
    ONEBIT_UINT8 = 3,
    ONEBIT_INT32 = 4,
    ONEBIT_INT64 = 5,
    ONEBIT_BOOL = 6, /* a byte, 0 or 1 */
    ONEBIT_BIT = 7   /* a signed byte, -1 or +1 */
};

#define ONEBIT_MAX_RANK 8

typedef struct onebit_model onebit_model;

/* How a model runs. Begin with ONEBIT_DEFAULTS and set what you need; a field of 0 is the default. `size` lets a program and a
 * library of different ages work together: fields are only ever added at the end, and a library that does not know a field
 * that is set says so. */
typedef struct onebit_options {
    size_t size;         /* sizeof(onebit_options) */
    int32_t threads;     /* of a run, 1..1024, the caller's included; 0: 1 */
    int32_t reserved;    /* 0 */
    const char* isa;     /* one of onebit_isa_name; NULL: the environment variable ONEBIT_ISA, else the fastest */
    uint64_t max_memory; /* bytes that a run may take, checked before anything is allocated; 0: no limit */
} onebit_options;
#define ONEBIT_DEFAULTS {sizeof(onebit_options), 0, 0, NULL, 0}

/* An input, output or state of a model. */
typedef struct onebit_port {
    const char* name;
    onebit_dtype dtype;
    int32_t rank;                         /* number of axes, 0..ONEBIT_MAX_RANK */
    int64_t shape[ONEBIT_MAX_RANK];       /* -1 where the size depends on what goes in */
    const char* symbols[ONEBIT_MAX_RANK]; /* there: its symbol, such as "batch" or "12*batch"; NULL elsewhere */
} onebit_port;

/* An array of the caller, aligned to its elements.
 *
 * As an input all of it is read, and `bytes` is exactly what dtype and shape take. `data` is not written to.
 * As an output `data` and `bytes` are read: where the result goes, and how much room is there (more than needed is fine);
 * dtype is ONEBIT_ANY or what is expected. A call that succeeds sets dtype, rank and shape. An output may share memory with
 * an input; outputs must not share memory with each other. `data` may be NULL where there is no element. */
typedef struct onebit_array {
    void* data;
    size_t bytes;
    onebit_dtype dtype;
    int32_t rank;
    int64_t shape[ONEBIT_MAX_RANK];
} onebit_array;

/* The version of the library, "0.1.0". */
ONEBIT_API const char* onebit_version(void);

/* The sentence of the last call that failed on this thread, UTF-8; "" when none has. The next call that fails on this thread
 * overwrites it. Never NULL. */
ONEBIT_API const char* onebit_error(void);

/* The instruction sets that this processor has, fastest first: "avx512vpopcnt", "avx512bw", "avx2", "portable".
 * NULL from the first index on that has none; the last one is "portable". */
ONEBIT_API const char* onebit_isa_name(size_t index);

/* Loads a packed network from a file, or from memory that may be released afterwards. Whatever the file holds, the memory taken
 * is bounded by a small multiple of its size.
 *
 * options: NULL for the defaults.
 * model:   set to the model, which the caller gives back with onebit_free; to NULL on an error.
 * Errors: ONEBIT_NO_FILE, ONEBIT_BAD_FILE, ONEBIT_BAD_ARGUMENT, ONEBIT_NO_MEMORY, ONEBIT_FAILED. */
ONEBIT_API onebit_status onebit_load(const char* path, const onebit_options* options, onebit_model** model);
ONEBIT_API onebit_status onebit_load_memory(const void* data, size_t bytes, const onebit_options* options, onebit_model** model);

/* Ends a model and its threads. NULL is allowed and does nothing. */
ONEBIT_API void onebit_free(onebit_model* model);

/* How many inputs, outputs and states the model has (0 for NULL), and what each is; NULL where there is none of that index. */
ONEBIT_API size_t onebit_input_count(const onebit_model* model);
ONEBIT_API size_t onebit_output_count(const onebit_model* model);
ONEBIT_API size_t onebit_state_count(const onebit_model* model);
ONEBIT_API const onebit_port* onebit_input(const onebit_model* model, size_t index);
ONEBIT_API const onebit_port* onebit_output(const onebit_model* model, size_t index);
ONEBIT_API const onebit_port* onebit_state(const onebit_model* model, size_t index);

/* The instruction set that the model runs on. NULL only for a NULL model. */
ONEBIT_API const char* onebit_isa(const onebit_model* model);

/* What the file says about the network, where it does: the name of a class (NULL from the first index on that has none), and
 * mean and standard deviation of each channel of the images it was trained on. An input is then, in float32,
 * (byte / 255 - mean[c]) / std[c]. Both arrays have onebit_channel_count entries; NULL when that is 0. */
ONEBIT_API const char* onebit_class_name(const onebit_model* model, size_t index);
ONEBIT_API size_t onebit_channel_count(const onebit_model* model);
ONEBIT_API const float* onebit_mean(const onebit_model* model);
ONEBIT_API const float* onebit_std(const onebit_model* model);

/* For inputs of these shapes (their `data` and `bytes` are not looked at), before any buffer exists: sets dtype, rank and shape
 * of every output, and `bytes` to what its buffer must hold.
 *
 * memory: set to the bytes that such a run takes, the buffers of the outputs included; may be NULL. What belongs to the model
 *         is allocated here and kept, so the first run allocates nothing more.
 * Errors: ONEBIT_BAD_ARGUMENT, ONEBIT_NO_MEMORY. */
ONEBIT_API onebit_status onebit_prepare(onebit_model* model, const onebit_array* inputs, size_t input_count, onebit_array* outputs,
                                        size_t output_count, uint64_t* memory);

/* One run: reads the inputs, writes the outputs, and moves the states on.
 *
 * inputs, outputs: one array for each input and output of the model, in its order.
 * Errors: ONEBIT_BAD_ARGUMENT, ONEBIT_NO_MEMORY. The states are then as before; the outputs may hold anything. */
ONEBIT_API onebit_status onebit_run(onebit_model* model, const onebit_array* inputs, size_t input_count, onebit_array* outputs,
                                    size_t output_count);

/* A copy of a state, into or from `bytes` bytes of the caller: exactly what its dtype and shape take.
 * Errors: ONEBIT_BAD_ARGUMENT. */
ONEBIT_API onebit_status onebit_get_state(onebit_model* model, size_t index, void* data, size_t bytes);
ONEBIT_API onebit_status onebit_set_state(onebit_model* model, size_t index, const void* data, size_t bytes);

/* Puts all states back to what the file says. Errors: ONEBIT_BAD_ARGUMENT for a NULL model. */
ONEBIT_API onebit_status onebit_reset(onebit_model* model);

#ifdef __cplusplus
}
#endif

#endif
