"""Functions as text that people read and `ir.parser` reads back to an equal function.

    def loss(x: f32[3,4], w: f32[4]) -> (f32[]):
      y: f32[3] = dot_general(x, w) {lhs_contract=(1,), rhs_contract=(0,)}
      half: f32[3] = 0.5
      z: f32[3] = mul(y, half)
      a: f32[] = reduce_sum(z) {axes=(0,)}
      return a

A constant is its elements; a single number stands for all elements; a key is its raw words.
Attributes at their default are left out. A nested function stands before the equation that uses it,
and before all of them where several functions share it, so that the text is linear in the size of
the program. The names of printed text are kept when it is parsed and printed again. Linear time; no
recursion over nested functions. Imports the core of `ir` only.
"""

from __future__ import annotations

import itertools
import keyword
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ir.core import Dense, Eqn, Function, Opaque, Value, attr_key, nested_functions
from ir.lexer import quote
from ir.literals import element_texts, python_text, words
from ir.op import REQUIRED
from ir.source import UNKNOWN, Source
from ir.types import DType, TensorType, dtypes

_INDENT = "  "
_PLAIN = frozenset({bool, int, DType, TensorType})  # attributes whose `repr` is their text
_RESERVED = frozenset(keyword.kwlist)
# What a name of a function may not be, since it stands where these do.
_RESERVED_IN_ATTRS = _RESERVED | {d.name for d in dtypes()} | {"nan", "inf"}
_NOT_A_NAME = re.compile(r"\W")
_STARTS_A_NAME = re.compile(r"[^\W\d]")
_NUMBERED = re.compile(r"_[0-9]+\Z")


