"""The exceptions of tracer; `TracerError` is the base of all."""

from ir.errors import *  # noqa: F403
from ir.errors import TracerError

__all__ = ["TracerError"]
