/* What the machine can do at best: `program peak THREADS`, `program read BYTES THREADS`; prints one number,
   operations or bytes a second. Compiled by limits.py, with -DREAL=float or double. */
#define _POSIX_C_SOURCE 200112L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef __AVX512F__
enum { BYTES = 64, ROWS = 6, COLUMNS = 4 }; /* 32 registers */
#elif defined(__AVX__)
enum { BYTES = 32, ROWS = 6, COLUMNS = 2 }; /* 16 registers */
#elif defined(__aarch64__)
enum { BYTES = 16, ROWS = 6, COLUMNS = 4 };
#else
enum { BYTES = 16, ROWS = 6, COLUMNS = 2 };
#endif
enum { LANES = BYTES / sizeof(REAL), DEPTH = 96, TRIES = 20 };
typedef REAL vector __attribute__((vector_size(BYTES)));

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* out += a b: the tile of a matrix product, from the first cache. */
static void tile(const REAL *a, const vector *b, vector *out) {
    vector sum[ROWS][COLUMNS] = {0};
    for (int k = 0; k < DEPTH; k++, a += ROWS, b += COLUMNS)
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 8
            for (int j = 0; j < COLUMNS; j++) sum[i][j] += a[i] * b[j];
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLUMNS; j++) out[i * COLUMNS + j] += sum[i][j];
}

static vector total(const vector *x, size_t count) {
    vector sum[8] = {0};
    for (size_t i = 0; i < count; i += 8)
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) sum[j] += x[i + j];
    return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

static pthread_barrier_t barrier;
static size_t bytes; /* 0: peak */
static long repeats;
static int threads;
static double unit, best; /* operations or bytes of one repeat; the highest rate */
static double begin[64], end[64]; /* of each thread's last try */
static volatile REAL sink;        /* so that no work is left out */

/* Keep the best try: from the first thread's begin to the last one's end. */
static void note(void) {
    double first = begin[0], last = end[0];
    for (int t = 1; t < threads; t++) {
        if (begin[t] < first) first = begin[t];
        if (end[t] > last) last = end[t];
    }
    double rate = unit * repeats * threads / (last - first);
    if (rate > best) best = rate;
}

static void *work(void *number) {
    long me = (long)number;
    size_t panel = ROWS * DEPTH * sizeof(REAL), vectors = COLUMNS * DEPTH + ROWS * COLUMNS;
    size_t need = bytes ? bytes : panel + vectors * BYTES;
    vector *x = aligned_alloc(4096, (need + 4095) / 4096 * 4096), sum = {0};
    memset(x, 0, need);
    vector *out = x + COLUMNS * DEPTH;
    for (int try = 0; try < TRIES; try++) {
        pthread_barrier_wait(&barrier);
        begin[me] = now();
        for (long i = 0; i < repeats; i++) {
            if (bytes) sum += total(x, bytes / BYTES);
            else tile((REAL *)(out + ROWS * COLUMNS), x, out);
            __asm__ volatile("" ::: "memory");
        }
        end[me] = now();
        pthread_barrier_wait(&barrier);
        if (me == 0) note();
    }
    sink = sum[0] + x[0][0];
    free(x);
    return 0;
}

int main(int count, char **words) {
    int reading = count == 4 && !strcmp(words[1], "read");
    if (!reading && !(count == 3 && !strcmp(words[1], "peak"))) return 2;
    threads = atoi(words[count - 1]);
    bytes = reading ? strtoull(words[2], 0, 10) / (8 * BYTES) * (8 * BYTES) : 0;
    unit = reading ? (double)bytes : 2.0 * ROWS * COLUMNS * LANES * DEPTH;
    repeats = 1 + (long)(5e8 / unit); /* some milliseconds: one of the tries is undisturbed */
    pthread_t pool[64];
    if (threads < 1 || threads > 64 || pthread_barrier_init(&barrier, 0, threads)) return 2;
    for (long t = 0; t < threads; t++) pthread_create(pool + t, 0, work, (void *)t);
    for (int t = 0; t < threads; t++) pthread_join(pool[t], 0);
    printf("%.6g\n", best);
    return 0;
}
