"""What users get for mistakes: the type, both sides of the mismatch, their line, and a clean state after."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, clean, raises
from tracer import errors

A, B, V = array(3, 4), array(3, 4, seed=1), array(4)


def usable() -> None:
    """Tracing, differentiating and batching still work."""
    clean()
    assert float(tr.grad(lambda x: x**2)(3.0)) == 6.0
    assert tr.vmap(lambda x: x + 1)(V).shape == (4,)
    assert float(tr.jit(lambda x: x * 2)(2.0)) == 4.0


# Shapes and types ------------------------------------------------------------------------------------

OPERATIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], type[BaseException], tuple[str, ...]]] = {
    "matmul": (lambda a, b: a @ b, (A, B), errors.ShapeError, ("f32[3,4]",)),
    "add": (lambda a, b: a + b, (A, array(3)), errors.ShapeError, ("(3, 4)", "(3,)")),
    "dot": (lambda a, b: tnp.dot(a, b), (A, array(3)), errors.ShapeError, ("f32[3,4]", "f32[3]")),
    "tensordot": (lambda a, b: tnp.tensordot(a, b, 1), (A, A), errors.ShapeError, ("f32[3,4]",)),
    "reshape": (lambda a: a.reshape(5, -1), (A,), errors.ShapeError, ("f32[3,4]", "5")),
    "squeeze": (lambda a: tnp.squeeze(a, 0), (A,), errors.ShapeError, ("f32[3,4]",)),
    "broadcast_to": (lambda a: tnp.broadcast_to(a, (2, 4)), (A,), errors.ShapeError, ("(3, 4)", "(2, 4)")),
    "concatenate": (lambda a, v: tnp.concatenate([a, v]), (A, V), errors.ShapeError, ("f32[3,4]", "f32[4]")),
    "concatenate sizes": (lambda a: tnp.concatenate([a, a.T]), (A,), errors.ShapeError, ("3", "4")),
    "stack": (lambda a, v: tnp.stack([a, v]), (A, V), errors.ShapeError, ("f32[3,4]", "f32[4]")),
    "axis": (lambda a: a.sum(2), (A,), errors.ArgumentError, ("2", "sum")),
    "axes": (lambda a: a.sum((0, 0)), (A,), errors.ArgumentError, ("distinct",)),
    "axis type": (lambda a: a.sum("x"), (A,), errors.ArgumentTypeError, ("'x'",)),
    "split": (lambda a: tnp.split(a, 2), (A,), errors.ArgumentError, ("3", "2")),
    "empty max": (lambda a: a[:0].max(), (A,), errors.ArgumentError, ("initial",)),
    "bools": (lambda a: (a > 0) - (a > 1), (A,), errors.IRTypeError, ("sub", "bool[3,4]")),
    "bits of floats": (lambda a: a & 1, (A,), errors.IRTypeError, ("and", "f32")),
    "negative power": (lambda n: n**-1, (np.arange(3),), errors.ArgumentTypeError, ("i32[3]", "-1")),
    "index": (lambda a: a[5], (A,), errors.StaticIndexError, ("5", "3")),
    "negative index": (lambda a: a[0, -9], (A,), errors.StaticIndexError, ("-9", "4")),
    "many indices": (lambda a: a[0, 0, 0], (A,), errors.ArgumentError, ("3", "2")),
    "float index": (lambda a: a[1.5], (A,), errors.ArgumentTypeError, ("float",)),
    "float indices": (lambda a, v: a[v], (A, V), errors.ArgumentTypeError, ("float32",)),
    "traced mask": (lambda a: a[a > 0], (A,), errors.ConcretizationError, ("where",)),
    "traced slice": (lambda a, n: a[:n], (A, 2), errors.ConcretizationError, ("static",)),
    "at": (lambda a: a.at[0].set(a), (A,), errors.ShapeError, ("(3, 4)", "(4,)")),
    "at mode": (lambda a: a.at[0].set(1.0, mode="x"), (A,), errors.ArgumentError, ("'x'",)),
    "arange": (lambda n: tnp.arange(n), (3,), errors.ArgumentTypeError, ("static",)),
    "where": (lambda a: tnp.where(a > 0), (A,), errors.ConcretizationError, ("size=",)),
    "repeat": (lambda n: tnp.repeat(V, n), (3,), errors.ArgumentTypeError, ("static",)),
    "len": (lambda x: len(x), (1.0,), errors.ArgumentTypeError, ("f32[]",)),
    "hash": (lambda x: {x: 1}, (1.0,), errors.ArgumentTypeError, ("hashable", "f32[]")),
    "conv": (
        lambda x: tr.nn.conv(x, tnp.ones((2, 4, 3, 3))),
        (array(1, 3, 5, 5),),
        errors.TracerError,
        ("3", "4"),
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name: str) -> None:
    f, args, kind, parts = OPERATIONS[name]
    fine = tr.jit(lambda *xs: xs[0] * 1)
    for run in (
        lambda: tr.jit(f)(*args),
        lambda: tr.trace(f)(*args),
        lambda: tr.jit(lambda *xs: fine(f(*xs)))(*args),
    ):
        with raises(kind, *parts, located=False) as info:
            run()
        assert f"{__file__}:" in str(info.value)
    assert fine(*args).shape == np.shape(args[0])
    usable()


def test_the_line_is_that_of_the_operation() -> None:
    def f(a: Any, b: Any) -> Any:
        c = a * 2
        return c @ b

    with raises(errors.ShapeError) as info:
        tr.jit(f)(A, B)
    assert f"{__file__}:{f.__code__.co_firstlineno + 2} " in str(info.value)
    assert "at " in str(info.value)


def test_errors_are_the_builtin_kinds_too() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        tr.jit(lambda a, b: a + b)(A, array(3))
    with pytest.raises(TypeError, match="matmul"):
        tr.jit(lambda a, b: a @ b)(A, B)
    with pytest.raises(IndexError, match="out of range"):
        tr.jit(lambda a: a[5])(A)


# Python's own use of a value --------------------------------------------------------------------------

USES: dict[str, Callable[[Any], Any]] = {
    "if": lambda x: x if x > 0 else -x,
    "and": lambda x: (x > 0) and (x < 1),
    "not": lambda x: not x,
    "float": float,
    "int": int,
    "complex": complex,
    "bool": bool,
    "index": lambda x: [1, 2, 3][tnp.astype(x, int)],
    "range": lambda x: [i for i in range(x.astype(int))],
    "item": lambda x: x.item(),
    "tolist": lambda x: x.tolist(),
    "numpy": np.asarray,
    "iteration": lambda x: [y for y in x],
    "unpacking": lambda x: (lambda a, b: a)(*x),
    "shape": lambda x: tnp.zeros(x.astype(int)),
}


@pytest.mark.parametrize("use", USES)
def test_concrete_values(use: str) -> None:
    f = USES[use]
    kind = "i32[]" if use in ("index", "range", "shape") else "bool[]" if use in ("if", "and") else "f32[]"
    for run in (
        lambda: tr.jit(lambda x: f(x))(1.0),
        lambda: tr.jit(tr.grad(lambda x: f(x) * x))(1.0),
        lambda: tr.vmap(lambda x: f(x))(V),
    ):
        with raises(errors.ConcretizationError, kind, f"at {__file__}:", located=False):
            run()
    usable()


def test_the_advice_for_if() -> None:
    with raises(errors.ConcretizationError, "tracer.cond", "tracer.while_loop", "where"):
        tr.jit(lambda x: x if x > 0 else -x)(1.0)


@pytest.mark.parametrize("use", [float, np.asarray, lambda x: x.tolist(), lambda x: complex(x).real])
def test_no_derivative_is_lost_by_a_conversion(use: Callable[[Any], Any]) -> None:
    with raises(errors.ConcretizationError, "derivative", "stop_gradient"):
        tr.grad(lambda x: x * use(x * 2))(1.0)
    with raises(errors.ConcretizationError, "derivative"):
        tr.jvp(lambda x: x * use(x), (1.0,), (1.0,))
    with raises(errors.ConcretizationError, "derivative"):
        tr.grad(lambda x: tr.grad(lambda y: y * use(x))(1.0))(1.0)
    assert float(tr.grad(lambda x: x * use(tr.stop_gradient(x)))(3.0)) == 3.0
    assert float(tr.grad(lambda x, y: x * use(y))(3.0, 2.0)) == 2.0


# Values that outlive their trace ----------------------------------------------------------------------


def leaked(run: Callable[..., Any] = tr.jit) -> Any:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x)
        kept.append(x * 2)
        return x.sum()

    run(f)(V)
    return kept


@pytest.mark.parametrize("run", [tr.jit, tr.grad, tr.trace, tr.vmap, lambda f: lambda v: tr.vjp(f, v)])
def test_escaped_values(run: Callable[..., Any]) -> None:
    argument, result = leaked(run)
    for use in (
        lambda x: x + 1,
        lambda x: 1 - x,
        lambda x: x @ x,
        lambda x: -x,
        lambda x: x[0],
        lambda x: x.sum(),
        lambda x: x.at[0].set(1.0),
        lambda x: tnp.sin(x),
        lambda x: tnp.where(V > 0, x, 0),
        lambda x: tnp.stack([x, x]),
        lambda x: x.reshape(2, 2),
        lambda x: x.T,
        lambda x: tr.jit(lambda y: x + y)(V),
        lambda x: tr.jit(lambda y: y)(x),
        lambda x: tr.grad(lambda y: (x * y).sum())(V),
        lambda x: tr.grad(lambda y: y.sum())(x),
        lambda x: tr.vmap(lambda y: y)(x),
        lambda x: tr.jvp(lambda y: y, (V,), (x,)),
        lambda x: tr.vjp(lambda y: y, V)[1](x),
        lambda x: tr.trace(lambda: x)(),
        bool,
        np.asarray,
    ):
        for value in (argument, result):
            with raises(errors.EscapedValueError, "trace had ended", "[" if run is tr.vmap else "[4]"):
                use(value)
    usable()


def test_escape_says_where_the_value_was_made() -> None:
    _, result = leaked()
    line = leaked.__code__.co_firstlineno + 5
    with raises(errors.EscapedValueError, f"made at {__file__}:{line}"):
        result + 1


def test_escape_through_a_generator() -> None:
    def f(x: Any) -> Any:
        for _ in range(3):
            yield x

    held: list[Any] = []
    tr.jit(lambda x: held.append(f(x)) or x)(1.0)
    value = next(held[0])
    with raises(errors.EscapedValueError):
        value + 1


def test_escape_through_a_global_and_between_traces() -> None:
    store: dict[str, Any] = {}

    def keep(x: Any) -> Any:
        store["x"] = x
        return x * 2

    tr.jit(keep)(1.0)
    with raises(errors.EscapedValueError):
        tr.jit(lambda y: y + store["x"])(2.0)
    with raises(errors.EscapedValueError):
        tr.jit(lambda y: tr.grad(lambda z: z * store["x"])(y))(2.0)
    usable()


def test_escape_from_an_inner_trace() -> None:
    def f(x: Any) -> Any:
        kept = []
        tr.grad(lambda y: kept.append(y) or y**2)(x)
        return kept[0] + x

    for run in (tr.jit, tr.grad):
        with raises(errors.EscapedValueError):
            run(f)(1.0)
    usable()


def test_use_in_another_thread() -> None:
    caught: list[BaseException] = []

    def f(x: Any) -> Any:
        def other(inside: bool) -> None:
            try:
                if inside:
                    tr.jit(lambda y: y + x)(1.0)
                else:
                    tnp.sin(x * 2)
            except BaseException as error:  # noqa: BLE001 (looked at below)
                caught.append(error)

        for inside in (False, True):
            thread = threading.Thread(target=other, args=(inside,))
            thread.start()
            thread.join()
        return x * 2

    assert float(tr.jit(f)(1.0)) == 2.0
    assert len(caught) == 2
    for error in caught:
        assert isinstance(error, errors.EscapedValueError), error
        assert "another thread" in str(error)
    usable()


# Arguments -------------------------------------------------------------------------------------------


def test_grad_of_what_has_no_gradient() -> None:
    with raises(errors.ArgumentTypeError, "scalar", "f32[4]", "jacobian"):
        tr.grad(lambda x: x * 2)(V)
    with raises(errors.ArgumentTypeError, "int", "i32[]", "n", "allow_int"):
        tr.grad(lambda n: n * 2.0)(3)
    with raises(errors.ArgumentTypeError, "bool"):
        tr.grad(lambda n: n * 2.0)(np.array(True))
    with raises(errors.ArgumentTypeError, "float", "i32[]"):
        tr.grad(lambda x: x.astype(int))(3.0)
    with raises(errors.ArgumentTypeError, "real", "c64[]"):
        tr.grad(lambda x: x * 1j)(3.0)
    with raises(errors.ArgumentTypeError, "tuple"):
        tr.grad(lambda x: (x, x))(3.0)
    with raises(errors.ArgumentTypeError, "NoneType"):
        tr.grad(lambda x: None)(3.0)
    with raises(errors.ArgumentTypeError, "(value, aux)"):
        tr.grad(lambda x: x, has_aux=True)(3.0)
    with raises(errors.ArgumentTypeError, "argnums", "2"):
        tr.grad(lambda x, y: x, argnums=2)(1.0, 2.0)
    with raises(errors.ArgumentTypeError, "argnums", "'x'"):
        tr.grad(lambda x, y: x, argnums=("x",))(1.0, 2.0)
    with raises(errors.ArgumentTypeError, "argnums"):
        tr.grad(lambda x: x)(x=1.0)
    with raises(errors.ArgumentTypeError, "jacrev", "float", "i32[]"):
        tr.jacrev(lambda n: n)(3)
    with raises(errors.ArgumentTypeError, "jacfwd", "float", "c64[]"):
        tr.jacfwd(lambda z: z)(1j)
    usable()


NOT_ARRAYS = ["text", object(), {1, 2}, lambda x: x, np.array(["a"]), np.array([object()])]


@pytest.mark.parametrize("value", NOT_ARRAYS, ids=lambda v: type(v).__name__)
def test_what_is_no_array(value: Any) -> None:
    def f(x: Any, params: Any) -> Any:
        return x

    for run in (
        lambda: tr.jit(f)(1.0, {"w": value}),
        lambda: tr.trace(f)(1.0, {"w": value}),
        lambda: tr.grad(f, argnums=1)(1.0, {"w": value}),
        lambda: tr.vjp(f, 1.0, {"w": value}),
        lambda: tr.jvp(f, (1.0, {"w": value}), (1.0, {"w": 1.0})),
        lambda: tr.vmap(f, in_axes=(None, 0))(1.0, {"w": value}),
        lambda: tr.linearize(f, 1.0, {"w": value}),
        lambda: (
            tr.jit(tr.checkpoint(lambda x: f(x, {"w": value})))(1.0)
            if False
            else tr.jit(f)(1.0, {"w": value})
        ),
    ):
        with raises(errors.ArgumentTypeError, "params_w", "f:"):
            run()
    with raises(errors.ArgumentTypeError, "returned"):
        tr.jit(lambda x: (x, value))(1.0)
    usable()


def test_wrong_calls() -> None:
    def f(x: Any, *, scale: float = 1.0) -> Any:
        return x * scale

    for run in (
        lambda **k: tr.jit(f)(1.0, **k),
        lambda **k: tr.grad(f)(1.0, **k),
        lambda **k: tr.vmap(f)(V, **k),
        lambda **k: tr.trace(f)(1.0, **k),
        lambda **k: tr.jacfwd(f)(1.0, **k),
        lambda **k: tr.jit(lambda x: tr.checkpoint(f)(x, **k))(1.0),
        lambda **k: tr.jit(lambda x: tr.jit(f)(x, **k))(1.0),
    ):
        with raises(errors.ArgumentTypeError, "f:", "unexpected keyword", "scale"):
            run(factor=V)
    with raises(errors.ArgumentTypeError, "missing", "x"):
        tr.jit(f)()
    with raises(errors.ArgumentTypeError, "too many"):
        tr.jit(f)(1.0, 2.0)
    usable()


def test_a_type_error_of_the_user_stays_theirs() -> None:
    def f(x: Any) -> Any:
        return x + "a"

    with pytest.raises(TypeError, match="unsupported operand") as info:
        tr.jit(f)(1.0)
    assert not isinstance(info.value, errors.TracerError)
    with pytest.raises(KeyError):
        tr.grad(lambda p: p["b"])({"a": 1.0})
    with pytest.raises(ZeroDivisionError):
        tr.vmap(lambda x: x * (1 / 0))(V)
    usable()


def test_static_arguments() -> None:
    f = tr.jit(lambda x, mode: x, static_argnums=1)
    with raises(errors.ArgumentTypeError, "mode", "hashable", "list"):
        f(1.0, [1])
    with raises(errors.ArgumentTypeError, "mode", "hashable", "dict"):
        f(1.0, mode={})
    with raises(errors.ArgumentTypeError, "mode", "hashable"):
        f(1.0, np.ones(3))
    assert float(f(1.0, "a")) == 1.0
    with raises(errors.ArgumentError, "static_argnums", "[2]"):
        tr.jit(lambda x: x, static_argnums=2)
    with raises(errors.ArgumentError, "static_argnames", "y"):
        tr.jit(lambda x: x, static_argnames="y")
    usable()


def test_tangents_and_cotangents_that_do_not_fit() -> None:
    f = lambda x: {"y": x * 2}
    for push in (lambda *t: tr.jvp(f, (V,), t), lambda *t: tr.linearize(f, V)[1](*t)):
        with raises(errors.ArgumentTypeError, "f32[4]", "f32[3]"):
            push(array(3))
        with raises(errors.ArgumentTypeError, "f32[4]", "i32[4]"):
            push(np.arange(4))
        with raises(errors.ArgumentTypeError, "f32[4]", "f16[4]"):
            push(V.astype(np.float16))
        with raises(errors.ArgumentTypeError, "structure"):
            push(V, V)
        with raises(errors.ArgumentTypeError, "structure"):
            push({"a": V})
        with raises(errors.ArgumentTypeError, "f32[4]", "float0"):
            push(np.zeros(4, jax.dtypes.float0))
    _, pull = tr.vjp(f, V)
    with raises(errors.ArgumentTypeError, "f32[4]", "f32[]"):
        pull({"y": 1.0})
    with raises(errors.ArgumentTypeError, "structure", "'y'"):
        pull(V)
    with raises(errors.ArgumentTypeError, "float0", "i32[]"):
        tr.jvp(lambda n: n * 1.0, (3,), (1.0,))
    with raises(errors.ArgumentTypeError, "tuples"):
        tr.jvp(f, V, V)
    usable()


def test_vmap_axes() -> None:
    with raises(errors.BatchingError, "3", "4", "a (f32[3,4], axis 0)"):
        tr.vmap(lambda a, b: a + b)(A, V)
    with raises(errors.BatchingError, "in_axes", "2", "1"):
        tr.vmap(lambda a, b: a, in_axes=(0,))(A, A)
    with raises(errors.BatchingError, "in_axes", "prefix"):
        tr.vmap(lambda p: p["a"], in_axes=({"b": 0},))({"a": A})
    with raises(errors.BatchingError, "out_axes", "prefix"):
        tr.vmap(lambda a: (a, a), out_axes=(0, 0, 0))(A)
    with raises(errors.BatchingError, "axis 2", "f32[3,4]"):
        tr.vmap(lambda a: a, in_axes=2)(A)
    with raises(errors.BatchingError, "axis 0", "f32[]"):
        tr.vmap(lambda a: a)(1.0)
    with raises(errors.BatchingError, "None"):
        tr.vmap(lambda a: a, in_axes=None)(A)
    with raises(errors.BatchingError, "out_axes", "None"):
        tr.vmap(lambda a: a, out_axes=None)(A)
    with raises(errors.BatchingError, "out_axes", "3"):
        tr.vmap(lambda a: a, out_axes=3)(A)
    with raises(errors.ArgumentTypeError, "in_axes", "'x'"):
        tr.vmap(lambda a: a, in_axes="x")(A)
    with raises(errors.BatchingError, "mapped"):
        tr.vmap(lambda: 1.0)()
    usable()


# Errors inside nested traces --------------------------------------------------------------------------

WRAPPERS: dict[str, Callable[..., Any]] = {
    "grad": lambda f: tr.grad(lambda x: f(x).sum()),
    "vmap": lambda f: lambda x: tr.vmap(lambda _: f(x))(V),
    "jvp": lambda f: lambda x: tr.jvp(f, (x,), (x,)),
    "vjp": lambda f: lambda x: tr.vjp(f, x)[0],
    "linearize": lambda f: lambda x: tr.linearize(f, x)[0],
    "jit": lambda f: tr.jit(f),
    "checkpoint": lambda f: tr.checkpoint(f),
    "jacfwd": lambda f: tr.jacfwd(f),
    "hessian": lambda f: tr.hessian(lambda x: f(x).sum()),
    "scan": lambda f: lambda x: tr.scan(lambda c, _: (c, f(c)), x, None, 2),
}


@pytest.mark.parametrize("outer", WRAPPERS)
@pytest.mark.parametrize("inner", WRAPPERS)
def test_state_is_clean_after_an_error_at_depth(outer: str, inner: str) -> None:
    broken = True

    def f(x: Any) -> Any:
        return x @ tnp.ones(7 if broken else 4) * x

    def run() -> Any:
        return tr.jit(lambda x: WRAPPERS[outer](lambda y: _float(WRAPPERS[inner](f)(y)))(x))(V)

    with raises(errors.ShapeError, "f32[4]", "f32[7]"):
        run()
    broken = False
    assert jax.tree_util.tree_leaves(run())


def _float(x: Any) -> Any:
    return sum(leaf.sum() for leaf in jax.tree_util.tree_leaves(x))


def test_failed_calls_leave_no_poison_in_the_caches() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("first time")
        return x * 2

    jitted = tr.jit(f)
    with pytest.raises(ValueError, match="first time"):
        jitted(1.0)
    assert float(jitted(1.0)) == 2.0
    calls.clear()
    with pytest.raises(ValueError, match="first time"):
        tr.grad(f)(1.0)
    assert float(tr.grad(f)(1.0)) == 2.0
    usable()


def test_keyboard_interrupt_restores_the_state() -> None:
    def f(x: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tr.grad(lambda x: tr.vmap(f)(x[None]).sum())(V)
    usable()


def test_derivatives_that_do_not_exist_are_named() -> None:
    with raises(errors.DifferentiationError, "nextafter", located=False):
        tr.grad(lambda x: tnp.nextafter(x, 1.0))(0.5)
    usable()


def test_scan_that_changes_its_carry() -> None:
    with raises(errors.ArgumentTypeError, "carry", "f32[4]", "f32[3]", "['a']"):
        tr.scan(lambda c, _: ({"a": c["a"][:3]}, None), {"a": V}, None, 2)
    with raises(errors.ArgumentTypeError, "structure"):
        tr.scan(lambda c, _: ((c, c), None), V, None, 2)
    with raises(errors.ArgumentTypeError, "(carry, y)"):
        tr.scan(lambda c, _: c, V, None, 2)
    with raises(errors.ArgumentError, "lengths", "3", "4"):
        tr.scan(lambda c, x: (c, x), 0.0, (A, V))
    with raises(errors.ArgumentError, "lengths"):
        tr.scan(lambda c, x: (c, x), 0.0, V, length=3)
    with raises(errors.ArgumentError, "xs or length"):
        tr.scan(lambda c, x: (c, x), 0.0)
    with raises(errors.ArgumentError, "leading axis"):
        tr.scan(lambda c, x: (c, x), 0.0, jnp.float32(1))
    usable()


@pytest.mark.parametrize(
    "transform",
    [tr.jit, tr.grad, tr.value_and_grad, tr.vmap, tr.hessian, tr.trace, tr.explain, tr.profile, tr.checkify,
     tr.debug.memory],
)  # fmt: skip
def test_what_is_no_function_is_said_where_it_is_given(transform):
    """`grad(f(x))` for `grad(f)(x)`, not when the result is called, somewhere else."""
    with pytest.raises(TypeError, match=r"expected a function, got float") as info:
        transform(3.0)
    assert isinstance(info.value, tr.errors.ArgumentTypeError)
