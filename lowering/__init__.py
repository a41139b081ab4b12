"""IR to JAX: emission, execution and its caches. May import `ir` and JAX."""
