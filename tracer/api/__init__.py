"""The functions that transform functions."""
