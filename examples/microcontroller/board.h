/* What a program needs of its board; board.c has it for QEMU's boards with Cortex-M. */
#ifndef BOARD_H
#define BOARD_H

void board_image(float *pixels);                  /* read 8 x 8 pixels from 0 to 1, as from a camera */
void board_print(const char *text, long number);  /* a line with both */
long board_instructions(void);                    /* since some moment, with QEMU's -icount shift=0 */
long board_stack(void);                           /* bytes of the stack that were ever in use */

#endif
