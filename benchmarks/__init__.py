"""Measurements of tracer, side by side with its peers in one run."""
