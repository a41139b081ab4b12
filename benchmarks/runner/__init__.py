"""Runs cases by peers, and writes, reports and compares the results."""
