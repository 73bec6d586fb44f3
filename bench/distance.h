/* How long a cache line takes from one CPU to another, and how many times as long sums take while the other CPU makes some:
   `program CPU CPU` prints nanoseconds, and about 1, or 2 where both are one core. Linux only.
   Compiled by distance.py; not called .c, as files of that name are taken for what Cython made. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 2000, TRIES = 20, SUMS = 20000, CHAINS = 12 };
static _Alignas(128) atomic_int turn; /* even: the first thread's, odd: the second's */
static int cpus[2];
static pthread_barrier_t both;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* Seconds for as many chains of sums as keep a core busy; one by one, so that the compiler makes no vectors of them. */
static double sums(void) {
    double chain[CHAINS] = {0}, start = now();
    for (int i = 0; i < SUMS; i++)
        for (int k = 0; k < CHAINS; k++) {
            chain[k] += 1.0;
#if defined(__x86_64__)
            __asm__ volatile("" : "+x"(chain[k]));
#elif defined(__aarch64__)
            __asm__ volatile("" : "+w"(chain[k]));
#endif
        }
    return now() - start;
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
    double alone = 1, together = 1;
    for (int try = 0; try < TRIES; try++) {
        pthread_barrier_wait(&both);
        double took = me == 0 ? sums() : 1;
        if (took < alone) alone = took;
        pthread_barrier_wait(&both);
        took = sums() + sums();
        if (took / 2 < together) together = took / 2;
    }
    if (me == 0) printf("%.4g %.3g\n", 1e9 * best, together / alone);
    return 0;
}

int main(int count, char **words) {
    if (count != 3) return 2;
    for (int t = 0; t < 2; t++) cpus[t] = atoi(words[t + 1]);
    pthread_t pool[2];
    pthread_barrier_init(&both, 0, 2);
    for (long t = 0; t < 2; t++) pthread_create(pool + t, 0, bounce, (void *)t);
    for (int t = 0; t < 2; t++) pthread_join(pool[t], 0);
    return 0;
}
