"""Programs in which the patterns of rewrites meet, run with passes on and off. `python -m tests.fuzz --rules N`."""
