"""`python -m benchmarks SUITE`: growth, overhead; third-party, which needs an extra, only by name."""

from __future__ import annotations

import argparse

from benchmarks import growth, overhead, third_party

SUITES = {"growth": growth.main, "overhead": overhead.main}
BY_NAME = {"third-party": third_party.main}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure tracer.")
    parser.add_argument(
        "suite", nargs="?", choices=sorted(SUITES | BY_NAME), help="those without an extra by default"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that the suite works")
    options = parser.parse_args()
    for name in [options.suite] if options.suite else sorted(SUITES):
        (SUITES | BY_NAME)[name](quick=options.quick)


if __name__ == "__main__":
    main()
