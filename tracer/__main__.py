"""`python -m tracer`; see `tracer.cli`."""

from tracer.cli import main

if __name__ == "__main__":
    raise SystemExit(main(prog="python -m tracer"))
