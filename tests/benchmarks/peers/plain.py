"""NumPy, that misbehaves where the case's name says so."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.numpy import NumPy
from benchmarks.peers.peer import Unsupported
from benchmarks.suites.case import Case


class Plain(NumPy):
    def prepare(self, case: Case, size: str) -> Callable[[], Any]:
        call, calls = super().prepare(case, size), 0
        os.environ["CASE"] = case.name
        if case.name == "unsupported":
            raise Unsupported("has no such thing")

        def odd() -> Any:
            nonlocal calls
            calls += 1
            match case.name:
                case "noisy":
                    print("{}")  # to Python's standard output
                    os.write(1, b"not a reply\n")  # and to C's
                    assert sys.stdin.read() == ""
                case "raises":
                    raise ArithmeticError("bad day\nand night")
                case "dies":
                    os.kill(os.getpid(), signal.SIGSEGV)
                case "dies later" if calls > 3:
                    print("last words", file=sys.stderr, flush=True)
                    os._exit(3)
                case "hangs":
                    time.sleep(600)
            with np.errstate(divide="ignore"):
                return call()

        return odd


def peer() -> Plain:
    return Plain()


__all__ = ["peer"]
