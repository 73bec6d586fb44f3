#!/bin/sh
# Builds main.c for two processors, in float and in int8, runs it in QEMU, and prints flash, RAM and instructions:
#     sh measure.sh FOLDER        FOLDER/float/digits.h and FOLDER/int8/digits.h, as microcontroller.py writes them
# Debian: apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm
set -eu
headers=$(cd "$1" && pwd)
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-std=c99 -Wall -Wextra -Werror -pedantic -Os -mthumb -ffunction-sections -fdata-sections"
link="-T board.ld -nostartfiles --specs=nano.specs -Wl,--gc-sections -lm"

build() { # KIND PROCESSOR... : makes $work/program.elf
    kind=$1
    shift
    arm-none-eabi-gcc $flags "$@" -I "$headers/$kind" main.c board.c $link -o "$work/program.elf"
}

run() { # MACHINE: prints what the program prints
    timeout 60 qemu-system-arm -M "$1" -nographic -monitor none -serial none -icount shift=0 \
        -semihosting-config enable=on,target=native -kernel "$work/program.elf" 2>&1
}

measure() { # NAME MACHINE PROCESSOR... : a line for each kind of header
    name=$1 machine=$2
    shift 2
    for kind in float int8; do
        build $kind "$@" -DCHECK
        run "$machine" >"$work/log"
        grep -q "self-test: 0$" "$work/log"
        build $kind "$@"
        run "$machine" | grep -q "digit: 6$"
        sizes=$(arm-none-eabi-size "$work/program.elf" | awk 'NR == 2 {print $1, $2, $3}')
        awk -v name="$name $kind" -v sizes="$sizes" '
            /^instructions/ {instructions = $2}
            /^stack/ {stack = $2}
            END {
                split(sizes, s, " ")
                printf "%-20s flash %6d   RAM %4d, with a stack of %3d   instructions %7d\n",
                    name, s[1] + s[2], s[2] + s[3] + stack, stack, instructions
            }' "$work/log"
    done
}

measure "Cortex-M4F" mps2-an386 -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16
measure "Cortex-M0+" microbit -mcpu=cortex-m0plus
