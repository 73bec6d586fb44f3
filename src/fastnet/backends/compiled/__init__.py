"""The compiled backends: one module for each instruction set and dtype, all built from `backend.pyx`.

The modules are called ``_{instruction set}_{f32 or f64}``; `fastnet.backends` picks and imports them.
``_system``, built without special flags, tells what this machine can run.
"""
