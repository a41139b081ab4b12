"""Prints docs/rewrites.md."""

import sys

from ir.rewrites.catalogue import catalogue

sys.stdout.write(catalogue())
