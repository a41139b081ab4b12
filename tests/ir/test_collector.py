"""Garbage collection is paused while programs are built, and only then."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest

import tracer as tr
from ir.collector import without_collection


def test_it_is_as_it_was_before() -> None:
    assert gc.isenabled()
    seen = []
    with pytest.raises(ZeroDivisionError), without_collection(), without_collection():
        seen.append(gc.isenabled())
        raise ZeroDivisionError
    assert gc.isenabled()
    gc.disable()
    try:
        with without_collection():
            seen.append(gc.isenabled())
        seen.append(gc.isenabled())
    finally:
        gc.enable()
    assert seen == [False, False, False]


def test_threads_share_the_pause() -> None:
    inside, over = threading.Event(), threading.Event()

    def other() -> None:
        with without_collection():
            inside.set()
            over.wait()

    thread = threading.Thread(target=other)
    with without_collection():
        thread.start()
        inside.wait()
    assert not gc.isenabled()
    over.set()
    thread.join()
    assert gc.isenabled()


def test_tracing_pauses_it_and_running_does_not() -> None:
    seen = []

    def f(x: Any) -> Any:
        seen.append(gc.isenabled())
        return x * 2

    x = np.float32(1)
    for run in (
        lambda: tr.trace(f)(x),
        lambda: tr.jit(f)(x),
        lambda: tr.grad(f)(x),
        lambda: tr.vmap(f)(x[None]),
    ):
        run()
        assert gc.isenabled()
    assert seen
    assert not any(seen)
    with pytest.raises(ValueError, match="mine"):
        tr.jit(lambda x: (_ for _ in ()).throw(ValueError("mine")))(x)
    assert gc.isenabled()
