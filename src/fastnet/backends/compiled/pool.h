/* A small worker pool: no OpenMP, because two OpenMP runtimes in one process are a known disaster.
 *
 * `pool_run` wakes the workers, runs one job on all of them and on the caller, and waits for all. Inside
 * a job the threads meet at `pool_barrier`, which spins for a while and then waits; after a
 * job workers do the same for the next one, so that an idle process uses no CPU. `pool_offer` is for jobs whose
 * threads take what is left to do, piece by piece (`pool_next`): it waits for nobody who has not begun. One job runs at a
 * time: a second caller, from another Python thread, works alone meanwhile. A forked child starts with no
 * workers, and makes its own.
 */
#ifndef FASTNET_POOL_H
#define FASTNET_POOL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define POOL_MOST 64    /* threads in all */
/* Looks before a thread sleeps: about a hundred microseconds between jobs, and a millisecond at the barriers of one.
 * To wake a thread may take half of that, above all on a virtual machine; if threads fell asleep sooner, whoever woke one
 * would be asleep before that one came. */
#define POOL_SPINS 4000
#define POOL_PATIENCE 40000
/* Looks where there are more threads than CPUs: whoever waits stands in the way of those it waits for. */
#define POOL_CROWDED 20

typedef void (*pool_job)(void *context, int part, int parts);

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
typedef SRWLOCK pool_lock_t;
typedef CONDITION_VARIABLE pool_condition_t;
#define POOL_LOCK_INIT SRWLOCK_INIT
#define POOL_CONDITION_INIT CONDITION_VARIABLE_INIT
static void pool_lock(pool_lock_t *lock) { AcquireSRWLockExclusive(lock); }
static void pool_unlock(pool_lock_t *lock) { ReleaseSRWLockExclusive(lock); }
static void pool_wait(pool_condition_t *condition, pool_lock_t *lock) {
    SleepConditionVariableSRW(condition, lock, INFINITE, 0);
}
static void pool_wake(pool_condition_t *condition) { WakeAllConditionVariable(condition); }
static double pool_seconds(void) {
    LARGE_INTEGER now, rate;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&rate);
    return (double)now.QuadPart / (double)rate.QuadPart;
}
static int pool_count_cpus(void) {
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return (int)info.dwNumberOfProcessors;
}
#else
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
typedef pthread_mutex_t pool_lock_t;
typedef pthread_cond_t pool_condition_t;
#define POOL_LOCK_INIT PTHREAD_MUTEX_INITIALIZER
#define POOL_CONDITION_INIT PTHREAD_COND_INITIALIZER
static void pool_lock(pool_lock_t *lock) { pthread_mutex_lock(lock); }
static void pool_unlock(pool_lock_t *lock) { pthread_mutex_unlock(lock); }
static void pool_wait(pool_condition_t *condition, pool_lock_t *lock) { pthread_cond_wait(condition, lock); }
static void pool_wake(pool_condition_t *condition) { pthread_cond_broadcast(condition); }
static double pool_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
static int pool_count_cpus(void) { /* that this process may use */
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}
#endif

static struct {
    pool_lock_t lock;         /* guards every sleep */
    pool_condition_t wake_up; /* something that somebody waits for has come */
    pool_job job;
    void *context;
    int workers; /* started so far; only the owner of `busy` changes it */
    int cpus;    /* that this process may use, or 0 before the first worker; likewise */
    /* What follows is atomic. */
    int busy;           /* somebody's job is running */
    int parts;          /* threads of this job, the caller included */
    int arrived;        /* threads at the barrier */
    unsigned barriers;  /* barriers so far */
    int sleepers;       /* threads that wait for wake_up */
    unsigned naps;      /* sleeps at barriers so far */
    int offered;        /* whether this job is an offer, and */
    unsigned finished;  /* workers that have taken it and are through */
    struct {
        unsigned jobs;    /* that this worker was given so far, */
        unsigned settled; /* and of these, how many it has taken, or were taken back before it came */
        char own_cache_line[56];
    } mailbox[POOL_MOST];
} pool = {POOL_LOCK_INIT, POOL_CONDITION_INIT};

static inline void pool_relax(void) {
#if defined(__x86_64__) || defined(_M_X64)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(_M_ARM64)
    __asm__ volatile("yield");
#endif
}

/* Wait until *counter differs from `old`; returns whether that took so long that the thread slept. */
static int pool_await(unsigned *counter, unsigned old, int spins) {
    for (int spin = 0; spin < spins; spin++) {
        if (__atomic_load_n(counter, __ATOMIC_ACQUIRE) != old) return 0;
        pool_relax();
    }
    pool_lock(&pool.lock);
    /* Counted before the last look, while `pool_rouse` looks for sleepers after the counter was changed:
     * one of the two sees the other, so no wake-up is lost. */
    __atomic_add_fetch(&pool.sleepers, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(counter, __ATOMIC_SEQ_CST) == old) pool_wait(&pool.wake_up, &pool.lock);
    __atomic_sub_fetch(&pool.sleepers, 1, __ATOMIC_SEQ_CST);
    pool_unlock(&pool.lock);
    return 1;
}

/* Wake whoever waits for a counter that was just changed. */
static void pool_rouse(void) {
    if (__atomic_load_n(&pool.sleepers, __ATOMIC_SEQ_CST)) {
        pool_lock(&pool.lock);
        pool_wake(&pool.wake_up);
        pool_unlock(&pool.lock);
    }
}

