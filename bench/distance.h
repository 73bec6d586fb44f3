/* How long a cache line takes from one CPU to another: `program CPU CPU` prints nanoseconds. Linux only.
   Compiled by distance.py; not called .c, as files of that name are taken for what Cython made. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 2000, TRIES = 20 };
static _Alignas(128) atomic_int turn; /* even: the first thread's, odd: the second's */
static int cpus[2];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void *bounce(void *number) {
    long me = (long)number;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpus[me], &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
    double best = 1;
    for (int try = 0, next = (int)me; try < TRIES; try++) {
        double start = now();
        for (int i = 0; i < ROUNDS; i++, next += 2) {
            while (atomic_load_explicit(&turn, memory_order_acquire) != next) continue;
            atomic_store_explicit(&turn, next + 1, memory_order_release);
        }
        double took = (now() - start) / (2 * ROUNDS);
        if (took < best) best = took; /* of the tries, so that an interrupt does not count */
    }
    if (me == 0) printf("%.4g\n", 1e9 * best);
    return 0;
}

int main(int count, char **words) {
    if (count != 3) return 2;
    for (int t = 0; t < 2; t++) cpus[t] = atoi(words[t + 1]);
    pthread_t pool[2];
    for (long t = 0; t < 2; t++) pthread_create(pool + t, 0, bounce, (void *)t);
    for (int t = 0; t < 2; t++) pthread_join(pool[t], 0);
    return 0;
}
