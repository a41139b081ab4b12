"""`python -m benchmarks SUITE`: algebra, growth, machine, memory, overhead; by name only: loops, which takes long, and
third-party, which needs an extra.
"""

from __future__ import annotations

import argparse

from benchmarks import algebra, growth, loops, machine, memory, overhead, third_party

SUITES = {
    "algebra": algebra.main,
    "growth": growth.main,
    "machine": machine.main,
    "memory": memory.main,
    "overhead": overhead.main,
}
BY_NAME = {"loops": loops.main, "third-party": third_party.main}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure tracer.")
    parser.add_argument(
        "suite",
        nargs="?",
        choices=sorted(SUITES | BY_NAME),
        help="all but loops and third-party by default",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that the suite works")
    parser.add_argument(
        "--jax", type=float, nargs="?", const=120.0, metavar="SECONDS",
        help="loops: JAX on the plain loops too, given up after so many seconds a program (120)",
    )  # fmt: skip
    options = parser.parse_args()
    if options.jax is not None and options.suite != "loops":
        parser.error("--jax is an option of the suite loops")
    for name in [options.suite] if options.suite else sorted(SUITES):
        more = {"jax_cap": options.jax} if name == "loops" else {}
        (SUITES | BY_NAME)[name](quick=options.quick, **more)


if __name__ == "__main__":
    main()
