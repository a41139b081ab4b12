"""The process of a peer: `python -m benchmarks.peers.worker MODULE` answers requests, one JSON object a line.

Requests come by standard input, replies go by standard output, in the manner of GradBench. Whatever a library prints
goes to standard error. docs/benchmarks.md describes the messages. May import: NumPy, the cases, and one peer, by name.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from benchmarks.peers.peer import Peer, Unsupported
from benchmarks.suites import registry

Message = dict[str, Any]


def peak_bytes() -> int:
    """Most memory that this process has held.

    Linux says it for the process itself; what `getrusage` gives there includes the memory of the process that it was
    forked from.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Worker:
    """State between requests: the peer, and the call of the case that was defined last."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.peer: Peer | None = None
        self.call: Callable[[], Any] | None = None

    def answer(self, request: Message) -> Message:
        """The reply to a request; never an exception of the library."""
        try:
            match request["kind"]:
                case "start":
                    reply = self.start()
                case "define":
                    reply = self.define(request)
                case "evaluate":
                    reply = self.evaluate(request)
                case "memory":
                    reply = self.memory()
                case other:
                    raise ValueError(f"expected start, define, evaluate or memory, got {other!r}")
        except Exception as error:  # noqa: BLE001 - whatever a library raises is the reason in its row
            reply = {"success": False, "status": _status(error), "error": _described(error)}
        return {"id": request["id"], "success": True} | reply

    def start(self) -> Message:
        self.peer = importlib.import_module(self.module).peer()
        assert self.peer is not None
        return {
            "name": self.peer.name,
            "versions": {
                "python": platform.python_version(),
                "numpy": np.__version__,
                **self.peer.versions(),
            },
            "device": self.peer.device(),
            "idle_bytes": peak_bytes(),
        }

    def define(self, request: Message) -> Message:
        """Prepares a case; `dtype` replaces the case's own."""
        assert self.peer is not None, "start comes first"
        case = registry.cases(request["suite"])[request["case"]]
        if dtype := request.get("dtype"):
            case = dataclasses.replace(case, dtype=dtype)
        self.call = None
        self.call = self.peer.prepare(case, request["size"])
        return {"note": self.peer.note(case)}

    def evaluate(self, request: Message) -> Message:
        """Calls so many times; `results` is where the last results go, as .npz."""
        assert self.peer is not None and self.call is not None, "define comes first"
        gc.collect()
        gc.disable()
        call, clock, spent, results = self.call, time.perf_counter_ns, [], None
        try:
            for _ in range(request["calls"]):
                results = None
                begin = clock()
                results = call()
                spent.append(clock() - begin)
        finally:
            gc.enable()
        if path := request.get("results"):
            arrays = [_portable(array) for array in self.peer.arrays(results)]
            np.savez(path, **{f"{k:06}": array for k, array in enumerate(arrays)})
        return {"timings": [{"name": "evaluate", "nanoseconds": each} for each in spent]}

    def memory(self) -> Message:
        assert self.peer is not None
        # First: the library may compile again to answer.
        peak = peak_bytes()
        return {"peak_bytes": peak, "temporaries_bytes": self.peer.temporaries()}


def _portable(array: Any) -> Any:
    """Of a type that .npz knows: bfloat16 is none."""
    array = np.asarray(array)
    return array if array.dtype.kind in "biufc" else array.astype(np.float32)


def _status(error: Exception) -> str:
    if isinstance(error, Unsupported):
        return "declined"
    return "missing" if isinstance(error, ModuleNotFoundError) else "failed"


def _described(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = " ".join(lines)[:400] if lines else ""
    return said if isinstance(error, Unsupported) else f"{type(error).__name__}: {said}"


def serve(worker: Worker, requests: IO[str], replies: IO[str]) -> None:
    """Until the requests end."""
    for line in requests:
        replies.write(json.dumps(worker.answer(json.loads(line))) + "\n")
        replies.flush()


def end_with_parent() -> None:
    """A library that is busy does not read that its input has ended: on Linux the kernel ends the process, should the
    runner be killed.
    """
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def main() -> None:
    """What the library writes to file descriptor 1, in C too, must not meet the replies; it has no input to read."""
    end_with_parent()
    requests, replies = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    serve(Worker(sys.argv[1]), requests, replies)


if __name__ == "__main__":
    main()
