/* On a computer: reads samples from standard input, and prints the outputs to each in a line. */
#include <stdio.h>

#include "digits.h"

int main(void)
{
    float x[DIGITS_INPUTS], y[DIGITS_OUTPUTS];
    for (int i = 0; scanf("%f", &x[i]) == 1; i = (i + 1) % DIGITS_INPUTS) {
        if (i == DIGITS_INPUTS - 1) {
            digits_predict(x, y);
            for (int j = 0; j < DIGITS_OUTPUTS; ++j) {
                printf("%.9g%c", (double)y[j], j == DIGITS_OUTPUTS - 1 ? '\n' : ' ');
            }
        }
    }
    return digits_self_test(); /* 0 if all is well */
}
