"""A peer's process, seen from the runner. May import: the standard library and the list of peers."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.peers.peer import DEVICE
from benchmarks.runner.record import PeerInfo, Status
from benchmarks.runner.roster import ROOT, Entry

# JAX's names of devices.
_PLATFORMS = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}


class PeerError(Exception):
    """Why a peer has no answer."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class PeerProcess:
    """Started at once; ends with the `with` block, whatever it does then.

    Args:
      x64: JAX's double precision.
      timeout: seconds for the library to be imported.

    Raises:
      PeerError: it is not installed, or does not start.
    """

    def __init__(self, entry: Entry, *, device: str, x64: bool, environments: Path, timeout: float) -> None:
        python = entry.python(environments)
        if not python.exists():
            raise PeerError(
                Status.MISSING,
                f"no environment {entry.environment!r}: make bench-peers PEERS={entry.environment}",
            )
        self.entry = entry
        self._number = 0
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._folder = tempfile.TemporaryDirectory(prefix="benchmark-")
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.peers.worker", entry.module],
            cwd=ROOT,
            env=_environment(device, x64, self._folder.name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            # A library may start processes of its own: the group ends as one.
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            hello = self.ask("start", timeout)
        except BaseException:
            self.close()
            raise
        self.info = PeerInfo(hello["versions"], hello["device"])
        self.idle_bytes: int = hello["idle_bytes"]

    def ask(self, kind: str, timeout: float, **fields: Any) -> dict[str, Any]:
        """Sends a request and returns its reply.

        Raises:
          PeerError: the library raised; or the process ended, said something else, or nothing in time, and is closed.
        """
        self._number += 1
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"id": self._number, "kind": kind, **fields}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise PeerError(Status.FAILED, self._ended()) from error
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty as error:
            self.close()
            raise PeerError(Status.TIMEOUT, f"no answer to {kind} in {timeout:g} s") from error
        if not line:
            raise PeerError(Status.FAILED, self._ended())
        try:
            reply = json.loads(line)
        except json.JSONDecodeError:
            reply = None
        if not isinstance(reply, dict) or reply.get("id") != self._number:
            self.close()
            raise PeerError(
                Status.FAILED, f"expected the reply to request {self._number}, got {line[:100]!r}"
            )
        if not reply["success"]:
            raise PeerError(Status(reply["status"]), reply["error"])
        return reply

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as replies:
            for line in replies:
                self._lines.put(line)
        self._lines.put("")

    def _ended(self) -> str:
        try:
            code = self._process.wait(10)
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            return f"the process ended by {how}{self._last_words()}"
        except subprocess.TimeoutExpired:
            return "closed its output without ending"
        finally:
            self.close()

    @property
    def closed(self) -> bool:
        return self._said.closed

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().decode(errors="replace").splitlines()]
        last = next((line for line in reversed(lines) if line), "")
        return f": {last[:300]}" if last else ""

    def close(self) -> None:
        """Ends the process and those that it started."""
        if self._said.closed:
            return
        with contextlib.suppress(BrokenPipeError):  # it is gone already
            assert self._process.stdin is not None
            self._process.stdin.close()
        with contextlib.suppress(ProcessLookupError):  # so is its group
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._listener.join(10)
        self._said.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


def _environment(device: str, x64: bool, folder: str) -> dict[str, str]:
    """Of the process. The repository comes first, whatever else is on the path; nothing that was compiled before is
    found on the disk, so that first calls are first calls.
    """
    flags = [f"base_compiledir={folder}", *filter(None, [os.environ.get("PYTENSOR_FLAGS")])]
    return os.environ | {
        DEVICE: device,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "JAX_PLATFORMS": _PLATFORMS[device],
        "JAX_ENABLE_X64": str(int(x64)),
        "JAX_ENABLE_COMPILATION_CACHE": "0",
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
        "TORCHINDUCTOR_CACHE_DIR": folder,
        "PYTENSOR_FLAGS": ",".join(flags),
        # Memory as it is asked for, not most of the device's at the start.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        # Nothing about devices that are not there.
        "TF_CPP_MIN_LOG_LEVEL": "2",
        **({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}),
    }


__all__ = ["PeerError", "PeerProcess"]
