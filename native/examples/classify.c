/* Says what a picture shows: the class and how sure the network is of it.
 *
 *     cc -std=c99 classify.c -lonebit -lm -o classify
 *     ./classify digits.onebit digit.pgm            7 (98 %)
 *
 * The picture is a binary PGM (grey, "P5") or PPM (colour, "P6") with 8 bits a channel and the network's size. Exit status: 0,
 * or 2 with one sentence on what is wrong. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <onebit.h>

static int wrong(const char* sentence) {
    fprintf(stderr, "classify: %s\n", sentence);
    return 2;
}

/* The next number of a PNM header, -1 where there is none. A comment runs from # to the end of the line. */
static int read_number(FILE* file) {
    int number, c;
    while (fscanf(file, "%d", &number) != 1) {
        if (getc(file) != '#') return -1;
        while ((c = getc(file)) != '\n')
            if (c == EOF) return -1;
    }
    return number;
}

/* The picture as the network was trained on it, into x: (1, channels, height, width), (byte / 255 - mean) / std. */
static int read_picture(const char* path, const onebit_model* model, int channels, int height, int width, float* x) {
    const float *mean = onebit_mean(model), *std = onebit_std(model);
    FILE* file = fopen(path, "rb");
    int pixel, channel, byte = 0;
    if (file == NULL) return 0;
    if (getc(file) != 'P' || getc(file) != (channels == 1 ? '5' : '6') || read_number(file) != width || read_number(file) != height ||
        read_number(file) != 255 || getc(file) == EOF) {
        fclose(file);
        return 0;
    }
    for (pixel = 0; pixel < height * width; ++pixel)
        for (channel = 0; channel < channels; ++channel) {
            float value;
            if ((byte = getc(file)) == EOF) break;
            value = (float)byte / 255.0f;
            x[channel * height * width + pixel] = mean == NULL ? value : (value - mean[channel]) / std[channel];
        }
    fclose(file);
    return byte != EOF;
}

int main(int count, char** arguments) {
    onebit_model* model = NULL;
    const onebit_port* port;
    onebit_array x = {NULL, 0, ONEBIT_FLOAT32, 4, {1}}, y = {NULL, 0, ONEBIT_FLOAT32, 0, {0}};
    const float* scores;
    double sum = 0;
    int64_t classes, i, best = 0;
    int axis;

    if (count != 3) return wrong("usage: classify NETWORK.onebit PICTURE.pgm");
    if (onebit_load(arguments[1], NULL, &model) != ONEBIT_OK) return wrong(onebit_error());
    port = onebit_input(model, 0);
    if (onebit_input_count(model) != 1 || onebit_output_count(model) != 1 || port->dtype != ONEBIT_FLOAT32 || port->rank != 4 ||
        (port->shape[1] != 1 && port->shape[1] != 3) || port->shape[2] < 1 || port->shape[3] < 1 || port->shape[2] > 4096 ||
        port->shape[3] > 4096 || (onebit_channel_count(model) != 0 && onebit_channel_count(model) != (size_t)port->shape[1]))
        return wrong("the network does not take one picture and give one output");

    /* One picture: the input's shape with a batch of 1. */
    x.bytes = sizeof(float);
    for (axis = 1; axis < 4; ++axis) {
        x.shape[axis] = port->shape[axis];
        x.bytes *= (size_t)port->shape[axis];
    }
    x.data = malloc(x.bytes);
    if (x.data == NULL) return wrong("there is no memory left");
    if (!read_picture(arguments[2], model, (int)x.shape[1], (int)x.shape[2], (int)x.shape[3], x.data)) {
        fprintf(stderr, "classify: %s must be a binary %s picture of %d x %d with 8 bits a channel\n", arguments[2],
                x.shape[1] == 1 ? "PGM" : "PPM", (int)x.shape[3], (int)x.shape[2]);
        return 2;
    }

    /* How large is the output? Then room for it, and the run. */
    if (onebit_prepare(model, &x, 1, &y, 1, NULL) != ONEBIT_OK) return wrong(onebit_error());
    y.data = malloc(y.bytes);
    if (y.data == NULL) return wrong("there is no memory left");
    if (onebit_run(model, &x, 1, &y, 1) != ONEBIT_OK) return wrong(onebit_error());
    if (y.rank != 2 || y.shape[1] < 1) return wrong("the network's output is not one score for each class");

    scores = y.data;
    classes = y.shape[1];
    for (i = 1; i < classes; ++i)
        if (scores[i] > scores[best]) best = i;
    for (i = 0; i < classes; ++i) sum += exp((double)scores[i] - scores[best]);
    if (onebit_class_name(model, (size_t)best) != NULL)
        printf("%s", onebit_class_name(model, (size_t)best));
    else
        printf("%d", (int)best);
    printf(" (%.0f %%)\n", 100 / sum);

    free(x.data);
    free(y.data);
    onebit_free(model);
    return 0;
}
