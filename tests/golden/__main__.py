"""`python -m tests.golden [--update] [NAME ...]`: checks golden files, or rewrites what they expect."""

from __future__ import annotations

import argparse
import sys

from tests.golden.runner import Mismatch, cases, check, update


def main() -> int:
    """The number of files that are not as they should be, at most 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument(
        "--update", action="store_true", help="rewrite expectations that evaluation agrees with"
    )
    parser.add_argument("names", nargs="*", help="parts of names of cases, such as cse/ or simplify/slices")
    options = parser.parse_args()
    failed = 0
    for case in cases():
        if options.names and not any(name in case.name for name in options.names):
            continue
        try:
            if not options.update:
                check(case)
            elif update(case):
                print(f"updated {case.name}")
        except Mismatch as error:
            failed += 1
            print(error, file=sys.stderr)
    return min(failed, 1)


if __name__ == "__main__":
    raise SystemExit(main())
