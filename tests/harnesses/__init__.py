"""JAX's own test cases for its primitives, run through `tracer.from_jax`."""
