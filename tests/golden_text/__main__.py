"""`python -m tests.golden_text --update` rewrites the files; look at what changed before committing it."""

from __future__ import annotations

import argparse

from tests.golden_text.runner import CASES, outcome, path


def main() -> int:
    """1 if a file is not as the text comes out now, and is not updated."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden_text", description=__doc__)
    parser.add_argument("--update", action="store_true", help="rewrite the files")
    options = parser.parse_args()
    differ = 0
    for name in CASES:
        text = outcome(name)
        if not path(name).exists() or path(name).read_text(encoding="utf-8") != text:
            print(f"{'updated' if options.update else 'differs:'} {name}")
            differ = 1
            if options.update:
                path(name).write_text(text, encoding="utf-8")
    return 0 if options.update else differ


if __name__ == "__main__":
    raise SystemExit(main())
