"""Networks written as equations, in a given order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ir.core import Value
from ir.ops.contraction import dot_general
from ir.ops.elementwise import add, div, mul, neg
from ir.ops.indexing import gather
from ir.ops.reduce import reduce_sum
from ir.ops.shape import broadcast_in_dim, full, full_like, iota, permute, reshape_to, slice
from ir.passes.products.network import Axes, Label, Network
from ir.passes.products.order import Labels, Order
from ir.types import i32

Labelled = tuple[Value, tuple[int, ...]]


def write(network: Network, order: Order, env: Mapping[Value, Value]) -> Value:
    """Append the equations of a network; its result.

    Args:
      env: values that stand for factors.
    """
    if not network.terms:
        out = network.root.results[0].type
        value: Value = full(out.shape, network.number, out.dtype)
        return value
    return _Writer(network, order, env).result()


class _Writer:
    def __init__(self, network: Network, order: Order, env: Mapping[Value, Value]) -> None:
        self.network, self.order, self.env = network, order, env
        order.seconds()  # makes the plans
        self.made: dict[object, tuple[Value, tuple[int, ...]]] = {}
        self.numbers: dict[Label, int] = {}  # by which the order knows the labels
        for (_, axes), factor in zip(network.terms, order.factors, strict=True):
            wide = dict.fromkeys([k for a in axes for k in a.label.leaves() if k.size > 1])
            self.numbers.update(zip(wide, factor.labels, strict=True))
        # (-1 for axes of one element, and where factors are repeated)
        self.wanted = [self.numbers.get(label, -1) for label in network.out]
        self.scaled = self._smallest()

    def _smallest(self) -> int | None:
        """The factor that the number goes to; None for the result."""
        keys = [factor.key for factor in self.order.factors]
        sizes = [
            (self.order.volume(frozenset(factor.labels)), i)
            for i, factor in enumerate(self.order.factors)
            if keys.count(factor.key) == 1
        ]
        size, at = min(sizes, default=(0, 0))
        return at if sizes and size < self.network.root.results[0].type.size else None

    def result(self) -> Value:
        value, labels = self.product(self.order.all)
        if self.scaled is None:
            value = self.times_number(value)
        if self.network.sums and not self.order.sums:
            value = add(value, full_like(value, 0))  # a sum has no -0
        out = self.network.root.results[0].type
        wanted = self.wanted
        order = [label for label in wanted if label in labels]
        value = permute(value, tuple([labels.index(label) for label in order]))
        if value.type.size == out.size:
            return reshape_to(value, out.shape)
        at = {label: k for k, label in enumerate(wanted) if label >= 0}
        shape = tuple([label.size for label in self.network.out])
        value = broadcast_in_dim(value, shape=shape, dims=tuple([at[label] for label in order]))
        return reshape_to(value, out.shape)

    def _place(self, labels: Sequence[int]) -> int:
        """Where the first of some labels stands in the result; after all for those that it has not."""
        return min(
            [self.wanted.index(label) for label in labels if label in self.wanted], default=len(self.wanted)
        )

    def _exchanges(
        self, a: tuple[Sequence[int], Sequence[int]], b: tuple[Sequence[int], Sequence[int]],
        between: Sequence[int], beside: Sequence[int],
    ) -> bool:  # fmt: skip
        """Whether a product is better with the operands exchanged; each is its labels, and those only it has."""
        (left, rows), (right, columns) = a, b
        places = self._place(rows), self._place(columns)
        if max(places) < len(self.wanted) or not between:
            return places[1] < places[0]
        if set(beside) >= {*rows, *columns}:  # element by element
            return beside.index(columns[0]) < beside.index(rows[0])
        # As the operands lie: rows times columns. The result is multiplied again, from either side.
        return _turned(right, left, between) < _turned(left, right, between)

    def times_number(self, value: Value) -> Value:
        for divisor in self.network.divisors:
            by = reshape_to(self.env.get(divisor, divisor), ())
            value = div(value, broadcast_in_dim(by, shape=value.type.shape, dims=()))
        number = self.network.number
        if number == 1:
            return value
        return neg(value) if number == -1 else mul(value, full_like(value, number))  # type: ignore[no-any-return]

    def product(self, mask: int, beside: Sequence[int] = ()) -> Labelled:
        """The product of a set of factors.

        Args:
          beside: labels of what it is multiplied by next, in their order.
        """
        signature = self.order.signature(mask)
        if signature is not None and signature[0] in self.made:
            value, places = self.made[signature[0]]
            return value, tuple([signature[1][k] for k in places])
        parts = self.order.plans[mask].parts
        if parts is None:
            value, labels = self.factor(mask.bit_length() - 1)
        else:
            value, labels = self.times(*self.both(*parts), self.order.needed(mask), beside)
        if signature is not None:
            self.made[signature[0]] = (value, tuple([signature[1].index(label) for label in labels]))
        return value, labels

    def both(self, first: int, second: int) -> tuple[Labelled, Labelled]:
        """Two products; one that is a factor as it stands is known when the other is written."""
        if self.order.plans[second].parts is None:
            known = self.product(second)
            return self.product(first, known[1]), known
        known = self.product(first)
        return known, self.product(second, known[1])

    def factor(self, i: int) -> Labelled:
        """A factor: cut, its axes taken apart, each label once, summed where only it has a label."""
        value, axes = self.network.terms[i]
        value = _cut(self.env.get(value, value), axes)
        parts = [label for axis in axes for label in axis.label.leaves() if label in self.numbers]
        value = reshape_to(value, tuple([label.size for label in parts]))
        labels = [self.numbers[label] for label in parts]
        while len(set(labels)) < len(labels):
            value, labels = _diagonal(value, labels)
        if i == self.scaled:
            value = self.times_number(value)
        needed = self.order.needed(1 << i)
        return _summed(value, tuple(labels), needed)

    def times(self, a: Labelled, b: Labelled, out: Labels, beside: Sequence[int]) -> Labelled:
        """Two values multiplied and summed over what `out` has not; `beside` as in `product`."""
        (x, left), (y, right) = a, b
        between = [label for label in left if label in right and label not in out]
        batch = [label for label in left if label in right and label in out]
        rows = [label for label in left if label not in right]
        columns = [label for label in right if label not in left]
        if rows and columns and self._exchanges((left, rows), (right, columns), between, beside):
            (x, left, rows), (y, right, columns) = (y, right, columns), (x, left, rows)
        if between and (rows or columns or (not batch and len(between) == 1)):
            value = dot_general(
                x,
                y,
                lhs_contract=tuple([left.index(label) for label in between]),
                rhs_contract=tuple([right.index(label) for label in between]),
                lhs_batch=tuple([left.index(label) for label in batch]),
                rhs_batch=tuple([right.index(label) for label in batch]),
                precision=self.network.precision,
            )
            return value, (*batch, *rows, *columns)
        if out >= {*left, *columns}:
            labels = tuple(sorted([*left, *columns], key=lambda label: self._place([label])))
        else:  # what is summed is read as it lies
            first, second = (left, right) if x.type.size >= y.type.size else (right, left)
            labels = (*first, *[label for label in second if label not in first])
        shape = tuple([self.order.sizes[label] for label in labels])
        value = mul(_spread(x, left, labels, shape), _spread(y, right, labels, shape))
        return _summed(value, labels, out)


def _turned(left: Sequence[int], right: Sequence[int], between: Sequence[int]) -> int:
    """How many operands of a product are read across the order in which they lie."""
    return (left[-1] not in between) + (right[-1] in between)


def _summed(value: Value, labels: tuple[int, ...], needed: Labels) -> Labelled:
    axes = tuple([k for k, label in enumerate(labels) if label not in needed])
    if not axes:
        return value, labels
    return reduce_sum(value, axes=axes), tuple([label for label in labels if label in needed])


def _spread(x: Value, labels: tuple[int, ...], wanted: tuple[int, ...], shape: tuple[int, ...]) -> Value:
    """`x` with axes for all the labels wanted."""
    order = [label for label in wanted if label in labels]
    x = permute(x, tuple([labels.index(label) for label in order]))
    if x.type.shape == shape:
        return x
    return broadcast_in_dim(x, shape=shape, dims=tuple([wanted.index(label) for label in order]))  # type: ignore[no-any-return]


def _cut(value: Value, axes: Axes) -> Value:
    """The elements of a factor that its axes say."""
    shape = value.type.shape
    starts, limits, strides = [], [], []
    for axis, n in zip(axes, shape, strict=True):
        size = axis.label.size
        starts.append(axis.start)
        limits.append(axis.start + (size - 1) * axis.stride + 1)
        strides.append(axis.stride if size > 1 else 1)
        assert limits[-1] <= n
    if all(size == n for size, n in zip([axis.label.size for axis in axes], shape, strict=True)):
        return value
    return slice(value, starts=tuple(starts), limits=tuple(limits), strides=tuple(strides))  # type: ignore[no-any-return]


def _diagonal(value: Value, labels: list[int]) -> tuple[Value, list[int]]:
    """The elements with equal indices on the first two axes of one label; that axis comes first."""
    twice = next(label for label in labels if labels.count(label) > 1)
    pair = [k for k, label in enumerate(labels) if label == twice][:2]
    n = value.type.shape[pair[0]]
    rest = [k for k in range(len(labels)) if k not in pair]
    out = gather(
        value,
        iota(shape=(n, 2), dtype=i32, axis=0),
        offset_dims=tuple(range(1, 1 + len(rest))),
        collapsed_slice_dims=tuple(pair),
        start_index_map=tuple(pair),
        slice_sizes=tuple([1 if k in pair else size for k, size in enumerate(value.type.shape)]),
        mode="promise_in_bounds",
    )
    return out, [twice, *[labels[k] for k in rest]]
