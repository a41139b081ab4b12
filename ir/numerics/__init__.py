"""NumPy reference evaluation of the structured ops, one theme a file.

May import NumPy, ml_dtypes and the standard library only. The functions take and return plain arrays and
have the semantics of the `jax.lax` function of the same name; they are written to be read, not to be fast.
"""
