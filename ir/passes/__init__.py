"""Passes `Function -> Function`; each returns the same object where it changes nothing."""
