"""Random programs, run through tracer and through JAX. `python -m tests.fuzz --programs N [--seed S]`."""