def to_text(function: Function, *, sources: bool = False, max_elements: int | None = None) -> str:
    """The text of a function; `str(function)` is this with the defaults.

    Args:
      function: what to print, with all functions inside it.
      sources: end each equation with a comment that says which line of the user's made it.
      max_elements: elide constants with more elements; such text does not parse.
    """
    return "\n".join([line.text for line in lines(function, sources=sources, max_elements=max_elements)])


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One line of the text of a program.

    Attributes:
      text: as `to_text` has it, indentation included.
      function: the function whose head, equation or end it is.
      eqn: the equation that it prints; `None` for the head and the end of a function.
      names: the printed name of every value of that function.
    """

    text: str
    function: Function
    eqn: Eqn | None
    names: Mapping[Value, str]


def lines(
    function: Function,
    *,
    sources: bool = False,
    max_elements: int | None = None,
    names: Mapping[Value, str] | None = None,
) -> list[Line]:
    """The lines of `to_text`, each with what it prints.

    Args:
      function: what to print.
      sources: see `to_text`.
      max_elements: see `to_text`.
      names: of all values; by default each function has names of its own.
    """
    return _Printer(function, sources, max_elements, given=names).lines(function)


def common_names(functions: Iterable[Function]) -> dict[Value, str]:
    """One name for each value of several programs, nested functions included, so that their texts can be compared.

    Linear in all equations; earlier programs choose first.
    """
    seen: dict[int, Function] = {}
    values: dict[Value, None] = {}
    for function in functions:
        for each in _walk(function, False)[0]:
            if id(each) not in seen:
                seen[id(each)] = each
                values.update(dict.fromkeys(each.params))
                for eqn in each.eqns:
                    values.update(dict.fromkeys(eqn.results))
    names = _Names([v.name for v in values], _RESERVED)
    return {v: names.give(v.name) for v in values}


def eqn_text(eqn: Eqn, function: Function | None = None, *, max_elements: int | None = 8) -> str:
    """One equation as it stands in the text of `function`, for messages.

    Nested functions are named, not printed. A value that the function does not define prints as
    its own name after a question mark.
    """
    scope = function if function is not None else Function(eqn.operands, (eqn,), ())
    printer = _Printer(scope, False, max_elements, shallow=True)
    return printer.eqn(eqn, _value_names(scope))


# Names --------------------------------------------------------------------------------------------


class _Names:
    """Hands out names, each once: what is wished for if it is free, otherwise numbered."""

    def __init__(self, wishes: Iterable[str], reserved: frozenset[str]) -> None:
        self._reserved = reserved
        self._clean: dict[str, str] = {"": ""}
        self._wished = {self.clean(wish) for wish in set(wishes)}
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}
        self._short = _short_names()

    def clean(self, wish: str) -> str:
        """The nearest name that the parser takes."""
        found = self._clean.get(wish)
        if found is None:
            found = _NOT_A_NAME.sub("_", wish)
            if not _STARTS_A_NAME.match(found):
                found = "_" + found
            if found in self._reserved:
                found += "_"
            self._clean[wish] = found
        return found

    def give(self, wish: str) -> str:
        name = self.clean(wish)
        if not name:
            while (name := next(self._short)) in self._wished or name in self._reserved:
                pass
        elif name in self._taken:
            base = _NUMBERED.sub("", name)
            number = self._next.get(base, 1)
            while (name := f"{base}_{number}") in self._taken or name in self._wished:
                number += 1
            self._next[base] = number + 1
        self._taken.add(name)
        return name


def _short_names() -> Iterator[str]:
    """a, b, …, z, aa, ab, …"""
    for length in itertools.count(1):
        yield from map("".join, itertools.product(string.ascii_lowercase, repeat=length))


def _value_names(function: Function) -> dict[Value, str]:
    values = [*function.params, *[v for eqn in function.eqns for v in eqn.results]]
    names = _Names([v.name for v in values], _RESERVED)
    return {v: names.give(v.name) for v in values}


def _operands(values: Iterable[Value], names: Mapping[Value, str]) -> str:
    return ", ".join([names.get(v) or f"?{getattr(v, 'name', v)}" for v in values])


# Lines --------------------------------------------------------------------------------------------


class _Printer:
    def __init__(
        self,
        function: Function,
        sources: bool,
        max_elements: int | None,
        shallow: bool = False,
        given: Mapping[Value, str] | None = None,
    ) -> None:
        self._given = given
        self._sources = sources
        self._max_elements = max_elements
        found, self._shared = _walk(function, shallow)
        self._names = _Names([f.name or "f" for f in found], _RESERVED_IN_ATTRS)
        self._name_of: dict[int, str] = {}
        self.name(function)

    def name(self, function: Function) -> str:
        """The name of a function, given when it is first asked for."""
        found = self._name_of.get(id(function))
        if found is None:
            found = self._name_of[id(function)] = self._names.give(function.name or "f")
        return found

    def lines(self, function: Function) -> list[Line]:
        out: list[Line] = []
        printed = {id(function)}
        stack = [self._function(function, printed, "", set())]
        while stack:
            item = next(stack[-1], None)
            if item is None:
                stack.pop()
            elif isinstance(item, Line):
                out.append(item)
            else:
                stack.append(item)
        return out

    def _function(
        self, function: Function, printed: set[int], indent: str, opened: set[int]
    ) -> Iterator[Any]:
        """Lines of a function, and iterators of lines to be printed in between."""
        names = _value_names(function) if self._given is None else self._given
        params = ", ".join([f"{names[p]}: {p.type}" for p in function.params])
        types = ", ".join([str(t) for t in function.out_types])
        yield Line(f"{indent}def {self.name(function)}({params}) -> ({types}):", function, None, names)
        inner = indent + _INDENT
        for eqn in function.eqns:
            for nested in nested_functions(eqn):
                if not indent:
                    # Shared functions below this one come first, each after those that it uses.
                    yield self._shared_below(nested, printed, inner, opened)
                if id(nested) not in printed:
                    printed.add(id(nested))
                    yield self._function(nested, printed, inner, opened)
            line = inner + self.eqn(eqn, names)
            comment = _source_comment(eqn.source) if self._sources else ""
            yield Line(line + comment, function, eqn, names)
        end = f"{inner}return {_operands(function.results, names) or '()'}"
        yield Line(end, function, None, names)

    def _shared_below(
        self, function: Function, printed: set[int], indent: str, opened: set[int]
    ) -> Iterator[Any]:
        # Post-order over the nested functions, each opened once in the whole program.
        stack: list[tuple[Function, Iterator[Function]]] = []

        def enter(f: Function) -> None:
            if id(f) not in opened:
                opened.add(id(f))
                stack.append((f, (n for eqn in f.eqns for n in nested_functions(eqn))))

        enter(function)
        while stack:
            top, rest = stack[-1]
            below = next(rest, None)
            if below is not None:
                enter(below)
                continue
            stack.pop()
            if id(top) in self._shared and id(top) not in printed:
                printed.add(id(top))
                yield self._function(top, printed, indent, opened)

    def eqn(self, eqn: Eqn, names: Mapping[Value, str]) -> str:
        left = ", ".join([f"{names[v]}: {v.type}" for v in eqn.results])
        if eqn.op.name == "constant" and (literal := self._literal(eqn)) is not None:
            return f"{left} = {literal}"
        call = f"{eqn.op.name}({_operands(eqn.operands, names)})"
        if left:
            call = f"{left} = {call}"
        if not eqn.attrs:
            return call
        defaults = eqn.op.attrs
        shown = []
        for name, value in eqn.attrs.items():
            default = defaults.get(name, REQUIRED)
            if type(value) is not type(default) or attr_key(value) != attr_key(default):
                shown.append(f"{name}={self.attr(value)}")
        return f"{call} {{{', '.join(shown)}}}" if shown else call

    # Attributes -----------------------------------------------------------------------------------

    def attr(self, value: Any) -> str:
        kind = type(value)
        if kind is tuple:
            inside = ", ".join([self.attr(v) for v in value])
            return f"({inside},)" if len(value) == 1 else f"({inside})"
        if kind is str:
            return quote(value)
        if kind is float or kind is complex:
            return python_text(value)
        if kind is Function:
            return self.name(value)
        if kind is Dense:
            shape = ",".join(map(str, value.shape))
            return f"{value.dtype}[{shape}]({self._elements(value)})"
        if kind is Opaque:
            return f"<{_one_line(value.name)}>"
        if value is None or kind in _PLAIN:
            return repr(value)
        return f"<{_one_line(repr(value))}>"

    def _literal(self, eqn: Eqn) -> str | None:
        """The elements of a constant whose result type says the rest."""
        value, shape = eqn.attrs.get("value"), eqn.attrs.get("shape")
        if eqn.operands or len(eqn.results) != 1 or not isinstance(value, Dense) or len(eqn.attrs) != 2:
            return None
        type: object = eqn.results[0].type
        if not isinstance(type, TensorType) or type.shape != shape or type.dtype is not value.dtype:
            return None
        if value.shape not in (words(type.dtype), shape + words(type.dtype)):
            return None
        return self._elements(value)

    def _elements(self, value: Dense) -> str:
        shape, size, limit = value.shape, value.array.size, self._max_elements
        if limit is not None and size > limit:
            few = element_texts(value.array.reshape(-1)[: min(limit, 3)], value.dtype)
            return f"[{', '.join([*few, '...'])}]"
        if size == 0:
            return "[]"
        texts = element_texts(value.array, value.dtype)
        for n in reversed(shape):
            texts = [f"[{', '.join(texts[i : i + n])}]" for i in range(0, len(texts), n)]
        return texts[0]


def _walk(function: Function, shallow: bool) -> tuple[list[Function], set[int]]:
    """All functions of the program, and (by `id`) those that several of them use."""
    found = [function]
    user: dict[int, int] = {id(function): 0}
    shared: set[int] = set()
    stack = [function]
    while stack:
        top = stack.pop()
        below = []
        for eqn in top.eqns:
            if eqn.attrs:
                for nested in nested_functions(eqn):
                    known = user.get(id(nested))
                    if known is None:
                        user[id(nested)] = id(top)
                        below.append(nested)
                    elif known != id(top):
                        shared.add(id(nested))
        found.extend(below)
        if not shallow:
            stack.extend(reversed(below))
    return found, shared


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _source_comment(source: Source) -> str:
    shown = []
    for item in source.all():
        if item is UNKNOWN or item.file == "<unknown>":
            continue
        code = item.text()
        shown.append(f"{item}: {code}" if code else str(item))
    return f"  # {_one_line('; '.join(shown))}" if shown else ""
