"""`debug.nans`: planted bugs are found at their lines, forwards and backwards, inside loops, under jit and without."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from tracer.errors import NonFiniteError, TracerError

f32 = np.float32


def line_of(f: Callable[..., Any], mark: str = "# here") -> int:
    """The line of the function that is marked."""
    lines, first = inspect.getsourcelines(f)
    (at,) = [i for i, line in enumerate(lines) if line.rstrip().endswith(mark)]
    return first + at


def caught(f: Callable[..., Any], *args: Any, **options: Any) -> NonFiniteError:
    with pytest.raises(NonFiniteError) as info, tr.debug.nans(**options):
        f(*args)
    return info.value


# Planted bugs: each marks its line ---------------------------------------------------------------------


def log_of_zero(x):
    y = x - 1
    return tnp.sum(y * tnp.log(y))  # here


def zero_by_zero(x):
    total = tnp.sum(x)
    y = x / total  # here
    return tnp.sum(y)


def square_root_at_zero(x):
    y = x * 0
    z = tnp.sqrt(y)  # here
    return tnp.sum(z * y)


def overflow(x):
    y = tnp.exp(x * 100)
    z = y - 2 * y  # here
    return tnp.sum(z)


def masked_by_weights(x):
    y = tnp.sqrt(x)  # here
    return tnp.dot(y, f32([0, 1]))


def custom_mask_leaks(x):
    y = tnp.sqrt(x)  # here
    return tnp.sum(y * x)


def inside_scan(x):
    def step(carry, row):
        shifted = row - carry
        return carry + 1, tnp.sqrt(shifted)  # here

    return tnp.sum(tr.scan(step, 0.0, x)[1])


def inside_while(x):
    def step(state):
        k, y = state
        return k + 1, tnp.log(y)  # here

    return tr.while_loop(lambda s: s[0] < 5, step, (0, x))[1]


@tr.custom_jvp
def with_rule(x):
    return x * x


@with_rule.defjvp
def rule(primals, tangents):
    (x,), (dx,) = primals, tangents
    scale = x - x
    return with_rule(x), dx * (x / scale - x / scale)  # here


def in_a_custom_rule(x):
    return with_rule(x) * 2


@tr.custom_vjp
def with_backward(x):
    return 3 * x


def backward(residual, ct):
    return (ct * tnp.log(residual),)  # here


with_backward.defvjp(lambda x: (3 * x, x), backward)


def in_float16(x):
    y = x.astype(np.float16) * np.float16(60000)
    return (y - y * 2).astype(f32)  # here


def in_bfloat16(x):
    y = x.astype(ml_dtypes.bfloat16) * ml_dtypes.bfloat16(3e38)
    return (y - y).astype(f32)  # here


def norm_at_zero(x):
    return tnp.sqrt(tnp.sum(x * x))  # here


def log_softmax_of_nothing(x):
    scores = tnp.where(x > 100, x, -tnp.inf)
    return tnp.sum(scores - tnp.max(scores))  # here


def arccos_at_one(x):
    angle = tnp.arccos(x)  # here
    return tnp.sum(angle * 0)


def zero_to_minus_one(x):
    y = x**-1.0
    return tnp.sum(y * x)  # here


def infinity_minus_infinity(x):
    y = 1 / x
    return tnp.sum(y) - tnp.sum(y * 2)  # here


def complex_numbers(x):
    y = tnp.log(x * 0 + 0j)
    return tnp.abs(y * 0).real  # here


def by_autograph(x):
    y = x
    while y < 10:
        y = tnp.sqrt(y - 4)  # here
    return y


ones, zeros = np.ones(3, f32), np.zeros(3, f32)
FORWARD = {
    "log of zero": (log_of_zero, ones, "mul"),
    "0/0": (zero_by_zero, zeros, "div"),
    "overflow": (overflow, ones, "sub"),
    "scan": (inside_scan, f32([3, 2, 1.5, 0, 7]), "sqrt"),
    "while": (inside_while, f32(2), "log"),
    "float16": (in_float16, f32(2), "sub"),
    "bfloat16": (in_bfloat16, f32(2), "sub"),
    "log_softmax of -inf": (log_softmax_of_nothing, ones, "sub"),
    "0**-1": (zero_to_minus_one, zeros, "mul"),
    "inf - inf": (infinity_minus_infinity, zeros, "sub"),
    "complex": (complex_numbers, f32(2), "mul"),
}
BACKWARD = {
    "sqrt at 0": (square_root_at_zero, ones, "mul"),
    "masked by weights": (masked_by_weights, f32([0, 0.7]), "mul"),
    "mask by a product": (custom_mask_leaks, f32([0, 1]), "mul"),
    "norm at 0": (norm_at_zero, zeros, "mul"),
    "arccos at 1": (arccos_at_one, ones, "mul"),
}


def compiled(f):
    """The ways to run a function."""
    return [tr.jit(f), tr.jit(f, opt=0), tr.jit(tr.jit(f))]


@pytest.mark.parametrize("name", FORWARD)
def test_forward(name: str) -> None:
    f, x, op = FORWARD[name]
    for run in compiled(f):
        error = caught(run, x)
        assert (error.source.line, error.op, error.derivative) == (line_of(f), op, False), str(error)
        assert error.kind == "nan"


@pytest.mark.parametrize("name", FORWARD)
def test_forward_in_a_gradient_program(name: str) -> None:
    """The value is one of the results, and came first."""
    f, x, op = FORWARD[name]
    for run in (tr.jit(tr.value_and_grad(f)), tr.value_and_grad(f)):
        error = caught(run, x)
        assert error.source.line == line_of(f), str(error)
        assert error.op == op
        assert error.derivative is False


@pytest.mark.parametrize("name", BACKWARD)
def test_backward(name: str) -> None:
    f, x, op = BACKWARD[name]
    with tr.debug.nans():
        tr.jit(f)(x)  # forwards all is well
    for run in (tr.jit(tr.value_and_grad(f)), tr.grad(f), tr.jit(tr.grad(f), opt=0)):
        error = caught(run, x)
        assert error.source.line == line_of(f), str(error)
        assert error.derivative is True
        assert error.op == op


def test_forward_mode() -> None:
    """What is infinite there is NaN where it meets 0."""
    error = caught(tr.jacfwd(arccos_at_one), ones)
    assert error.source.line == line_of(arccos_at_one) + 1
    assert error.derivative is True
    assert "the inf was made by rsqrt" in str(error)


def test_custom_rules() -> None:
    for run in (tr.grad(in_a_custom_rule), tr.jit(tr.grad(in_a_custom_rule)), tr.jacfwd(in_a_custom_rule)):
        assert caught(run, f32(2)).source.line == line_of(rule)
    for run in (tr.grad(with_backward), tr.jit(tr.value_and_grad(with_backward))):
        error = caught(run, f32(-2))
        assert error.source.line == line_of(backward)
        assert error.op == "log"
        assert error.derivative is True


def test_autograph() -> None:
    error = caught(tr.jit(by_autograph, autograph=True), f32(9))
    assert error.source.line == line_of(by_autograph)
    assert error.iterations == (1,)  # 9, 2.24, nan


def test_functions_of_jax() -> None:
    def f(x):
        def body(k, y):
            return jnp.log(y)  # here

        return jax.lax.fori_loop(0, 5, body, x)

    error = caught(tr.jit(f), f32(2))
    assert error.source.line == line_of(f)
    assert error.iterations == (2,)


def test_what_jax_traced_once_has_the_line_of_its_call() -> None:
    def f(x):
        return jnp.linalg.norm(x)  # here

    jnp.linalg.norm(jnp.ones(3))  # traced before, on another line
    for run in (tr.jit(tr.grad(f)), tr.grad(f)):
        error = caught(run, zeros)
        assert error.source.line == line_of(f)
        assert error.derivative is True


def test_checkpoints() -> None:
    error = caught(tr.jit(tr.grad(tr.checkpoint(norm_at_zero))), zeros)
    assert error.source.line == line_of(norm_at_zero)
    assert error.op == "mul"
    assert error.derivative is True


def test_an_argument_is_named() -> None:
    error = caught(
        tr.jit(lambda params, data: tnp.sum(params["w"] * data)), {"w": f32([1, np.nan])}, ones[:2]
    )
    assert "params_w held nan from the start" in str(error)
    assert (error.op, error.derivative) == (None, None)
    assert [(s.name, s.nans) for s in error.operands] == [("params_w", 1)]


def test_an_argument_that_is_masked_is_no_bug() -> None:
    f = tr.jit(lambda x, y: tnp.sum(tnp.where(tnp.isnan(x), 0, x)) + tnp.log(y))
    with tr.debug.nans():
        f(f32([1, np.nan]), f32(1))
    assert caught(f, f32([1, np.nan]), f32(-1)).op == "log"
    assert "argument" in str(caught(f, f32([1, np.nan]), f32(1), everywhere=True))


# Where in loops it happened ----------------------------------------------------------------------------


def test_scan_iterations() -> None:
    assert caught(tr.jit(inside_scan), f32([3, 2, 1.5, 3, 7])).iterations == (2,)
    assert caught(tr.grad(inside_scan), f32([3, 2, 2, 3, 7]), infs=True).iterations == (2,)


def test_nested_loops() -> None:
    def f(x):
        def outer(total, row):
            def inner(state):
                k, y = state
                return k + 1, y - tnp.log(row[k])  # here

            return total + tr.while_loop(lambda s: s[0] < 3, inner, (0, 0.0))[1], total

        return tr.scan(outer, 0.0, x)[0]

    x = np.ones((4, 3), f32)
    x[2, 1] = -1
    for run in (tr.jit(f), tr.jit(tr.value_and_grad(f))):
        error = caught(run, x)
        assert error.iterations == (2, 1)
        assert error.source.line == line_of(f)


@pytest.mark.parametrize("steps", [7, 40])
def test_reverse_mode_of_while(steps: int) -> None:
    """The derivative of sqrt is infinite at the trip in which its operand is 0."""

    def f(x):
        def step(state):
            k, total = state
            return k + 1, total + tnp.sqrt(x * (k - 5) ** 2)  # here

        return tr.while_loop(lambda s: s[0] < steps, step, (0, 0.0))[1]

    error = caught(tr.jit(tr.value_and_grad(f)), f32(3))
    assert error.source.line == line_of(f)
    assert error.derivative
    assert error.iterations == (5,)


def test_a_state_of_the_loop_that_is_run_again() -> None:
    """Another carry of the loop holds the number, from an earlier trip on."""

    def f(x):
        def step(state):
            k, y, z = state
            return k + 1, tnp.log(y), z + x * y * (k > 3)  # here

        k, _, z = tr.while_loop(lambda s: s[0] < 6, step, (0, x, x))
        return tnp.where(k > 0, 0.0, z) + z * 0

    error = caught(tr.jit(tr.grad(f)), f32(2.5))
    assert error.source.line == line_of(f)
    assert error.op == "log"


def test_what_heals_in_a_loop_is_no_origin() -> None:
    def f(x):
        def step(carry, row):
            safe = tnp.where(tnp.isnan(carry), 0, carry)
            return safe + tnp.sqrt(row), None

        return tr.scan(step, 0.0, x)[0]

    with tr.debug.nans():
        tr.jit(f)(f32([1, -1, 1]))
    assert caught(tr.jit(f), f32([1, -1, 1, 1, -1])).iterations == (4,)
    assert caught(tr.jit(f), f32([1, -1, 1, 1]), everywhere=True).iterations == (1,)


@given(st.lists(st.sampled_from([1.0, 2.0, -1.0, 0.0]), min_size=1, max_size=8), st.booleans())
@settings(max_examples=25, deadline=None)
def test_scan_against_python(xs: list[float], reverse: bool) -> None:
    """The trip from which on the carry is NaN, by a loop in Python."""

    def step(carry, x):
        return tnp.where(x == 0, 1.0, carry) + tnp.sqrt(x), None

    found, carry = None, 1.0
    for i in reversed(range(len(xs))) if reverse else range(len(xs)):
        before = 1.0 if xs[i] == 0 else carry
        carry = before + (np.sqrt(xs[i]) if xs[i] >= 0 else np.nan)
        found = None if not np.isnan(carry) else i if found is None or not np.isnan(before) else found
    run = tr.jit(lambda x: tr.scan(step, 1.0, x, reverse=reverse)[0])
    if found is None:
        with tr.debug.nans():
            run(f32(xs))
    else:
        assert caught(run, f32(xs)).iterations == (found,)


def test_vmap() -> None:
    def f(x):
        return tr.while_loop(lambda s: s[0] < x, lambda s: (s[0] + 1, tnp.log(s[1])), (0.0, x))[1]  # here

    error = caught(tr.jit(tr.vmap(f)), f32([1, 2, 4]))
    assert error.source.line == line_of(f)
    assert error.op == "log"
    with tr.debug.nans():  # lanes that rest compute nothing that counts
        tr.jit(tr.vmap(f))(f32([1, 1.5, 2]))


def test_cond() -> None:
    def f(x):
        return tr.cond(x > 0, lambda x: x, lambda x: tnp.log(x), x)  # here

    error = caught(tr.jit(f), f32(-1))
    assert error.source.line == line_of(f)
    assert "in branch 0 of cond" in str(error)
    with tr.debug.nans():
        tr.jit(f)(f32(1))


def test_linear_solve() -> None:
    def f(a):
        return tr.custom_linear_solve(
            lambda v: a * v,
            tnp.ones(2),
            lambda matvec, b: b / (a - a) - b / (a - a),  # here
        )

    assert caught(tr.jit(f), f32(2)).source.line == line_of(f)


# What counts --------------------------------------------------------------------------------------------


def test_only_what_reaches_a_result_counts() -> None:
    def f(x):
        return tnp.where(x > 0, tnp.log(x), 0)  # here

    x = f32([-1, 1])
    for run in (tr.jit(f), tr.jit(tr.jacrev(f)), tr.jacfwd(f)):
        with tr.debug.nans():
            run(x)
    error = caught(tr.jit(f), x, everywhere=True)
    assert (error.source.line, error.op) == (line_of(f), "log")


def test_infinities_count_where_they_are_asked_for() -> None:
    def f(x):
        return tnp.sum(1 / x)  # here

    with tr.debug.nans():
        assert np.isinf(tr.jit(f)(zeros))
    error = caught(tr.jit(f), zeros, infs=True)
    assert (error.source.line, error.op, error.kind) == (line_of(f), "div", "inf")


def test_the_source_of_infinite_operands_is_named() -> None:
    text = str(caught(tr.jit(overflow), ones))
    assert "the inf was made by exp" in text
    assert "y = tnp.exp(x * 100)" in text


def test_the_text() -> None:
    error = caught(tr.jit(tr.grad(inside_scan)), f32([3, -2]))
    text = str(error)
    assert "return carry + 1, tnp.sqrt(shifted)  # here" in text
    assert "-3" in text
    assert "iteration 1 of scan" in text
    assert error.operands[0].min == -3
    assert error.results[0].nans == 1
    assert isinstance(error, TracerError)
    assert isinstance(error, FloatingPointError)


# The context itself --------------------------------------------------------------------------------------


def test_results_are_those_of_the_same_program() -> None:
    f = tr.jit(lambda x: tnp.tanh(x @ x.T).sum())
    x = np.random.default_rng(0).normal(size=(5, 5)).astype(f32)
    plain = f(x)
    count = f.compiled._cache_size()
    with tr.debug.nans():
        watched = f(x)
    assert np.asarray(plain).tobytes() == np.asarray(watched).tobytes()
    assert f.compiled._cache_size() == count


def test_outside_nothing_is_left() -> None:
    f = tr.jit(overflow)
    with pytest.raises(NonFiniteError), tr.debug.nans():
        f(ones)
    assert np.isnan(f(ones))
    from tracer.state import ACTIVE, state

    assert state.watch is None
    assert not ACTIVE


def test_as_a_decorator_nested_and_recursive() -> None:
    @tr.debug.nans()
    def run(depth):
        return run(depth - 1) if depth else tr.jit(overflow)(ones)

    with pytest.raises(NonFiniteError):
        run(2)
    context = tr.debug.nans()
    with context:
        with context:
            pass
        with pytest.raises(NonFiniteError):
            tr.jit(overflow)(ones)
    assert np.isnan(tr.jit(overflow)(ones))


def test_donated_arguments() -> None:
    f = tr.jit(lambda x, y: tnp.log(x) + y, donate_argnums=0)
    x, y = jnp.ones(4), jnp.ones(4)
    with tr.debug.nans():
        f(x, y)
    assert x.is_deleted()
    assert not y.is_deleted()
    x = -jnp.ones(4)
    assert caught(f, x, y).op == "log"
    assert x.is_deleted()
    assert caught(functools.partial(f, y=y), -jnp.ones(4)).op == "log"


def test_static_and_keyword_arguments() -> None:
    f = tr.jit(lambda x, shift, scale=1: tnp.log(x - shift) * scale, static_argnames="shift")
    with tr.debug.nans():
        f(ones, shift=0)
    assert caught(functools.partial(f, shift=2, scale=3), ones).op == "log"


def test_functions_that_compute_at_once() -> None:
    error = caught(lambda: tnp.log(tnp.array([-1.0])))  # here
    assert error.op == "log"
    assert error.source.line == line_of(test_functions_that_compute_at_once)
    assert "was given nan" in str(caught(lambda: tnp.exp(np.float32(np.nan))))


def key_to_logarithm(key):
    return tnp.log(tr.random.uniform(key, (3,)) - 2)  # here


def closed_over(z):
    return tr.jit(lambda x: tnp.log(x * z))(jnp.ones(2))  # here


def zero_gradient(x):
    return tnp.sqrt(tnp.sum(x * x))  # here


@pytest.mark.parametrize(
    ("make", "planted", "args"),
    [
        (lambda f: jax.jit(tr.jit(f)), overflow, (f32([1, 2]),)),
        (lambda f: jax.jit(tr.value_and_grad(f)), overflow, (f32([1, 2]),)),
        (lambda f: jax.jit(tr.grad(f)), zero_gradient, (np.zeros(2, f32),)),
        (lambda f: jax.grad(tr.jit(f)), overflow, (f32([1, 2]),)),
        (lambda f: jax.hessian(tr.jit(f)), overflow, (f32([1, 2]),)),
        (lambda f: jax.vmap(tr.jit(f)), overflow, (f32([[0, 0], [0, 0], [1, 2]]),)),
        (lambda f: jax.jit(jax.vmap(tr.jit(f))), overflow, (f32([[0, 0], [0, 0], [1, 2]]),)),
        (lambda f: jax.jit(jax.grad(jax.checkpoint(tr.jit(f)))), overflow, (f32([1, 2]),)),
        (lambda f: lambda xs: jax.lax.map(tr.jit(f), xs), overflow, (f32([[0, 0], [1, 2]]),)),
        (lambda f: jax.jit(tr.jit(f)), key_to_logarithm, (jax.random.key(0),)),
        (jax.jit, closed_over, (-1.0,)),
    ],
)
def test_under_transforms_of_jax(make: Callable[..., Any], planted: Callable[..., Any], args: Any) -> None:
    error = caught(make(planted), *args)
    assert error.source.line == line_of(planted)
    assert error.derivative == (planted is zero_gradient)


def test_programs_of_jax_look_only_within_a_context() -> None:
    step = jax.jit(tr.jit(overflow))
    good, bad = np.zeros(2, f32), f32([1, 2])
    with tr.debug.nans():
        step(good)
    assert np.isnan(step(bad))  # left: the program looks, and nobody listens
    assert caught(step, bad).source.line == line_of(overflow)
    with tr.debug.nans():
        step(good)
    before = jax.jit(tr.jit(overflow))
    before(good)
    with tr.debug.nans():  # compiled before
        assert np.isnan(before(bad))
    with pytest.raises(NonFiniteError), tr.debug.nans():
        step(bad)
        jax.effects_barrier()
        tr.jit(tnp.sin)(good)
        pytest.fail("the next call says so")
    with pytest.raises(KeyError), tr.debug.nans():  # another error is not replaced
        step(bad)
        raise KeyError


def test_programs_of_jax_look_for_what_is_asked() -> None:
    f = tr.jit(lambda x: tnp.exp(x * 100))
    with tr.debug.nans():
        jax.jit(f)(f32(1))
    assert caught(jax.jit(f), f32(1), infs=True).kind == "inf"


def test_other_threads_are_left_alone() -> None:
    found = []
    with tr.debug.nans():
        thread = threading.Thread(target=lambda: found.append(tr.jit(overflow)(ones)))
        thread.start()
        thread.join()
    assert np.isnan(found[0])


# Programs that only give it once they are optimised -------------------------------------------------------


def test_only_the_optimised_program() -> None:
    """A pass that is wrong: the traced program has no NaN to be found."""

    def wrong(function: ir.Function) -> ir.Function:
        from ir.ops.elementwise import log, neg

        return ir.build(function.in_types, lambda x: log(neg(x)), function.name)

    error = caught(tr.jit(lambda x: tnp.log(x), passes=[wrong]), f32(2))
    assert error.op == "log"
    assert "as it was optimised" in str(error)


def test_where_nobody_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracer.debug.nonfinite.search", lambda *_, **__: None)
    error = caught(tr.jit(overflow), ones)
    assert error.op is None
    assert "results hold nan" in str(error)


def test_the_backward_function_of_vjp() -> None:
    with tr.debug.nans():
        _, pull = tr.vjp(norm_at_zero, zeros)
        with pytest.raises(NonFiniteError) as info:
            pull(f32(1))
    assert info.value.source.line == line_of(norm_at_zero)
    assert info.value.derivative is True


def test_left_in_another_order() -> None:
    outer, inner = tr.debug.nans(), tr.debug.nans(infs=True)
    f = tr.jit(lambda x: 1 / x)
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    with pytest.raises(NonFiniteError):
        f(f32(0))  # the inner one still holds
    inner.__exit__(None, None, None)
    assert np.isinf(f(f32(0)))
    assert not np.isfinite(tnp.log(-jnp.ones(())))


def test_generators_that_end_in_any_order() -> None:
    def looking(**options: Any) -> Any:
        with tr.debug.nans(**options):
            yield

    f = tr.jit(tnp.log)
    one, two = looking(), looking(infs=True)
    next(one)
    next(two)
    one.close()
    with pytest.raises(NonFiniteError):
        f(f32(0))
    two.close()
    assert np.isneginf(f(f32(0))) and np.isnan(f(f32(-1)))


def test_left_by_another_thread() -> None:
    def looking() -> Any:
        with tr.debug.nans():
            yield

    f = tr.jit(tnp.log)
    each = looking()
    next(each)
    thread = threading.Thread(target=each.close)
    thread.start()
    thread.join()
    assert np.isnan(f(f32(-1)))  # it is left, for the thread that entered it
    with tr.debug.nans(), pytest.raises(NonFiniteError):
        f(f32(-1))
    assert np.isnan(f(f32(-1)))


def test_one_context_in_two_threads() -> None:
    context, f = tr.debug.nans(), tr.jit(tnp.log)
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with context:
            entered.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait()
    with context, pytest.raises(NonFiniteError):
        f(f32(-1))
    assert np.isnan(f(f32(-1)))
    leave.set()
    thread.join()
    assert np.isnan(f(f32(-1)))


def test_inside_what_jax_integrates() -> None:
    """The op inside, the trip of the loops around it, and the line of the user's right-hand side."""
    from jax.experimental.ode import odeint

    def f(k):
        rate = lambda y, t, k: -k * jnp.sqrt(y - 0.5)
        ys = odeint(rate, jnp.float32(1.0), jnp.linspace(0.0, 5.0, 4), k)
        return tnp.sum(ys)

    with pytest.raises(tr.errors.NonFiniteError) as info, tr.debug.nans():
        tr.jit(tr.grad(f))(f32(1))
    assert info.value.op == "sqrt"
    assert info.value.iterations
    lines, first = inspect.getsourcelines(f)
    text = str(info.value)
    assert "sqrt made the first nan" in text
    assert f"of scan at {__file__}:{first + 2}" in text  # the call
    assert lines[1].strip() in text  # the equation


def test_a_primitive_that_stays_one_of_jax_is_named() -> None:
    def f(x):
        return tnp.sum(jax.pure_callback(lambda x: np.full_like(x, np.nan), x_type, x))

    x_type = jax.ShapeDtypeStruct((2,), f32)
    said = "f: pure_callback of JAX made the first nan"
    with pytest.raises(tr.errors.NonFiniteError, match=said) as info, tr.debug.nans():
        tr.jit(f)(f32([1, 2]))
    assert info.value.op == "foreign"
    assert "jax.pure_callback(lambda" in str(info.value)
