/* Reads an image and prints the digit in it. With -DCHECK it also tests the network and measures it. */
#include "board.h"
#include "digits.h"

int main(void)
{
    static float x[DIGITS_INPUTS], y[DIGITS_OUTPUTS];
#ifdef CHECK
    board_print("wrong outputs in the self-test: ", digits_self_test());
#endif
    board_image(x);
#ifdef CHECK
    const long start = board_instructions();
#endif
    digits_predict(x, y);
#ifdef CHECK
    board_print("instructions: ", board_instructions() - start);
    board_print("stack: ", board_stack());
#endif
    int digit = 0;
    for (int i = 1; i < DIGITS_OUTPUTS; ++i) {
        digit = y[i] > y[digit] ? i : digit;
    }
    board_print("digit: ", digit);
    return 0;
}
