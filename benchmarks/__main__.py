"""`python -m benchmarks SUITE`: growth, overhead."""

from __future__ import annotations

import argparse

from benchmarks import growth, overhead

SUITES = {"growth": growth.main, "overhead": overhead.main}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure tracer.")
    parser.add_argument("suite", nargs="?", choices=sorted(SUITES), help="all suites by default")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that the suite works")
    options = parser.parse_args()
    for name in [options.suite] if options.suite else sorted(SUITES):
        SUITES[name](quick=options.quick)


if __name__ == "__main__":
    main()
