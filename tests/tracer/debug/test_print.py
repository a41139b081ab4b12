"""`debug.print`: every value once, in order where that is asked for, under every transform."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp

f32 = np.float32


def shown(capsys: pytest.CaptureFixture[str], f: Any, *args: Any) -> list[str]:
    capsys.readouterr()
    f(*args)
    jax.effects_barrier()
    return capsys.readouterr().out.splitlines()


def straight(x):
    tr.debug.print("x = {}, twice = {twice}", x, twice=2 * x)
    return tnp.sin(x)


def scanning(x):
    def step(carry, row):
        tr.debug.print("{} {}", carry, row, ordered=True)
        return carry + row * x, row * row * carry

    return tr.scan(step, 0.0, f32([1, 2, 3]))[0]


def looping(x):
    def step(s):
        tr.debug.print("{}", s, ordered=True)
        return s * s

    return tr.while_loop(lambda s: s < 50, step, x)


def branching(x):
    def up(x):
        tr.debug.print("up {}", x, ordered=True)
        return x

    def down(x):
        tr.debug.print("down {}", x, ordered=True)
        return x * x

    return tr.cond(x > 0, up, down, x)


def unrolled(x):
    for i in range(12):
        tr.debug.print("{} {}", i, x, ordered=True)
        x = x * 2
    return x


def in_custom_rule(x):
    @tr.custom_jvp
    def f(x):
        tr.debug.print("f {}", x)
        return x * x

    @f.defjvp
    def rule(primals, tangents):
        return f(*primals), 2 * primals[0] * tangents[0]

    return f(x)


CASES = {
    "straight": (straight, f32(1), ["x = 1.0, twice = 2.0"]),
    "scan": (scanning, f32(2), ["0.0 1.0", "2.0 2.0", "6.0 3.0"]),
    "while": (looping, f32(2), ["2.0", "4.0", "16.0"]),
    "cond": (branching, f32(-3), ["down -3.0"]),
    "unrolled": (unrolled, f32(1), [f"{i} {2.0**i}" for i in range(12)]),
    "custom rule": (in_custom_rule, f32(3), ["f 3.0"]),
}
TRANSFORMS = {
    "jit": tr.jit,
    "opt=0": lambda f: tr.jit(f, opt=0),
    "grad": tr.grad,
    "jit of grad": lambda f: tr.jit(tr.grad(f)),
    "jvp": lambda f: tr.jit(lambda x: tr.jvp(f, (x,), (x,))),
    "grad of grad": lambda f: tr.jit(tr.grad(tr.grad(f))),
    "grad of checkpoint": lambda f: tr.jit(tr.grad(tr.checkpoint(f))),
    "checkpoint": lambda f: tr.jit(tr.checkpoint(f)),
    "jax.jit": lambda f: jax.jit(tr.jit(f)),
    "checkify": lambda f: tr.jit(tr.checkify(f)),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", CASES)
def test_everything_once(capsys: pytest.CaptureFixture[str], name: str, transform: str) -> None:
    f, x, expected = CASES[name]
    assert shown(capsys, TRANSFORMS[transform](f), x) == expected


def test_every_call(capsys: pytest.CaptureFixture[str]) -> None:
    f = tr.jit(straight)
    for k in (1, 2):
        assert shown(capsys, f, f32(k)) == [f"x = {float(k)}, twice = {2.0 * k}"]


def test_at_once_outside_traces(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, tr.debug.print, "{} {}", f32(1), 2) == ["1.0 2"]


def test_vmap(capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(shown(capsys, tr.jit(tr.vmap(straight)), f32([1, 2]))) == [
        "x = 1.0, twice = 2.0",
        "x = 2.0, twice = 4.0",
    ]


def test_vmap_of_a_loop(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x):
        def step(s):
            tr.debug.print("{}", s)
            return s * s

        return tr.while_loop(lambda s: s < 50, step, x)

    assert sorted(shown(capsys, tr.jit(tr.vmap(f)), f32([2, 60, 10]))) == ["10.0", "16.0", "2.0", "4.0"]


def test_pytrees_and_formats(capsys: pytest.CaptureFixture[str]) -> None:
    f = tr.jit(lambda x: tr.debug.print("{:.2f} {d[k]}", x, d={"k": x + 1}))
    assert shown(capsys, f, f32(1)) == ["1.00 2.0"]


def test_in_functions_of_jax(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x):
        y = jnp.sin(x)
        tr.debug.print("{}", y)
        return y

    assert shown(capsys, tr.jit(f), f32(0)) == ["0.0"]


def test_equal_programs_are_compiled_once() -> None:
    """What prints the same is the same."""
    first, second = [tr.trace(straight)(f32(1)) for _ in range(2)]
    assert first == second
    other = tr.trace(lambda x: (tr.debug.print("other {}", x), tnp.sin(x))[1])(f32(1))
    assert other != first


def test_a_print_does_not_change_derivatives(capsys: pytest.CaptureFixture[str]) -> None:
    """`where` takes nothing from the case that is not chosen; what is printed is the value as it was."""

    def f(x):
        y = tnp.log(x)
        tr.debug.print("{}", y)
        return tnp.where(x > 0, y, 0)

    assert shown(capsys, lambda: tr.grad(f)(f32(0))) == ["-inf"]
    assert tr.grad(f)(f32(0)) == 0


def test_nans_print_nothing_twice(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x):
        def step(carry, row):
            tr.debug.print("{}", row, ordered=True)
            return carry + tnp.log(row), None

        return tr.scan(step, 0.0, x)[0]

    def run() -> None:
        with pytest.raises(tr.errors.NonFiniteError), tr.debug.nans():
            tr.jit(f)(f32([1, -1, 2]))

    assert shown(capsys, run) == ["1.0", "-1.0", "2.0"]


@pytest.mark.parametrize(
    ("fmt", "args", "kwargs", "said"),
    [
        ("{} {y}", 1, {}, r"expected fields for 1 arguments and \[\] in '\{\} \{y\}', got \{y\}"),
        ("{} {}", 1, {}, r"got \{1\}"),
        ("{:.{digits}f}", 1, {}, r"got \{digits\}"),
        ("{y}", 1, {"y": 2.0}, r"expected a field for each argument in '\{y\}', got none for \[0\]"),
        ("{}", 1, {"y": 2.0}, r"got none for \['y'\]"),
        ("{", 1, {}, "expected a format, got '{': Single"),
        ("{} {0}", 1, {}, "cannot switch"),
        (3, 1, {}, "expected a format first, got int"),
    ],
)
@pytest.mark.parametrize("run", [lambda f: f, tr.jit, tr.grad], ids=["at once", "jit", "grad"])
def test_fields_and_arguments_that_do_not_fit(run: Any, fmt: Any, args: int, kwargs: Any, said: str) -> None:
    def f(x):
        tr.debug.print(fmt, *[x] * args, **kwargs)
        return x * x

    with pytest.raises(tr.errors.ArgumentError, match=said) as info:
        run(f)(2.0)
    assert "test_print.py" in str(info.value)


def test_fields_inside_fields_and_of_parts(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x):
        tr.debug.print("{:.{digits}f} {pair[0]} {{}}", x, digits=2, pair=[x, x])
        return x

    assert shown(capsys, lambda: tr.jit(f)(0.5)) == ["0.50 0.5 {}"]
