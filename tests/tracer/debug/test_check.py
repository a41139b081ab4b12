"""`check` and `checkify`: what fails first is said with its line and values, under every transform."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from tracer.errors import (
    ArgumentError,
    CheckError,
    ConcretizationError,
    DifferentiationError,
    IRTypeError,
    LoweringError,
    TracerError,
)

f32 = np.float32


def positive(x):
    tr.check(x > 0, "expected a positive number, got {} (twice that is {twice:.1f})", x, twice=2 * x)  # here
    return tnp.log(x)


def line_of(f: Callable[..., Any]) -> int:
    lines, first = inspect.getsourcelines(f)
    (at,) = [i for i, line in enumerate(lines) if line.rstrip().endswith("# here")]
    return first + at


def said(f: Callable[..., Any], *args: Any) -> str | None:
    """The message, which must be the same compiled and un-jitted."""
    error, _ = tr.checkify(f)(*args)
    again, _ = tr.jit(tr.checkify(f))(*args)
    plain, _ = tr.jit(tr.checkify(f), opt=0)(*args)
    assert error.get() == again.get() == plain.get()
    return error.get()


def test_result_and_error() -> None:
    error, out = tr.jit(tr.checkify(positive))(f32(2))
    assert error.get() is None
    error.throw()
    assert out == np.log(f32(2))
    error, _ = tr.jit(tr.checkify(positive))(f32(-2))
    with pytest.raises(CheckError, match=r"got -2.0 \(twice that is -4.0\)") as info:
        error.throw()
    assert info.value.source.line == line_of(positive)
    assert "tr.check(x > 0" in str(info.value)
    assert isinstance(info.value, AssertionError)
    assert isinstance(info.value, TracerError)


def test_at_once_outside_traces() -> None:
    assert positive(f32(1)) == 0
    with pytest.raises(CheckError, match=r"got -2.0") as info:
        positive(f32(-2))
    assert info.value.source.line == line_of(positive)


def test_what_nobody_asks_for_is_not_compiled() -> None:
    for f in (tr.jit(positive), tr.grad(positive)):
        with pytest.raises(LoweringError, match=r"tracer\.checkify") as info:
            f(f32(2))
        assert info.value.source.line == line_of(positive)


def test_all_elements() -> None:
    def f(x):
        tr.debug.check(x < 3, "too large: {}", x)
        return x

    assert said(f, f32([1, 2])) is None
    assert "too large: [1. 5.]" in said(f, f32([1, 5]))


def test_the_first_that_fails() -> None:
    def f(x):
        tr.check(x < 3, "first")
        tr.check(x < 2, "second")
        tr.check(x < 1, "third {}", x)
        return x

    assert [said(f, f32(v)) and said(f, f32(v)).split("\n")[0] for v in (0, 1, 2, 3)] == [
        None, "third 1.0", "second", "first",
    ]  # fmt: skip


def test_without_checks() -> None:
    error, out = tr.jit(tr.checkify(lambda x: {"y": x + 1}))(1.0)
    assert error.get() is None
    assert out["y"] == 2.0


# Transforms ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "transform", [tr.grad, tr.value_and_grad, tr.jacfwd, tr.hessian, tr.checkpoint, tr.jit]
)
def test_transforms_inside(transform: Any) -> None:
    assert said(transform(positive), f32(2)) is None
    assert "got -2.0" in said(transform(positive), f32(-2))
    reference = transform(lambda x: tnp.log(x))(f32(2))
    jax.tree_util.tree_map(np.testing.assert_allclose, tr.checkify(transform(positive))(f32(2))[1], reference)


def test_gradient_of_a_checkpoint() -> None:
    assert "got -2.0" in said(tr.grad(tr.checkpoint(positive)), f32(-2))


def test_gradient_outside() -> None:
    slope, error = tr.grad(lambda x: tr.checkify(positive)(x)[::-1], has_aux=True)(f32(4))
    assert slope == 0.25
    assert error.get() is None
    slope, error = tr.jit(tr.grad(lambda x: tr.checkify(positive)(x)[::-1], has_aux=True))(f32(-4))
    assert "got -4.0" in error.get()


def test_vmap_inside() -> None:
    assert said(tr.vmap(positive), f32([1, 2])) is None
    assert "got -3.0" in said(tr.vmap(positive), f32([1, -3, -4]))
    assert "got -3.0" in said(tr.vmap(tr.vmap(positive)), f32([[1, 2], [-3, -4]]))
    assert "got -3.0" in said(tr.vmap(tr.grad(positive)), f32([1, -3, -4]))


def test_vmap_outside() -> None:
    error, out = tr.jit(tr.vmap(tr.checkify(positive)))(f32([1, -3, -4]))
    assert error.code.tolist() == [0, 1, 1]
    assert "got -3.0" in error.get()
    assert out.shape == (3,)
    error, _ = jax.vmap(tr.checkify(positive))(f32([1, 3, -4]))
    assert "got -4.0" in error.get()


def test_custom_rules_hold() -> None:
    @tr.custom_jvp
    def f(x):
        tr.check(x > 0, "got {}", x)
        return x * x

    @f.defjvp
    def rule(primals, tangents):
        return f(*primals), 100 * tangents[0]

    error, slope = tr.grad(lambda x: tr.checkify(f)(x)[::-1], has_aux=True)(f32(2))[::-1]
    assert slope == 100
    assert error.get() is None
    assert "got -2.0" in tr.grad(lambda x: tr.checkify(f)(x)[::-1], has_aux=True)(f32(-2))[1].get()
    assert "got -2.0" in said(tr.grad(f), f32(-2))


# Loops and branches -------------------------------------------------------------------------------------


def running(xs):
    def step(total, x):
        tr.check(total + x < 10, "{} and {} are too many", total, x)
        return total + x, total

    return tr.scan(step, 0.0, xs)


@given(st.lists(st.sampled_from([0.0, 1.0, 4.0, 7.0, -5.0]), min_size=1, max_size=7))
@settings(max_examples=25, deadline=None)
def test_scan_against_python(xs: list[float]) -> None:
    expected, total = None, 0.0
    for x in xs:
        if expected is None and not total + x < 10:
            expected = f"{total} and {x} are too many"
        total += x
    text = tr.jit(tr.checkify(running))(f32(xs))[0].get()
    assert (text and text.split("\n")[0]) == expected


@pytest.mark.parametrize("transform", [lambda f: f, lambda f: tr.jacrev(f), lambda f: tr.jacfwd(f)])
def test_differentiated_scan(transform: Any) -> None:
    f = transform(lambda xs: running(xs)[0])
    assert said(f, f32([1, 2, 3])) is None
    assert "8.0 and 4.0 are too many" in said(f, f32([1, 7, 4, 9]))


def test_a_while_loop_ends_where_a_check_fails() -> None:
    """It would never end by itself."""

    def f(x):
        def step(x):
            tr.check(x < 100, "grew to {}", x)
            return x * 2

        return tr.while_loop(lambda x: x > 0, step, x)

    assert said(f, f32(-1)) is None
    assert "grew to 192.0" in said(f, f32(3))
    assert "grew to 192.0" in said(tr.vmap(f), f32([-1, 3, 5]))


def test_checks_of_the_condition() -> None:
    def f(x):
        def unfinished(x):
            tr.check(x != 4, "met {}", x)
            return x < 10

        return tr.while_loop(unfinished, lambda x: x * 2, x)

    assert said(f, f32(3)) is None
    for start in (1, 4):
        assert "met 4.0" in said(f, f32(start))


def test_reverse_mode_of_while() -> None:
    def f(x):
        def step(s):
            tr.check(s[1] < 50, "grew to {}", s[1])
            return s[0] + 1, s[1] * s[1]

        return tr.while_loop(lambda s: s[0] < 3, step, (0, x))[1]

    assert said(tr.grad(f), f32(1.5)) is None
    assert tr.checkify(tr.grad(f))(f32(1.5))[1] == pytest.approx(8 * 1.5**7)
    assert "grew to 81.0" in said(tr.grad(f), f32(3))


def branching(x):
    def large(x):
        tr.check(x < 5, "too large: {}", x)
        return x

    def small(x):
        tr.check(x > -5, "too small: {}", x)
        return -x

    return tr.cond(x > 0, large, small, x)


@pytest.mark.parametrize("transform", [lambda f: f, tr.grad, tr.jacfwd])
def test_cond(transform: Any) -> None:
    f = transform(branching)
    assert said(f, f32(3)) is None
    assert said(f, f32(-3)) is None
    assert "too large: 7.0" in said(f, f32(7))
    assert "too small: -7.0" in said(f, f32(-7))


def test_branches_under_vmap() -> None:
    """Only the branch that an example takes is checked."""
    assert said(tr.vmap(branching), f32([3, -3])) is None
    assert "too small: -7.0" in said(tr.vmap(branching), f32([3, -7]))


def test_a_linear_solver() -> None:
    def f(a):
        def solve(matvec, b):
            tr.check(a != 0, "singular")
            return b / a

        return tr.custom_linear_solve(lambda v: a * v, tnp.ones(2), solve)

    assert said(f, f32(2)) is None
    assert "singular" in said(f, f32(0))


def test_autograph() -> None:
    def f(x):
        while x < 10:
            tr.check(x != 3, "met three")
            x = x + 1
        return x

    for start, expected in ((4, None), (1, "met three")):
        text = tr.jit(tr.checkify(f, autograph=True))(f32(start))[0].get()
        assert (text and text.split("\n")[0]) == expected


# The IR -------------------------------------------------------------------------------------------------


def test_the_text_parses_back() -> None:
    function = tr.trace(positive)(f32(1))
    assert ir.parse(str(function)) == function
    ir.verify(function)


def test_reference_evaluation() -> None:
    function = tr.trace(tr.vmap(positive))(f32([1, 2]))
    ir.evaluate(function, f32([1, 2]))
    with pytest.raises(CheckError, match=r"got -2\.0"):
        ir.evaluate(function, f32([1, -2]))


def test_a_check_does_not_change_derivatives() -> None:
    """`where` takes nothing from the case that is not chosen, whether or not something looks at it."""

    def f(x):
        y = tnp.sqrt(x)
        tr.check(y < 100, "large {}", y)
        return tnp.sum(tnp.where(x > 0, y, 0))

    assert tr.checkify(tr.grad(f))(f32([0, 4]))[1].tolist() == [0, 0.25]


def test_nans_with_checks() -> None:
    with pytest.raises(tr.errors.NonFiniteError), tr.debug.nans():
        tr.jit(tr.checkify(positive))(f32(-2))


# Wrong use ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", ["{} and {}", "{1}", "{name}"])
def test_fields_without_arguments(message: str) -> None:
    with pytest.raises(ArgumentError, match="expected fields for 1 arguments"):
        tr.jit(tr.checkify(lambda x: tr.check(x > 0, message, x)))(1.0)


def test_a_message_is_text() -> None:
    with pytest.raises(ArgumentError, match="expected a message after the condition, got int"):
        tr.jit(tr.checkify(lambda x: tr.check(x > 0, 3)))(1.0)  # type: ignore[arg-type]


def test_braces_and_conversions() -> None:
    def f(x):
        tr.check(x > 0, "{{x}} = {x!r:>8} {0:.2f}", 2 * x, x=x)
        return x

    assert "{x} = " in said(f, f32(-1))
    assert "-2.00" in said(f, f32(-1))


def test_in_functions_that_cannot_say_so() -> None:
    def f(x):
        tr.check(jnp.sum(x) > 0, "negative")
        return jnp.sum(x)

    with pytest.raises(ConcretizationError, match="tracers of JAX"):
        tr.checkify(f)(f32([1]))


def test_in_a_reduction() -> None:
    function = ir.build([ir.TensorType((), ir.types.f32)] * 2, lambda x, y: _checked_sum(x, y), "sum")
    from ir.ops.reduce import reduce

    whole = ir.build(
        [ir.TensorType((3,), ir.types.f32), ir.TensorType((), ir.types.f32)],
        lambda x, init: reduce(x, init, function=function, axes=(0,)),
    )
    with pytest.raises(IRTypeError, match="applies to elements"):
        ir.transforms.checked(whole)


def _checked_sum(x, y):
    from ir.ops.check import check
    from ir.ops.elementwise import add, gt

    check(gt(x, y), message="")
    return add(x, y)


def _doubled(x: Any) -> Any:
    def back(_: Any, ct: Any) -> Any:
        tr.check(tnp.all(ct < 3), "cotangent {}", tnp.max(ct))
        return 2 * ct

    return tr.linear_call(lambda _, t: 2 * t, back, (), x)


@pytest.mark.parametrize(
    "f",
    [
        _doubled,
        tr.checkpoint(_doubled),
        tr.checkpoint(tr.checkpoint(_doubled)),
        tr.checkpoint(lambda x: tr.scan(lambda c, _: (_doubled(c), None), x, None, length=1)[0]),
        lambda x: tr.scan(lambda c, _: (tr.checkpoint(_doubled)(c), None), x, None, length=1)[0],
        tr.checkpoint(lambda x: tr.cond(x[0] > 0, _doubled, lambda x: x, x)),
    ],
)
def test_in_the_transpose_of_a_linear_call(f: Any) -> None:
    gradient = tr.jit(tr.checkify(tr.grad(lambda x: tnp.sum(f(x) ** 2))))
    error, got = gradient(np.full(2, 0.5, np.float32))
    assert error.get() is None
    np.testing.assert_allclose(got, [4.0, 4.0])
    error, _ = gradient(np.ones(2, np.float32))
    assert "cotangent 4.0" in str(error.get())


@pytest.mark.parametrize("wrapped", [_doubled, tr.checkpoint(_doubled)])
def test_in_the_transpose_of_a_linear_call_in_a_while_loop(wrapped: Any) -> None:
    def f(x: Any) -> Any:
        return tnp.sum(tr.while_loop(lambda s: s[0] < 2, lambda s: (s[0] + 1, wrapped(s[1])), (0, x))[1])

    with pytest.raises(DifferentiationError, match="lost in a loop of unknown length"):
        tr.jit(tr.checkify(tr.grad(f)))(np.ones(2, np.float32))
