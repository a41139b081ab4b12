"""`python -m benchmarks run|report|compare`: cases by peers, see docs/benchmarks.md.

`python -m benchmarks SUITE`: tables of tracer beside JAX: algebra, growth, machine, memory, overhead, sparse; by name
only: loops, which takes long, and third-party, which needs an extra.
"""

from __future__ import annotations

import argparse
import importlib
import sys

# Modules of `benchmarks.runner` with `main(arguments)`.
COMMANDS = ("run", "report", "compare")
# Modules of `benchmarks` with `main(*, quick)`; the second are run by name only.
SUITES = ("algebra", "growth", "machine", "memory", "overhead", "sparse")
BY_NAME = ("loops", "third-party")


def main() -> None:
    if sys.argv[1:2] and sys.argv[1] in COMMANDS:
        sys.exit(importlib.import_module(f"benchmarks.runner.{sys.argv[1]}").main(sys.argv[2:]))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure tracer.",
        epilog=f"{', '.join(COMMANDS)}: cases by peers, each with its --help",
    )
    parser.add_argument(
        "suite",
        nargs="?",
        choices=sorted(SUITES + BY_NAME),
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
    for name in [options.suite] if options.suite else SUITES:
        more = {"jax_cap": options.jax} if name == "loops" else {}
        importlib.import_module(f"benchmarks.{name.replace('-', '_')}").main(quick=options.quick, **more)


if __name__ == "__main__":
    main()
