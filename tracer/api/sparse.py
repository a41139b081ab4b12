"""Sparse Jacobians and Hessians: as few products with vectors as a colouring of their pattern allows."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ir.errors import ArgumentError, ArgumentTypeError
from ir.op import inline
from ir.sparsity import ORDERS, Pattern
from tracer.api.arguments import flatten, leaf_type, tree_flatten, tree_leaves, tree_unflatten
from tracer.api.autograph import requested
from tracer.api.derivatives import _pair, _scalar_first, grad, linearize, trace_call, vjp
from tracer.api.elements import require_kinds
from tracer.api.jacobians import _chosen, _one_program
from tracer.api.mapping import map as map_
from tracer.api.sparse_formats import FORMATS, as_pattern, assembled, densified, require_format
from tracer.api.sparse_plan import Block, Plan, hessian_plan, jacobian_plan, pattern_of
from tracer.numpy.creation import zeros
from tracer.numpy.dispatch import lift
from tracer.numpy.manipulation import concatenate, reshape
from tracer.state import state
from tracer.trace import Traced
from tracer.value import Tensor

# Bytes of the values that one batch of products is taken to hold, at `_VALUES` arrays a direction.
_BYTES: Final = 1 << 28
_VALUES: Final = 8


def sparse_jacobian(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    format: str = "bcoo",
    sparsity: Any = None,
    mode: str | None = None,
    order: str | None = None,
    chunk_size: int | None = None,
    autograph: bool = False,
) -> Callable[..., Any]:
    """The Jacobian of a function most of whose elements are zero, whatever its inputs.

    The pattern is inferred from the program (`sparsity` shows it), its columns or rows are coloured, and one JVP or VJP
    is computed a colour (Griewank and Walther 2008, Evaluating Derivatives, chapters 7 and 8). Both are found once
    for each function and types of arguments. Arrays that `f` closes over are constants of the pattern; so are, outside
    `jit`, integer and bool arrays among the other arguments. See docs/sparse.md.

    Args:
      f: takes and returns pytrees of arrays.
      argnums: positional arguments to differentiate by; a tuple gives a tuple.
      has_aux: `f` returns `(result, aux)` and `(jacobian, aux)` is returned.
      format: "bcoo" for `jax.experimental.sparse.BCOO` of shape `(*m, *n)` for a result of shape `m` and an argument of
        shape `n`; "csr" for `scipy.sparse.csr_array`, both shapes flattened, outside a trace; "dense" for an array. For
        pytrees, the result's structure holds the argument's.
      sparsity: the pattern, if you know it: a matrix `(elements of the result, elements of the arguments)` of bools or
        numbers, dense, BCOO or of SciPy, or what `tracer.sparsity` returned. Elements outside it are taken to be zero.
      mode: "forward" by JVPs, "reverse" by VJPs; by default whichever takes fewer.
      order: in which columns are coloured: "natural", "largest_first" or "smallest_last"; by default the best.
      chunk_size: how many products to compute at once; by default as many as fit into about 256 MiB.
      autograph: convert plain Python control flow in `f`; see `tracer.autograph`.

    Raises:
      ArgumentError: an unknown format, mode or order; a chunk size below 1; "csr" within a trace.
      ArgumentTypeError: an argument is not of floats, or the result has integers.
      SparsityError: the pattern does not fit, or is so dense that it cannot be held.
    """
    f = requested(f, autograph)
    _check("sparse_jacobian", format, order, chunk_size)
    if mode not in (None, "forward", "reverse"):
        raise ArgumentError(f"sparse_jacobian: expected a mode of 'forward', 'reverse' or None, got {mode!r}")
    given = as_pattern(sparsity)

    @functools.wraps(f)
    def jacobian_(*args: Any, **kwargs: Any) -> Any:
        made: list[_Layout] = []

        @functools.wraps(f)
        def composite(*args: Any, **kwargs: Any) -> Any:
            again, traced, chosen, single = _traced(f, args, argnums, kwargs, has_aux, "sparse_jacobian")
            out_tree = traced.out_tree.children()[0]
            outs = traced.function.results[: out_tree.num_leaves]
            plan = jacobian_plan(traced, outs, given, mode, order)
            data, aux = _by_rows(again, chosen, plan, chunk_size) if plan.mode == "reverse" else _by_columns(
                again, chosen, plan, chunk_size
            )  # fmt: skip
            made.append(_Layout(plan, out_tree, tree_flatten(chosen)[1], single))
            data = densified(data, plan) if format == "dense" else data
            return (data, aux) if has_aux else data

        found = _one_program(composite, has_aux)(*args, **kwargs)
        data, aux = found if has_aux else (found, None)
        jacobian = made[-1].matrices(data, format)
        return (jacobian, aux) if has_aux else jacobian

    return jacobian_


def sparse_hessian(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    format: str = "bcoo",
    sparsity: Any = None,
    order: str | None = None,
    chunk_size: int | None = None,
    autograph: bool = False,
) -> Callable[..., Any]:
    """The Hessian of a scalar function, by one product with a vector for each colour of a star colouring.

    Its symmetry halves what must be told apart: an element is read in its row or in that of its mirror image
    (Gebremedhin, Manne and Pothen 2005, "What color is your Jacobian?"). Products are forward over reverse. Arguments
    and layout are those of `sparse_jacobian`; several arguments, or pytrees, give blocks as `tracer.hessian` does.

    Raises:
      ArgumentError: an unknown format or order; a chunk size below 1; "csr" within a trace.
      ArgumentTypeError: an argument is not of floats, or the result is no float scalar.
      SparsityError: the pattern does not fit, or is so dense that it cannot be held.
    """
    f = requested(f, autograph)
    _check("sparse_hessian", format, order, chunk_size)
    given = as_pattern(sparsity)

    @functools.wraps(f)
    def hessian_(*args: Any, **kwargs: Any) -> Any:
        made: list[_Layout] = []

        @functools.wraps(f)
        def composite(*args: Any, **kwargs: Any) -> Any:
            again, traced, chosen, single = _traced(
                f, args, argnums, kwargs, has_aux, "sparse_hessian", scalar=True
            )
            plan = hessian_plan(traced, given, order)
            gradient = grad(again, tuple(range(len(chosen))), has_aux=True)
            data, aux = _by_columns(gradient, chosen, plan, chunk_size)
            structure = tree_flatten(chosen)[1]
            made.append(_Layout(plan, structure, structure, single))
            data = densified(data, plan) if format == "dense" else data
            return (data, aux) if has_aux else data

        found = _one_program(composite, has_aux)(*args, **kwargs)
        data, aux = found if has_aux else (found, None)
        hessian = made[-1].matrices(data, format)
        if made[-1].single:
            (hessian,) = hessian
        return (hessian, aux) if has_aux else hessian

    return hessian_


def sparsity(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    hessian: bool = False,
    autograph: bool = False,
) -> Callable[..., Pattern]:
    """`sparsity(f)(*args)` is the pattern of the Jacobian of `f`, or of its Hessian, for arguments of those types.

    It holds for every input: where it has no element, the derivative is zero. Rows are all elements of the result, one
    leaf after the other, columns those of the arguments.

    Args:
      f, argnums, has_aux, autograph: as for `sparse_jacobian`.
      hessian: of the Hessian of a scalar function.

    Returns:
      An `ir.sparsity.Pattern`, with `shape`, `nnz`, `rows`, `indices` and `dense()`; `sparse_jacobian` takes it.
    """
    f = requested(f, autograph)

    @functools.wraps(f)
    def pattern_(*args: Any, **kwargs: Any) -> Pattern:
        what = "sparse_hessian" if hessian else "sparse_jacobian"

        @functools.wraps(f)
        def composite(*args: Any, **kwargs: Any) -> Any:
            _, traced, _, _ = _traced(f, args, argnums, kwargs, has_aux, what, scalar=hessian)
            count = traced.out_tree.children()[0].num_leaves
            found.append(pattern_of(traced, None if hessian else count, hessian=hessian))
            return ()

        found: list[Pattern] = []
        if state.trace is None:
            flat = flatten(args, kwargs, f, [True] * len(tree_leaves((args, kwargs))))
            trace_call(composite, flat, [False] * len(flat.leaves))
        else:
            composite(*args, **kwargs)
        return found[-1]

    return pattern_


def _check(what: str, format: str, order: str | None, chunk_size: int | None) -> None:
    if format not in FORMATS:
        raise ArgumentError(f"{what}: expected a format of {', '.join(FORMATS)}, got {format!r}")
    if order is not None and order not in ORDERS:
        raise ArgumentError(f"{what}: expected an order of {', '.join(ORDERS)} or None, got {order!r}")
    if chunk_size is not None and (type(chunk_size) is not int or chunk_size < 1):
        raise ArgumentError(f"{what}: expected chunk_size to be an int of at least 1, got {chunk_size!r}")
    require_format(format)


def _traced(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    argnums: int | Sequence[int],
    kwargs: Any,
    has_aux: bool,
    what: str,
    *,
    scalar: bool = False,
) -> tuple[Callable[..., Any], Traced, tuple[Any, ...], bool]:
    """`f` as a function of the chosen arguments, recorded once, which returns `(result, aux)`.

    Returns:
      (a function that repeats the record, the record, the chosen arguments, whether it is a single one).
    """
    of_chosen, chosen, single = _chosen(f, args, argnums, kwargs, what)
    require_kinds(chosen, ("float",), what)
    flat = flatten(chosen, {}, of_chosen)

    def select(out: Any) -> Any:
        if scalar:
            return _scalar_first(out, has_aux, f, False)
        return _pair(out, f) if has_aux else (out, ())

    traced = trace_call(of_chosen, flat, [True] * len(flat.leaves), select, True)
    for type_ in traced.function.out_types[: traced.out_tree.children()[0].num_leaves]:
        if not type_.dtype.is_inexact:
            raise ArgumentTypeError(
                f"{what}: the result: expected elements of kind float or complex, got {type_}"
            )

    def again(*given: Any) -> Any:
        trace = state.trace
        assert trace is not None
        operands = [trace.lift(x).value for x in (*traced.captures, *tree_leaves(given))]
        values = inline(traced.function, operands)
        return traced.unflatten([Tensor(trace, v, w) for v, w in zip(values, traced.out_weak, strict=True)])

    return again, traced, chosen, single


@dataclass(frozen=True)
class _Layout:
    """Where the blocks of a plan go.

    Attributes:
      rows, columns: structures of the result and of the chosen arguments, a tuple.
      single: whether there is one chosen argument, whose structure stands for the tuple.
    """

    plan: Plan
    rows: Any
    columns: Any
    single: bool

    def matrices(self, data: Any, format: str) -> Any:
        """Matrices with these elements: the structure of the result holds that of the arguments."""
        return tree_unflatten(
            self.rows, [self._row(b, x, format) for b, x in zip(self.plan.blocks, data, strict=True)]
        )

    def _row(self, blocks: Sequence[Block], data: Sequence[Any], format: str) -> Any:
        found = [assembled(block, x, format) for block, x in zip(blocks, data, strict=True)]
        by = tree_unflatten(self.columns, found)
        return by[0] if self.single else by


# The compressed derivative ----------------------------------------------------------------------------


def _by_columns(f: Callable[..., Any], primals: tuple[Any, ...], plan: Plan, chunk_size: int | None) -> Any:
    """(elements of each block, aux) by one JVP for each colour of columns; `f` returns `(result, aux)`."""
    out, push, aux = linearize(f, *primals, has_aux=True)
    seeds = _seeds(primals, plan)
    columns = _compressed(
        lambda color: tree_leaves(push(*seeds(color))), tree_leaves(out), primals, plan, chunk_size
    )
    if plan.mode == "symmetric" and len(columns) > 1:  # an element may lie in the leaf of its mirror image
        whole = concatenate(columns, axis=1)
        types = [leaf_type(x)[0].dtype.np for x in tree_leaves(out)]
        return [
            [_read(whole, block).astype(t) for block in row]
            for row, t in zip(plan.blocks, types, strict=True)
        ], aux
    return [[_read(x, block) for block in row] for row, x in zip(plan.blocks, columns, strict=True)], aux


def _by_rows(f: Callable[..., Any], primals: tuple[Any, ...], plan: Plan, chunk_size: int | None) -> Any:
    """(elements of each block, aux) by one VJP for each colour of rows."""
    out, pull, aux = vjp(f, *primals, has_aux=True)
    require_kinds(out, ("float",), "sparse_jacobian: the result")
    seeds = _seeds(out, plan)
    rows = _compressed(
        lambda color: tree_leaves(pull(seeds(color))), tree_leaves(primals), out, plan, chunk_size
    )
    return [[_read(x, block) for block, x in zip(row, rows, strict=True)] for row in plan.blocks], aux


def _seeds(like: Any, plan: Plan) -> Callable[[Any], Any]:
    """The sum of the standard basis vectors of one colour, in the structure and types of `like`."""
    leaves, structure = tree_flatten(like)
    types = [leaf_type(x)[0].dtype.np for x in leaves]

    def seed(color: Any) -> Any:
        chosen = [(lift(c) == color).astype(t) for c, t in zip(plan.colors, types, strict=True)]
        return tree_unflatten(structure, chosen)

    return seed


def _compressed(
    product: Callable[[Any], list[Any]], like: Sequence[Any], seeds: Any, plan: Plan, chunk_size: int | None
) -> list[Any]:
    """The products of all colours, each `[colors, elements]`, for leaves of the types of `like`."""
    types = [leaf_type(x)[0] for x in like]
    if not plan.count:
        return [zeros((1, t.size), t.dtype.np) for t in types]
    nbytes = sum([t.nbytes for t in types]) + sum([leaf_type(x)[0].nbytes for x in tree_leaves(seeds)])
    size = max(_BYTES // max(_VALUES * nbytes, 1), 1) if chunk_size is None else chunk_size
    colors = np.arange(plan.count, dtype=np.int32)
    found = map_(product, colors, batch_size=min(size, plan.count))
    return [reshape(x, (plan.count, math.prod(x.shape[1:]))) for x in found]


def _read(compressed: Any, block: Block) -> Any:
    return compressed.at[block.where].get(mode="promise_in_bounds")


__all__ = ["sparse_hessian", "sparse_jacobian", "sparsity"]
