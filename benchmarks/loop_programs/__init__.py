"""Programs with plain Python loops, each beside what an expert writes in JAX."""

from benchmarks.loop_programs import algebra, learning, physics, series
from benchmarks.loop_programs.core import Program

PROGRAMS: dict[str, Program] = {
    p.name: p for part in (physics, series, algebra, learning) for p in part.PROGRAMS
}

__all__ = ["PROGRAMS", "Program"]