/* Each of the `parts` threads of a job waits here for the others. */
static void pool_barrier(int parts) {
    if (parts == 1) return;
    unsigned old = __atomic_load_n(&pool.barriers, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&pool.arrived, 1, __ATOMIC_ACQ_REL) == parts) {
        __atomic_store_n(&pool.arrived, 0, __ATOMIC_RELAXED);
        __atomic_add_fetch(&pool.barriers, 1, __ATOMIC_SEQ_CST);
        pool_rouse();
    } else if (pool_await(&pool.barriers, old, parts > pool.cpus ? POOL_CROWDED : POOL_PATIENCE)) {
        __atomic_add_fetch(&pool.naps, 1, __ATOMIC_RELAXED);
    }
}

/* How often a thread slept at a barrier so far. Many naps in a job mean that its threads do not really
 * run side by side: other processes want the cores. */
static unsigned pool_naps(void) { return __atomic_load_n(&pool.naps, __ATOMIC_RELAXED); }

/* Take a worker's newest job, or take it back; false where the other one was quicker. */
static int pool_settle(int part, unsigned jobs) {
    unsigned before = jobs - 1;
    return __atomic_compare_exchange_n(&pool.mailbox[part].settled, &before, jobs, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void pool_work(int part) {
    for (unsigned jobs = 0;;) {
        pool_await(&pool.mailbox[part].jobs, jobs, POOL_SPINS);
        jobs = __atomic_load_n(&pool.mailbox[part].jobs, __ATOMIC_ACQUIRE);
        if (!pool_settle(part, jobs)) continue; /* too late */
        int parts = __atomic_load_n(&pool.parts, __ATOMIC_ACQUIRE);
        int offered = __atomic_load_n(&pool.offered, __ATOMIC_ACQUIRE);
        pool.job(pool.context, part, parts);
        if (offered) {
            __atomic_add_fetch(&pool.finished, 1, __ATOMIC_SEQ_CST);
            pool_rouse();
        } else {
            pool_barrier(parts); /* the caller may let go of the context now */
        }
    }
}

/* The next piece of an offered job, of which `*taken` were taken so far. */
static inline ptrdiff_t pool_next(ptrdiff_t *taken) { return __atomic_fetch_add(taken, 1, __ATOMIC_RELAXED); }

#if defined(_WIN32)
static DWORD WINAPI pool_entry(LPVOID part) {
    pool_work((int)(intptr_t)part);
    return 0;
}
static int pool_start(int part) {
    HANDLE thread = CreateThread(NULL, 0, pool_entry, (LPVOID)(intptr_t)part, 0, NULL);
    if (thread == NULL) return 0;
    CloseHandle(thread);
    return 1;
}
static void pool_survive_fork(void) {}
#else
static void *pool_entry(void *part) {
    pool_work((int)(intptr_t)part);
    return NULL;
}
static int pool_start(int part) {
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for Python's own threads */
    int failed = pthread_create(&thread, NULL, pool_entry, (void *)(intptr_t)part);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed) pthread_detach(thread);
    return !failed;
}
static void pool_forget(void) {
    memset(&pool, 0, sizeof pool);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.wake_up, NULL);
}
static void pool_survive_fork(void) { pthread_atfork(NULL, NULL, pool_forget); }
#endif

/* Hand `job` to workers, so that there are up to `parts` threads with the caller. Returns how many, or 1 where another
 * job is running or no worker can be started: then none was handed out. */
static int pool_hand_out(pool_job job, void *context, int parts, int offered) {
    if (parts > POOL_MOST) parts = POOL_MOST;
    if (parts <= 1 || __atomic_exchange_n(&pool.busy, 1, __ATOMIC_ACQUIRE)) return 1;
    if (pool.cpus == 0) pool.cpus = pool_count_cpus();
    while (pool.workers < parts - 1 && pool_start(pool.workers + 1)) pool.workers++;
    if (parts > pool.workers + 1) parts = pool.workers + 1;
    if (parts == 1) {
        __atomic_store_n(&pool.busy, 0, __ATOMIC_RELEASE);
        return 1;
    }
    pool.job = job;
    pool.context = context;
    __atomic_store_n(&pool.finished, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&pool.offered, offered, __ATOMIC_RELEASE);
    __atomic_store_n(&pool.parts, parts, __ATOMIC_RELEASE);
    for (int part = 1; part < parts; part++)
        __atomic_add_fetch(&pool.mailbox[part].jobs, 1, __ATOMIC_SEQ_CST);
    pool_rouse();
    return parts;
}

/* Run `job` on up to `parts` threads, the caller among them as part 0; returns when all have ended.
 * Where another job is running, or no worker can be started, there are fewer parts. */
static void pool_run(pool_job job, void *context, int parts) {
    parts = pool_hand_out(job, context, parts, 0);
    job(context, 0, parts);
    if (parts == 1) return;
    pool_barrier(parts);
    __atomic_store_n(&pool.busy, 0, __ATOMIC_RELEASE);
}

/* The same for a job without barriers, whose threads take pieces of it while there are any. A worker that has not begun
 * when the caller finds nothing left need not come any more: to wake it may have taken longer than the job. */
static void pool_offer(pool_job job, void *context, int parts) {
    parts = pool_hand_out(job, context, parts, 1);
    job(context, 0, parts);
    if (parts == 1) return;
    unsigned taken = 0, finished;
    for (int part = 1; part < parts; part++)
        taken += !pool_settle(part, __atomic_load_n(&pool.mailbox[part].jobs, __ATOMIC_RELAXED));
    while ((finished = __atomic_load_n(&pool.finished, __ATOMIC_ACQUIRE)) != taken)
        pool_await(&pool.finished, finished, parts > pool.cpus ? POOL_CROWDED : POOL_PATIENCE);
    __atomic_store_n(&pool.busy, 0, __ATOMIC_RELEASE);
}
#endif
