"""Converted Python against the same Python with numbers, and its derivatives against finite differences."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ir
import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import x64

XS = jnp.array([0.5, -1.0, 2.0, 0.0, 3.0])


def collatz_like(x):
    steps = 0.0
    while x > 1.5:
        if x > 10.0:
            x = x / 3.0
        else:
            x = 0.7 * x
        steps = steps + x
    return steps


def chain(x):
    if x > 10:
        y = 1
    elif 5 < x <= 7:
        y = x
    elif 0 < x <= 2:
        y = x * x
    else:
        y = -1.0
    return y * x


def early(x):
    if x > 2:
        return x
    y = 2 * x
    if y < 0:
        return -y
    return y + 1


def leaves_range(x):
    for i in range(10):
        if x > 50:
            return x * i
        x = x * 2
    return -x


def newton(a):
    x = a
    for _ in range(100):
        new = 0.5 * (x + a / x)
        if abs(new - x) < 1e-6:
            break
        x = new
    return x


def needs_the_number(x):
    weights = [1.0, 2.0, 3.0]
    for i in range(3):
        if x > 4:
            break
        x = x + weights[i]
    return x


def while_else(x):
    while x < 10:
        x = x * 2
        if x > 7:
            break
    else:
        x = -x
    return x


def for_else(x):
    for k in range(3):
        if x > 4 + k:
            x = x * 3
            break
        x = x + 1
    else:
        return -x
    return x


def nested_loops(x):
    total = 0
    for i in range(5):
        j = 0
        while True:
            if j >= i or total > 40 * x:
                break
            if (j + i) % 3 == 0:
                j += 2
                continue
            total = total + x * j
            j += 1
    return total


def data_dependent_nest(x):
    total, n = 0.0, 0
    while n < 6:
        n += 1
        m, y = 0, x
        while m < n and y < 8:
            m += 1
            if y > 3:
                y = y * 1.5
                continue
            y = y + x * m
        if total > 60:
            return total * x
        total += y
    return total


def assigns_in_condition(x):
    n = 0
    while (y := x * 2) < 10:
        x = y
        n += 1
    return x + y + n


def handlers(x):
    log = []
    for k in range(3):
        try:
            if k == 1:
                raise ValueError(f"v{k}")
            if k == 2:
                log[17]
            log.append(1.0)
        except ValueError as error:
            log.append(len(str(error)))
            y = x if x > 0 else -x
        except IndexError:
            continue
        else:
            log.append(5.0)
        finally:
            log.append(0.5)
    return y * sum(log)


def with_statement(x):
    with contextlib.suppress(KeyError) as _, contextlib.nullcontext(3) as k:
        if x > 0:
            return x * k
    return -x


def values_of_and_or(x):
    return (x and 2.0) + (x - 3 or 5.0) + (1.0 if not x or x > 2 else 0.25)


def nested_functions(x):
    k = 1.0

    def result():
        return k * x

    def change():
        nonlocal k
        if x > 1:
            k = k * 2
        k = k + 1

    if x > 0:
        k = 3.0
    change()
    return result()


def local_class(x):
    k = 1.0
    if x > 0:
        k = 3.0

    class Scaled:
        def times(self, y):
            if y > 1:
                return y * k
            return y

    return Scaled().times(x)


def generator(x):
    def items():
        for i in range(3):
            yield x * i

    total = 0.0
    for v in items():
        if v < 5:
            total = total + v
    return total


def containers(x):
    pair, table = [x, x], {"k": x}
    if x > 1:
        table["k"] = table["k"] + 1
        pair[0] = 5.0
    both = []
    if x > 0:
        both.append(x)
    else:
        both.append(2 * x)
    i = 0
    while i < 3 and x > 0:
        pair[0] = pair[0] + x
        i += 1
    return pair[0] * pair[1] + table["k"] + both[0]


class Counter:
    def __init__(self):
        self.total, self.calls = 0.0, 0

    def add(self, x):
        self.total = self.total + x
        self.calls += 1


def effects_of_functions(x):
    k, counter = 1.0, Counter()

    def change(by):
        nonlocal k
        k = k + by

    if x > 0:
        change(x)
        counter.add(x)
    else:
        change(1.0)
    return k * x + counter.total * counter.calls


def helper(x):
    if x > 0:
        return x
    return -x


def calls(x):
    return helper(x) + (lambda z: z if z > 1 else 2 * z)(x) + sum(map(helper, [x, 1.0]))


def decorate(f):
    @functools.wraps(f)
    def wrapper(*args):
        out = f(*args)
        if out > 3:
            out = out * 10
        return out

    return wrapper


@decorate
def decorated(x):
    if x > 1:
        return x + 1
    return x


class Base:
    def __init__(self):
        self.k = 2.0
        self.__private = 3.0

    def f(self, x):
        if x > 0:
            x = x * self.k
        return x * self.__private

    def state(self, x):
        before = self.k
        while self.k < 10:
            self.k = self.k * 2 + x * x
        out, self.k = self.k, before
        return out

    def __call__(self, x):
        return self.f(x)


class Derived(Base):
    def f(self, x):
        return super().f(x) + (1 if x > 3 else 0)


def builtin_reductions(x):
    out = min(x, 2.0) + max(1, x * x, 0.5) + min([x, -x, 3.0])
    if any(v > 2 for v in (x, 2 * x)) and not all(v > 0 for v in [x, 1.0]):
        out = -out
    return out + max((1, 2), key=lambda v: -v) + min([], default=0.25)


SCALAR: dict[str, tuple[Callable[..., Any], tuple[float, ...]]] = {
    "while_if": (collatz_like, (1.0, 4.0, 37.0, 1e3)),
    "elif": (chain, (20.0, 6.0, 1.5, -3.0)),
    "early_return": (early, (3.0, 1.0, -1.0)),
    "return_in_range": (leaves_range, (3.0, 0.01, 100.0)),
    "newton": (newton, (2.0, 9.5)),
    "needs_the_number": (needs_the_number, (0.0, 2.5, 5.0)),
    "while_else": (while_else, (1.0, 11.0, 3.0, 1.8)),
    "for_else": (for_else, (5.0, 4.5, 0.5)),
    "nested_loops": (nested_loops, (1.5, -0.5)),
    "data_dependent_nest": (data_dependent_nest, (0.3, 1.1, 2.0, 4.0)),
    "walrus": (assigns_in_condition, (1.0, 11.0)),
    "handlers": (handlers, (1.0, -2.0)),
    "with": (with_statement, (2.0, -2.0)),
    "and_or_values": (values_of_and_or, (2.5, 1.0)),
    "nested_functions": (nested_functions, (2.0, 0.5, -1.0)),
    "class": (local_class, (2.0, 0.5, -1.0)),
    "generator": (generator, (2.0, 4.0)),
    "containers": (containers, (1.5, 0.5, -1.0)),
    "calls": (calls, (-1.0, 0.5, 2.0)),
    "builtin_reductions": (builtin_reductions, (0.3, 1.7, -1.5)),
    "effects_of_functions": (effects_of_functions, (2.0, -1.0)),
    "decorated": (decorated, (0.5, 1.5, 5.0)),
    "method": (Base().f, (1.0, -1.0)),
    "attributes": (Base().state, (0.5, 2.0)),
    "super": (Derived().f, (5.0, 1.0, -1.0)),
    "callable": (Derived(), (5.0, -1.0)),
    "lambda": (lambda x: x if x > 0 else -2 * x, (1.0, -1.0)),
    "second_lambda": ((lambda x: x, lambda x: 3 * x if x > 0 else -x)[1], (1.0, -1.0)),
    "partial": (functools.partial(lambda k, x: k * x if x > 0 else x / k, 4.0), (1.0, -1.0)),
}


@pytest.mark.parametrize("name", SCALAR)
def test_values_and_gradients(name: str) -> None:
    f, points = SCALAR[name]
    with x64():
        both = tr.jit(tr.value_and_grad(f), autograph=True)
        for x in points:
            value, slope = both(x)
            h = 1e-6 * max(1.0, abs(x))
            np.testing.assert_allclose(float(value), f(x), rtol=1e-12)
            np.testing.assert_allclose(
                float(slope), (f(x + h) - f(x - h)) / (2 * h), rtol=1e-4, atol=1e-6, err_msg=str(x)
            )
            # Not traced, it is the function itself.
            assert tr.autograph(f)(x) == f(x)


# Arrays ----------------------------------------------------------------------------------------------


def first_above(xs, t):
    for x in xs:
        if x > t:
            return x
    return t


def dot(xs, ys):
    total = 0.0
    for x, y in zip(xs, ys):  # noqa: B905
        total += x * y
    return total


def weighted(xs):
    ys = []
    for i, x in enumerate(xs):
        if x > 0:
            y = x * i
        else:
            y = -x
        ys.append(y)
        ys.append(y * y)
    return tnp.stack(ys)


def nested_appends(xs):
    out = []
    for x in xs:
        for j in tnp.arange(2):
            out.append(x * j)
    return tnp.stack(out)


def last_of_loop(xs):
    for x in xs:
        y = x * 2
    return y + x


def skips(xs):
    total = 0
    for x in xs:
        if x <= 0:
            continue
        if total > 2:
            break
        total = total + x * x
    return total if total > 1 else -total


ARRAYS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "return": (first_above, (XS, 1.0)),
    "never_returns": (first_above, (XS, 5.0)),
    "zip": (dot, (XS, XS + 1)),
    "lists": (weighted, (XS,)),
    "nested_lists": (nested_appends, (XS,)),
    "loop_variable": (last_of_loop, (XS,)),
    "continue_and_break": (skips, (XS,)),
    "no_items": (dot, (XS[:0], XS)),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_loops_over_arrays(name: str) -> None:
    f, args = ARRAYS[name]
    np.testing.assert_allclose(tr.jit(f, autograph=True)(*args), f(*args), rtol=1e-6)


def test_arrays_become_scans_and_known_lengths_no_while() -> None:
    ops = {e.op.name for e in tr.trace(dot, autograph=True)(XS, XS).eqns}
    assert "scan" in ops and "while_loop" not in ops
    ops = {e.op.name for e in tr.trace(skips, autograph=True)(XS).eqns}
    assert "while_loop" in ops and "scan" not in ops


def ranges(n, x):
    s = 0
    for i in range(n):
        s += i * x
    for i in range(2, n, 2):
        s += i
    for i in range(n, 0, -1):
        s = s - i * x * x
    for k, i in enumerate(range(n)):
        s = s + k * i
    for a, b in zip(range(n), range(1, n)):  # noqa: B905
        s = s + a * b
    return s


def returns_what_is_promoted(n):
    x = 0
    while n > 0:
        if x > 1:
            return x
        x = x + 0.5
        n = n - 1
    return -x


@pytest.mark.parametrize("n", [0, 2, 9])
def test_results_of_loops_are_promoted_too(n: int) -> None:
    assert float(tr.jit(returns_what_is_promoted, autograph=True)(n)) == returns_what_is_promoted(n)


def descends(x):
    def loss(p):
        return (p - 1) ** 2 if p < 5 else p

    while loss(x) > 1e-2:
        x = x - 0.1 * tr.grad(loss)(x)
    return x


def test_gradients_inside_converted_loops() -> None:
    value, slope = tr.jit(tr.value_and_grad(descends), autograph=True)(0.0)
    np.testing.assert_allclose((value, slope), (1 - 0.8**11, 0.8**11), rtol=1e-5)


def keyed(key, xs):
    for x in xs:
        if x > 1:
            return key, x
        key = tr.random.split(key)[0]
    return key, 0.0


def test_keys_are_carried_and_returned() -> None:
    key = jax.random.key(0)
    got, want = tr.jit(keyed, autograph=True)(key, XS), keyed(key, XS)
    assert (jax.random.key_data(got[0]) == jax.random.key_data(want[0])).all() and got[1] == want[1]


def test_threads_convert_on_their_own() -> None:
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(float(tr.jit(collatz_like, autograph=True)(4.0))))
        for _ in range(3)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    np.testing.assert_allclose(results, [collatz_like(4.0)] * 3, rtol=1e-6)


def test_static_arguments_stay_python() -> None:
    def f(x, mode, *, k=2):
        if mode == "a" and x > 0:
            return x * k
        return -x

    assert float(tr.jit(f, static_argnums=1, autograph=True)(2.0, "a")) == 4.0
    assert float(tr.jit(f, static_argnames="mode", autograph=True)(2.0, mode="b", k=3)) == -2.0


def test_ranges_with_traced_bounds() -> None:
    value, slope = tr.jit(ranges, autograph=True), tr.jit(tr.grad(ranges, 1), autograph=True)
    for n in (0, 1, 5, 6):
        assert float(value(n, 1.5)) == ranges(n, 1.5)
        np.testing.assert_allclose(
            float(slope(n, 1.5)), (ranges(n, 2.0) - ranges(n, 1.0)) / 1.0, rtol=1e-5
        )  # quadratic


def test_python_numbers_become_what_they_are_added_to() -> None:
    def count(n, x):
        total = 0
        while n > 0:
            total = total + x
            n = n - 1
        return total

    made = tr.jit(count, autograph=True)(3, jnp.float32(0.5))
    assert made.dtype == np.float32 and float(made) == 1.5
    half = tr.jit(count, autograph=True)(3, jnp.float16(0.5))
    assert half.dtype == np.float16


# Transforms ------------------------------------------------------------------------------------------


def test_every_transform_takes_the_flag() -> None:
    x, exact = 2.0, np.sqrt(2.0)
    slope, curvature = 0.5 / exact, -0.25 / exact**3
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4)
    close(tr.grad(newton, autograph=True)(x), slope)
    close(tr.value_and_grad(newton, autograph=True)(x), (exact, slope))
    close(tr.jvp(newton, (x,), (1.0,), autograph=True), (exact, slope))
    close(tr.vjp(newton, x, autograph=True)[1](1.0), [slope])
    close(tr.linearize(newton, x, autograph=True)[1](1.0), slope)
    for jacobian in (tr.jacfwd, tr.jacrev, tr.jacobian):
        close(jacobian(newton, autograph=True)(x), slope)
    close(tr.hessian(newton, autograph=True)(x), curvature, rtol=1e-3)
    close(tr.hvp(newton, (x,), (2.0,), autograph=True), 2 * curvature, rtol=1e-3)
    close(tr.vmap(newton, autograph=True)(jnp.array([1.0, 4.0, 9.0])), [1.0, 2.0, 3.0])
    assert any(e.op.name == "while_loop" for e in tr.trace(newton, autograph=True)(x).eqns)


def test_the_flag_reaches_inner_functions() -> None:
    x = jnp.array([2.0, 4.0, 9.0])
    np.testing.assert_allclose(
        tr.jit(tr.vmap(tr.grad(newton)), autograph=True)(x), 0.5 / np.sqrt(x), rtol=1e-4
    )
    np.testing.assert_allclose(tr.jit(lambda x: tr.jit(decorated)(x), autograph=True)(5.0), 60.0)
    np.testing.assert_allclose(tr.jit(tr.grad(tr.checkpoint(decorated)), autograph=True)(5.0), 10.0)
    tree = tr.jit(lambda d: jax.tree.map(decorated, d), autograph=True)({"a": 5.0})
    assert float(tree["a"]) == 60.0

    def step(carry, x):
        if x > 0:
            carry = carry + x
        return carry, carry

    assert float(tr.jit(lambda xs: tr.scan(step, 0.0, xs)[0], autograph=True)(XS)) == 5.5


def test_custom_rules_of_converted_functions() -> None:
    @tr.custom_jvp
    def size(x):
        if x > 0:
            return x
        return -x

    size.defjvp(lambda primals, tangents: (size(*primals), 7.0 * tangents[0]))
    assert float(tr.grad(lambda x: size(x) if x > -9 else x, autograph=True)(-2.0)) == 7.0


def test_jax_transforms_of_converted_programs() -> None:
    compiled = tr.jit(decorated, autograph=True)
    assert float(jax.grad(compiled)(5.0)) == 10.0
    np.testing.assert_allclose(jax.vmap(compiled)(jnp.arange(5.0)), [0, 1, 3, 40, 50])


def calls_jax(x):
    if x > 0:
        y = jnp.sin(x)
    else:
        y = jnp.cos(x) * 2
    while y < 3:
        y = y + jnp.abs(y) + 0.1
    return y


def jax_around(x):
    x = jnp.sin(x)
    if x > 0:
        x = x * x if x > 0.5 else jnp.exp(x)
    for _ in range(3):
        if x > 2:
            break
        x = x + 1
    return x


@pytest.mark.parametrize("f", [calls_jax, jax_around])
@pytest.mark.parametrize("x", [1.0, 0.3, -1.0])
def test_code_that_calls_jax(f: Any, x: float) -> None:
    with x64():
        value, slope = tr.jit(tr.value_and_grad(f), autograph=True)(x)
        np.testing.assert_allclose(float(value), float(f(x)), rtol=1e-12)
        h = 1e-6
        np.testing.assert_allclose(float(slope), float(f(x + h) - f(x - h)) / (2 * h), rtol=1e-4)
        np.testing.assert_allclose(float(jax.jit(tr.autograph(f))(x)), float(f(x)), rtol=1e-12)


# What stays Python -----------------------------------------------------------------------------------


def test_operands_are_evaluated_once_and_as_late_as_in_python() -> None:
    calls = []

    def note(x):
        calls.append(x)
        return x

    def f(x):
        out = [
            1 < note(2) < 3,
            3 < note(1) < note(9),
            note(0) and note(5),
            note(7) or note(8),
            not note(0),
            note("a") if note(1) else note("b"),
            [k for k in range(4) if k % 2],
        ]
        return out, x < note(x) <= x

    want = f(1.0)
    before, calls[:] = list(calls), []
    assert tr.autograph(f)(1.0) == want and calls == before
    calls.clear()
    assert tr.jit(lambda x: f(x)[1], autograph=True)(1.0) == want[1]
    assert len(calls) == len(before)


def test_iterators_are_read_no_further_than_by_python() -> None:
    def f(n):
        items = iter(range(10))
        for k in items:
            if k >= n:
                break
        return next(items)

    assert tr.autograph(f)(3) == f(3) == 4


def test_exceptions_and_arguments_pass_through() -> None:
    class Odd(Exception):
        pass

    def f(a, /, b=2, *rest, c=3, **others):
        """Documented."""
        if b > 5:
            raise Odd("too many")
        return a, b, rest, c, others

    g = tr.autograph(f)
    assert g(1) == f(1) and g(1, 2, 3, c=4, d=5) == f(1, 2, 3, c=4, d=5)
    assert g.__name__ == "f" and g.__doc__ == "Documented."
    with pytest.raises(Odd, match="too many"):
        g(1, 6)
    with pytest.raises(TypeError):
        g()


def test_closures_and_defaults_are_live() -> None:
    k = 1.0

    def f(x):
        return x * k if x > 0 else x

    g = tr.autograph(f)
    assert g(2.0) == 2.0
    k = 5.0
    assert g(2.0) == 10.0 and float(tr.grad(g)(2.0)) == 5.0


def test_conversion_happens_once_for_each_code_object(monkeypatch: pytest.MonkeyPatch) -> None:
    from tracer.conversion import transpile

    def make(k):
        def f(x):
            return x * k if x > 0 else x

        return f

    assert tr.autograph(make(2.0))(1.0) == 2.0
    monkeypatch.setattr(transpile, "prepared", None)
    assert tr.autograph(make(3.0))(1.0) == 3.0


def test_import_does_not_load_malt() -> None:
    import subprocess
    import sys

    code = (
        "import sys, tracer; print([m for m in sys.modules if m.startswith(('malt', 'tracer.conversion'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Sources ---------------------------------------------------------------------------------------------


def located(x):
    y = tnp.sin(x)
    if y > 0:
        y = y * 2
    while y < 5:
        y = y + tnp.exp(y)
    return y


def sources(function: ir.Function) -> list[tuple[str, int]]:
    out = []
    for eqn in function.eqns:
        out.append((eqn.op.name, eqn.source.line))
        for inner in ir.nested_functions(eqn):
            out += sources(inner)
    return out


def test_equations_know_the_original_lines() -> None:
    first = located.__code__.co_firstlineno
    function = tr.trace(located, autograph=True)(1.0)
    lines = {name: line - first for name, line in sources(function)}
    assert lines["sin"] == 1 and lines["cond"] == 2 and lines["mul"] == 3
    assert lines["while_loop"] == 4 and lines["exp"] == 5
    assert all(e.source.file == __file__ and e.source.function == "located" for e in function.eqns)


def test_asserts_on_traced_values_are_checked_when_the_program_runs() -> None:
    def f(x):
        assert x > 0, f"expected a positive number, got {x}"
        return x * 2

    compiled = tr.jit(f, autograph=True)
    assert float(compiled(1.0)) == 2.0
    assert float(tr.jit(tr.grad(f), autograph=True)(1.0)) == 2.0
    with pytest.raises(Exception, match="expected a positive number"):
        jax.block_until_ready(compiled(-1.0))
        jax.effects_barrier()
    with pytest.raises(AssertionError, match="got -1"):
        tr.autograph(f)(-1.0)
