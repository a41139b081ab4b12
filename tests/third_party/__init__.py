"""Programs written with libraries over JAX, run through tracer unchanged.

They need the extra `third-party`; `make third-party` installs it and runs them, by the name of the file:
it is not found among the tests that need no extra.
"""
