/* A board for QEMU: mps2-an386 (Cortex-M4 with FPU) or microbit (Cortex-M0), which share this memory map. It
   starts the program, counts instructions and stack, and prints through the debugger (semihosting). */
#include "board.h"

#include <stdint.h>

int main(void);
void board_reset(void);

extern uint32_t data_in_flash[], data_start[], data_end[], bss_start[], bss_end[], stack_end[];

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)
#define CPACR (*(volatile uint32_t *)0xE000ED88u)

static const uint32_t PAINT = 0xA5A5A5A5u;

static long call_debugger(long operation, const void *argument)
{
    register long r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void fault(void)
{
    call_debugger(0x04, "fault\n");
    call_debugger(0x18, (const void *)0x20023); /* the program failed */
}

void board_reset(void)
{
    uint32_t *to, *from = data_in_flash, *here = (uint32_t *)__builtin_frame_address(0) - 16;
    for (to = data_start; to < data_end; ++to) {
        *to = *from++;
    }
    for (to = bss_start; to < bss_end; ++to) {
        *to = 0;
    }
    for (; to < here; ++to) {
        *to = PAINT;
    }
#ifdef __ARM_FP
    CPACR |= 0xFu << 20; /* switch the FPU on */
    __asm__ volatile("dsb\n isb");
#endif
    SYST_RVR = 0xFFFFFFu;
    SYST_CVR = 0;
    SYST_CSR = 5; /* count with the processor's clock */
    const int result = main();
    call_debugger(0x18, (const void *)(result == 0 ? 0x20026 : 0x20023));
    for (;;) {
    }
}

static const struct {
    uint32_t *stack;
    void (*handlers[15])(void);
} vectors __attribute__((section(".vectors"), used)) = {
    stack_end,
    {board_reset, fault, fault, fault, fault, fault},
};

long board_instructions(void)
{
    /* QEMU's clock runs a nanosecond an instruction: a tick of 25 MHz is 40, one of 16 MHz 62.5. */
#ifdef __ARM_FP
    return (long)(0xFFFFFFu - SYST_CVR) * 40;
#else
    return (long)(0xFFFFFFu - SYST_CVR) * 125 / 2;
#endif
}

long board_stack(void)
{
    const uint32_t *at = bss_end;
    while (*at == PAINT) {
        ++at;
    }
    return (long)((const char *)stack_end - (const char *)at);
}

void board_print(const char *text, long number)
{
    char digits[12], *at = digits + sizeof digits;
    unsigned long rest = number < 0 ? -(unsigned long)number : (unsigned long)number;
    *--at = '\0';
    do {
        *--at = (char)('0' + rest % 10);
    } while (rest /= 10);
    if (number < 0) {
        *--at = '-';
    }
    call_debugger(0x04, text);
    call_debugger(0x04, at);
    call_debugger(0x04, "\n");
}

void board_image(float *pixels)
{
    static const volatile uint8_t image[64] = {
        0, 0, 1, 13, 7, 0, 0, 0,
        0, 0, 7, 14, 2, 0, 0, 0,
        0, 0, 13, 5, 0, 0, 0, 0,
        0, 0, 16, 3, 0, 0, 0, 0,
        0, 3, 16, 10, 12, 12, 3, 0,
        0, 3, 16, 11, 5, 9, 12, 0,
        0, 1, 13, 11, 4, 13, 11, 0,
        0, 0, 1, 12, 16, 11, 2, 0,
    };
    for (int i = 0; i < 64; ++i) {
        pixels[i] = (float)image[i] * (1.0f / 16);
    }
}
