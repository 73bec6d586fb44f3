/* Writes the files beside it with the real FANN 2.2 (in Debian: libfann-dev), and what FANN makes of some inputs:

     gcc make.c -lfloatfann -lm -o make && ./make
     gcc -DDOUBLE make.c -ldoublefann -lm -o make && ./make

   FANN seeds rand() with noise when it makes a network; the srand below takes the place of libc's, so the files come
   out the same each time. */

#include <stdio.h>
#include <stdlib.h>
#ifdef DOUBLE
#include "doublefann.h"
#else
#include "floatfann.h"
#endif

#define ROWS 6

void srand(unsigned seed) { (void)seed; }

static struct fann *create(float rate, unsigned inputs, unsigned hidden, unsigned outputs) {
    struct fann *net = fann_create_sparse(rate, 3, inputs, hidden, outputs);
    fann_randomize_weights(net, -2, 2);
    return net;
}

/* Save a network; read it back, as scaling is written with six decimals only; run it. */
static void save(struct fann *net, const char *name, int scaled) {
    char path[64];
    fann_type x[16];
    snprintf(path, sizeof path, "%s.net", name);
    fann_save(net, path);
    net = fann_create_from_file(path);
    snprintf(path, sizeof path, "%s.csv", name);
    FILE *file = fopen(path, "w");
    for (int row = 0; row < ROWS; row++) {
        for (unsigned i = 0; i < fann_get_num_input(net); i++) {
            x[i] = (rand() / (fann_type)RAND_MAX - 0.5) * (scaled ? 200 : 4);
            fprintf(file, "%.17g,", (double)x[i]);
        }
        if (scaled)
            fann_scale_input(net, x);
        fann_type *y = fann_run(net, x);
        if (scaled)
            fann_descale_output(net, y);
        for (unsigned i = 0; i < fann_get_num_output(net); i++)
            fprintf(file, i ? ",%.17g" : "%.17g", (double)y[i]);
        fprintf(file, "\n");
    }
    fclose(file);
}

#ifndef DOUBLE
static struct fann_train_data *samples(unsigned inputs, unsigned outputs) {
    struct fann_train_data *data = fann_create_train(20, inputs, outputs);
    for (unsigned row = 0; row < 20; row++) {
        for (unsigned i = 0; i < inputs; i++)
            data->input[row][i] = (i + 1) * (rand() % 100) - 30.0;
        for (unsigned i = 0; i < outputs; i++)
            data->output[row][i] = rand() % 1000 / (i + 10.0);
    }
    return data;
}
#endif

int main(void) {
#ifdef DOUBLE
    fann_type corners[4][2] = {{-1, -1}, {-1, 1}, {1, -1}, {1, 1}};
    struct fann_train_data *xor = fann_create_train(4, 2, 1);
    for (int row = 0; row < 4; row++) {
        xor->input[row][0] = corners[row][0];
        xor->input[row][1] = corners[row][1];
        xor->output[row][0] = -corners[row][0] * corners[row][1];
    }
    struct fann *net = create(1, 2, 4, 1);
    fann_set_activation_function_hidden(net, FANN_SIGMOID_SYMMETRIC);
    fann_set_activation_function_output(net, FANN_SIGMOID_SYMMETRIC);
    fann_train_on_data(net, xor, 500, 0, 0.0001f);
    save(net, "xor_double", 0);
#else
    save(create(1, 3, 4, 2), "stepwise", 0); /* what a new network has */

    struct fann *net = fann_create_standard(4, 3, 5, 4, 2);
    fann_randomize_weights(net, -2, 2);
    fann_set_activation_function_layer(net, FANN_SIGMOID_SYMMETRIC, 1);
    fann_set_activation_function_layer(net, FANN_SIGMOID, 2);
    fann_set_activation_function_layer(net, FANN_LINEAR, 3);
    for (int layer = 1; layer < 4; layer++)
        for (int neuron = 0; neuron < 2; neuron++)
            fann_set_activation_steepness(net, 0.25 * (layer + neuron), layer, neuron);
    save(net, "steepness", 0);

    net = create(0.4f, 6, 5, 3);
    fann_set_activation_function_hidden(net, FANN_SIGMOID_SYMMETRIC);
    fann_set_activation_function_output(net, FANN_SIGMOID);
    save(net, "sparse", 0);

    net = create(1, 2, 4, 2);
    fann_set_activation_function_hidden(net, FANN_SIGMOID_SYMMETRIC);
    fann_set_activation_function_output(net, FANN_LINEAR);
    fann_set_scaling_params(net, samples(2, 2), -1, 1, -1, 1);
    save(net, "scaled", 1);
    fann_set_activation_function_output(net, FANN_SIGMOID);
    fann_set_scaling_params(net, samples(2, 2), -1, 1, 0, 1);
    save(net, "scaled_sigmoid", 1);

    net = create(1, 2, 3, 2);
    fann_set_activation_function_hidden(net, FANN_SIGMOID_SYMMETRIC);
    fann_set_activation_function_output(net, FANN_SIGMOID);
    fann_set_activation_steepness_hidden(net, 24);
    fann_set_activation_steepness_output(net, 24);
    save(net, "steepest", 0);

    net = create(1, 2, 3, 2);
    fann_randomize_weights(net, -20, 20);
    fann_set_activation_function_hidden(net, FANN_SIGMOID);
    fann_set_activation_function_output(net, FANN_LINEAR);
    fann_set_activation_steepness_output(net, 4);
    save(net, "cut", 0); /* at 150 / 4 */

    /* What the reader refuses. */
    fann_save(fann_create_shortcut(3, 2, 2, 1), "shortcut.net");
    net = create(1, 2, 2, 1);
    fann_set_activation_function_layer(net, FANN_GAUSSIAN, 1);
    fann_save(net, "gaussian.net");
    net = create(1, 2, 2, 1);
    fann_set_activation_function(net, FANN_SIGMOID, 1, 0);
    fann_set_activation_function(net, FANN_LINEAR, 1, 1);
    fann_save(net, "mixed.net");
    fann_save_to_fixed(net, "fixed.net");
#endif
    return 0;
}
