"""Whether several threads train faster than one, found out while they do.

What threads gain depends on where the machine has its cores, and on who else wants them, and it changes. The bits of the
result do not depend on it, so nobody needs to know.

Several threads train in rounds of some steps. A round that was slower than as many steps of one thread, which are timed
now and then, is followed by another measurement of these; if the next round is slower too, one thread goes on alone
for a while, longer each time that this happens again.
"""

cdef enum:
    ROUND = 30              # steps of several threads, after which they are compared with one
    ROUNDS = 20             # after so many, and after a slow one, one is
    COMPARED = 6            # timed anew for so many steps
    LONE = 600              # steps of one thread where that is faster; twice as many each time that it is so again,
    MOST_LONE = 16 * LONE   # up to these
    PROBE = 5               # steps of several threads after them
    SLOWER = 95             # percent of the time of several threads: if one takes less, they are slower

cdef enum Stage:
    TOGETHER    # several threads
    COMPARING   # one, while the others wait
    ALONE_AGAIN # one, and the others sleep
    PROBING     # several, who are just awake

cdef struct Pace:
    Stage stage
    Py_ssize_t left         # steps of this stage
    double seconds, timed   # of steps of this stage, and how many they are
    double lone_seconds     # of a step of one thread; 0: not known yet
    Py_ssize_t lone_steps   # of the next ALONE_AGAIN
    int rounds              # until one thread is timed anew
    bint was_slower         # whether the last round was


cdef inline Pace new_pace() noexcept nogil:
    cdef Pace pace
    pace.stage, pace.left = TOGETHER, ROUND
    pace.seconds = pace.timed = pace.lone_seconds = 0
    pace.lone_steps, pace.rounds, pace.was_slower = LONE, 0, False
    return pace


cdef inline void next_stage(Pace *pace) noexcept nogil:
    cdef bint slower
    if pace.stage == COMPARING or pace.stage == ALONE_AGAIN:
        if pace.timed > 0:
            pace.lone_seconds = pace.seconds / pace.timed
        if pace.stage == COMPARING:
            pace.stage, pace.left = TOGETHER, ROUND
        else:
            pace.stage, pace.left = PROBING, PROBE
        return
    slower = pace.lone_seconds > 0 and 100 * pace.lone_seconds * pace.timed < SLOWER * pace.seconds
    pace.rounds -= 1
    if slower and pace.was_slower:
        pace.stage, pace.left = ALONE_AGAIN, pace.lone_steps
        pace.lone_steps = min(2 * pace.lone_steps, <Py_ssize_t>MOST_LONE)
    elif slower or pace.rounds <= 0:
        pace.stage, pace.left, pace.rounds = COMPARING, COMPARED, ROUNDS
        if not slower:
            pace.lone_steps = max(<Py_ssize_t>LONE, pace.lone_steps // 2)
    else:
        pace.stage, pace.left = TOGETHER, ROUND
    pace.was_slower = slower


cdef inline void note(Pace *pace, Py_ssize_t steps, double seconds, double timed) noexcept nogil:
    """So many steps of this stage were made, at most those that are left; so many of them took so many seconds."""
    pace.left -= steps
    pace.seconds += seconds
    pace.timed += timed
    if pace.left <= 0:
        next_stage(pace)
        pace.seconds = pace.timed = 0
