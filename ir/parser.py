"""Text to functions: recursive descent over the tokens of `ir.lexer`, checked by the op table.

    function  ::= "def" name "(" [bind {"," bind}] ")" ["->" "(" [type {"," type}] ")"] ":"
                  {statement} "return" (name {"," name} | "(" [name {"," name}] ")")
    statement ::= function
                | [bind {"," bind} "="] op "(" [name {"," name}] ")" ["{" [attr {"," attr}] "}"]
                | bind "=" elements
    bind      ::= name ":" type
    type      ::= element_type "[" [int {"," int}] "]"
    attr      ::= name "=" value
    value     ::= "None" | "True" | "False" | number | complex | string | element_type | type
                | type "(" elements ")" | name of a function | "(" [value {"," value}] [","] ")"
    elements  ::= element | "[" [elements {"," elements}] "]"

Line breaks and indentation mean nothing. The result obeys every invariant that `ir.verify` checks.
Whatever the text, the only exception is ParseError. Imports the core of `ir` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ir.core import Dense, Eqn, Function, Value
from ir.errors import ParseError, TracerError
from ir.lexer import Tokens, unquote
from ir.literals import LiteralError, elements, parse_complex, parse_float, parse_int, words
from ir.op import Op, all_ops
from ir.source import Source
from ir.types import DType, Shape, TensorType, dtypes

_MAX_RANK: Final = 63  # NumPy's, less one axis for the words of keys
_MAX_DIM: Final = 2**63 - 1
_MAX_FUNCTIONS: Final = 150  # inside one another
_MAX_TUPLES: Final = 100  # inside one another
_CONSTANTS: Final = {"None": None, "True": True, "False": False, "nan": float("nan"), "inf": float("inf")}
_ELEMENT_NAMES: Final = frozenset({"True", "False", "nan", "inf"})
_ELEMENT_KINDS: Final = frozenset({"number", "hex", "complex"})


def parse(text: str, *, file: str = "<text>") -> Function:
    """The function that the text says; `parse(str(f)) == f`.

    Args:
      text: one function, with those inside it; what `str(function)` gives, or written by hand.
      file: where the text comes from; the source of each equation is its line there.

    Raises:
      ParseError: the text is not a valid function; the message says where, by line and column.
    """
    try:
        return _Parser(text, file).program()
    except RecursionError:
        raise ParseError("1:1: the text is nested too deeply for the stack that is left") from None


class _Scope:
    """A function whose body is being read."""

    __slots__ = ("eqns", "functions", "name", "outer", "params", "stated", "values")

    def __init__(self, name: str, outer: _Scope | None) -> None:
        self.name = name
        self.outer = outer
        self.params: tuple[Value, ...] = ()
        self.stated: list[tuple[TensorType, int]] | None = None  # result types, and at which token
        self.eqns: list[Eqn] = []
        self.values: dict[str, Value] = {}
        self.functions: dict[str, Function] = {}


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self.tokens = Tokens(text)
        self.file = file
        self.ops = all_ops()
        self.dtypes: dict[str, DType] = {d.name: d for d in dtypes()}
        self._line = 1
        self._line_start = 0

    # Functions ------------------------------------------------------------------------------------

    def program(self) -> Function:
        """The only function of the text, with those inside it; a loop, since they may lie deep."""
        tokens = self.tokens
        scope, depth = self.header(None), 1
        while True:
            if tokens.take("return"):
                function = self.returned(scope)
                if scope.outer is None:
                    if tokens.kinds[tokens.at] != "end":
                        raise tokens.unexpected("the end of the text after the outermost function")
                    return function
                scope.outer.functions[scope.name] = function
                scope, depth = scope.outer, depth - 1
            elif tokens.texts[tokens.at] == "def":
                if depth == _MAX_FUNCTIONS:
                    raise tokens.error(f"expected at most {_MAX_FUNCTIONS} functions inside one another")
                scope, depth = self.header(scope), depth + 1
            else:
                self.statement(scope)

    def header(self, outer: _Scope | None) -> _Scope:
        tokens = self.tokens
        tokens.expect("def")
        name = tokens.name("the name of a function")
        if name in self.dtypes or name in _CONSTANTS:
            raise tokens.error(f"`{name}` cannot be the name of a function", tokens.at - 1)
        if outer is not None and name in outer.functions:
            raise tokens.error(f"function `{name}` is defined twice", tokens.at - 1)
        scope = _Scope(name, outer)
        tokens.expect("(")
        params = []
        if not tokens.take(")"):
            params = self.binds(scope)
            tokens.expect(")")
        for bound, type, _ in params:
            scope.values[bound] = Value(type, bound)
        scope.params = tuple(scope.values.values())
        if tokens.take("->"):
            tokens.expect("(")
            scope.stated = []
            while not tokens.take(")"):
                if scope.stated:
                    tokens.expect(",")
                at = tokens.at
                scope.stated.append((self.type(), at))
        tokens.expect(":")
        return scope

    def returned(self, scope: _Scope) -> Function:
        tokens = self.tokens
        first = tokens.at - 1
        if tokens.take("("):
            results = self.operands(scope)
        else:
            results = [self.operand(scope)]
            while tokens.take(","):
                results.append(self.operand(scope))
        if scope.stated is not None:
            if len(scope.stated) != len(results):
                raise tokens.error(f"expected {len(scope.stated)} results, got {len(results)}", first)
            for (type, at), result in zip(scope.stated, results, strict=True):
                if result.type is not type:
                    raise tokens.error(f"result {result.name} is stated as {type}, got {result.type}", at)
        return Function(scope.params, tuple(scope.eqns), tuple(results), scope.name)

    def operand(self, scope: _Scope) -> Value:
        tokens = self.tokens
        name = tokens.name("a value")
        found = scope.values.get(name)
        if found is None:
            hint = ""
            outer = scope.outer
            while outer is not None and not hint:
                if name in outer.values:
                    hint = f"; that of {outer.name} is out of reach, since {scope.name} is closed: pass it in"
                outer = outer.outer
            raise tokens.error(f"undefined value `{name}`{hint}", tokens.at - 1)
        return found

    def operands(self, scope: _Scope) -> list[Value]:
        """Values up to the closing parenthesis."""
        take = self.tokens.take
        out: list[Value] = []
        while not take(")"):
            if out:
                self.tokens.expect(",")
            out.append(self.operand(scope))
        return out

    def binds(self, scope: _Scope) -> list[tuple[str, TensorType, int]]:
        """Names with their types, and at which token each type stands."""
        tokens = self.tokens
        out: list[tuple[str, TensorType, int]] = []
        new: set[str] = set()
        while True:
            name = tokens.name("the name of a value")
            if name in scope.values or name in new:
                raise tokens.error(f"value `{name}` is defined twice", tokens.at - 1)
            if name in ("def", "return"):
                raise tokens.error(f"`{name}` cannot be the name of a value", tokens.at - 1)
            new.add(name)
            tokens.expect(":")
            at = tokens.at
            out.append((name, self.type(), at))
            if not tokens.take(","):
                return out

    # Equations ------------------------------------------------------------------------------------

    def statement(self, scope: _Scope) -> None:
        tokens = self.tokens
        source = self.source(scope)
        if tokens.kinds[tokens.at] != "name":
            raise tokens.unexpected("an equation, `def` or `return`")
        binds: list[tuple[str, TensorType, int]] = []
        if tokens.texts[tokens.at + 1] != "(":
            binds = self.binds(scope)
            tokens.expect("=")
        at = tokens.at
        is_call = tokens.kinds[at] == "name" and tokens.texts[at + 1] == "("
        if not is_call and (tokens.texts[at] == "[" or self.is_element()):
            if len(binds) != 1:
                raise tokens.error(f"expected one result of a constant, got {len(binds)}")
            type = binds[0][1]
            dense = self.dense(self.literal_shape(type), type.dtype)
            op, operands, given = self.ops["constant"], [], {"value": dense, "shape": type.shape}
        else:
            name = tokens.name("an op or the elements of a constant")
            found = self.ops.get(name)
            if found is None:
                raise tokens.error(f"unknown op `{name}`", at)
            op = found
            tokens.expect("(")
            operands = self.operands(scope)
            given = self.attrs(scope, op) if tokens.take("{") else {}
        attrs, types = self.inferred(op, operands, given, at)
        if len(types) != len(binds):
            raise tokens.error(f"{op.name} has {len(types)} results, got {len(binds)} names", at)
        results = []
        for (bound, type, type_at), inferred in zip(binds, types, strict=True):
            if inferred is not type:
                raise tokens.error(f"{bound} is stated as {type}, but {op.name} gives {inferred}", type_at)
            scope.values[bound] = value = Value(type, bound)
            results.append(value)
        scope.eqns.append(Eqn(op, tuple(operands), attrs, tuple(results), source))

    def inferred(
        self, op: Op, operands: list[Value], given: dict[str, Any], at: int
    ) -> tuple[Mapping[str, Any], tuple[TensorType, ...]]:
        """Canonical attributes and result types."""
        try:
            attrs = op.normalize(given)
            return attrs, op.infer(tuple([v.type for v in operands]), attrs)
        except TracerError as error:
            raise self.tokens.error(error.message, at) from error
        except Exception as error:
            # A type rule may assume that attributes have the right Python type.
            shown = ", ".join([str(v.type) for v in operands])
            reason = f"{type(error).__name__}: {error}"
            raise self.tokens.error(
                f"{op.name}: expected operands and attributes that fit, got ({shown}); {reason}", at
            ) from error

    def source(self, scope: _Scope) -> Source:
        start = self.tokens.starts[self.tokens.at]
        self._line += self.tokens.text.count("\n", self._line_start, start)
        self._line_start = start
        return Source.at(self.file, self._line, scope.name)

    # Types and attributes -------------------------------------------------------------------------

    def type(self) -> TensorType:
        tokens = self.tokens
        name = tokens.name("a type")
        dtype = self.dtypes.get(name)
        if dtype is None:
            known = ", ".join(self.dtypes)
            raise tokens.error(f"unknown element type `{name}`; known: {known}", tokens.at - 1)
        return TensorType(self.shape(), dtype)

    def shape(self) -> Shape:
        tokens = self.tokens
        tokens.expect("[")
        out: list[int] = []
        while not tokens.take("]"):
            if out:
                tokens.expect(",")
            text = tokens.texts[tokens.at]
            if not (text.isascii() and text.isdigit()):
                raise tokens.unexpected("a size")
            if len(text) > 19 or (size := int(text)) > _MAX_DIM:
                raise tokens.unexpected(f"a size of at most {_MAX_DIM}")
            if len(out) == _MAX_RANK:
                raise tokens.error(f"expected at most {_MAX_RANK} axes")
            out.append(size)
            tokens.at += 1
        return tuple(out)

    def attrs(self, scope: _Scope, op: Op) -> dict[str, Any]:
        tokens = self.tokens
        out: dict[str, Any] = {}
        while not tokens.take("}"):
            if out:
                tokens.expect(",")
            name = tokens.name("the name of an attribute")
            if name not in op.attrs:
                known = ", ".join(op.attrs) or "none"
                raise tokens.error(f"{op.name}: unknown attribute `{name}`; known: {known}", tokens.at - 1)
            if name in out:
                raise tokens.error(f"{op.name}: attribute `{name}` is given twice", tokens.at - 1)
            tokens.expect("=")
            out[name] = self.value(scope, 0)
        return out

    def value(self, scope: _Scope, depth: int) -> Any:
        tokens = self.tokens
        kind, text = tokens.kinds[tokens.at], tokens.texts[tokens.at]
        if kind == "name":
            return self.named_value(scope, text)
        if text == "(":
            if depth == _MAX_TUPLES:
                raise tokens.error(f"expected at most {_MAX_TUPLES} tuples inside one another")
            return self.tuple(scope, depth)
        read: Any
        if kind == "number":
            read = parse_float if any(c in text for c in ".eEn") else parse_int
        elif kind == "string":
            read = unquote
        elif kind == "complex":
            read = parse_complex
        else:
            raise tokens.unexpected("the value of an attribute")
        try:
            out = read(text)
        except ValueError as error:
            raise tokens.error(str(error)) from None
        tokens.at += 1
        return out

    def tuple(self, scope: _Scope, depth: int) -> Any:
        tokens = self.tokens
        tokens.expect("(")
        items: list[Any] = []
        while not tokens.take(")"):
            items.append(self.value(scope, depth + 1))
            if not tokens.take(","):
                tokens.expect(")")
                return items[0] if len(items) == 1 else tuple(items)
        return tuple(items)

    def named_value(self, scope: _Scope, name: str) -> Any:
        tokens = self.tokens
        if name in _CONSTANTS:
            tokens.at += 1
            return _CONSTANTS[name]
        dtype = self.dtypes.get(name)
        if dtype is not None:
            tokens.at += 1
            if tokens.texts[tokens.at] != "[":
                return dtype
            type = TensorType(self.shape(), dtype)
            if not tokens.take("("):
                return type
            dense = self.dense(type.shape, dtype)
            tokens.expect(")")
            return dense
        outer: _Scope | None = scope
        while outer is not None:
            if name in outer.functions:
                tokens.at += 1
                return outer.functions[name]
            outer = outer.outer
        raise tokens.error(f"expected a value, an element type or a function defined above, got `{name}`")

    # Constants ------------------------------------------------------------------------------------

    def is_element(self) -> bool:
        at = self.tokens.at
        return self.tokens.kinds[at] in _ELEMENT_KINDS or self.tokens.texts[at] in _ELEMENT_NAMES

    def literal_shape(self, type: TensorType) -> Shape:
        """The shape of the elements that follow as the value of a constant of that type."""
        texts, at = self.tokens.texts, self.tokens.at
        extra = words(type.dtype)
        nested = texts[at] == "[" and (not extra or texts[at + 1] in ("[", "]"))
        return type.shape + extra if nested else extra

    def dense(self, shape: Shape, dtype: DType) -> Dense:
        """The elements of an array of that shape; its size is bounded by that of the text."""
        tokens = self.tokens
        if 0 in shape:
            at = tokens.at
            tokens.expect("[")
            tokens.expect("]")
            try:
                return Dense(np.zeros(shape, dtype.np), dtype)
            except ValueError as error:
                raise tokens.error(
                    f"expected a shape that an array can have, got {shape}: {error}", at
                ) from None
        texts: list[str] = []
        where: list[int] = []
        self.rows(shape, 0, texts, where)
        try:
            flat = elements(texts, dtype)
        except LiteralError as error:
            raise tokens.error(str(error), where[error.index]) from None
        return Dense(flat.reshape(shape), dtype)

    def rows(self, shape: Shape, axis: int, texts: list[str], where: list[int]) -> None:
        tokens = self.tokens
        if axis == len(shape):
            if not self.is_element():
                raise tokens.unexpected("an element of a constant")
            texts.append(tokens.texts[tokens.at])
            where.append(tokens.at)
            tokens.at += 1
            return
        size = shape[axis]
        if not tokens.take("["):
            raise tokens.unexpected(f"`[` for axis {axis} of shape {shape}")
        for i in range(size):
            if i and not tokens.take(","):
                raise tokens.unexpected(f"`,` and {size} items along axis {axis} of shape {shape}")
            self.rows(shape, axis + 1, texts, where)
        if not tokens.take("]"):
            raise tokens.unexpected(f"`]` after {size} items along axis {axis} of shape {shape}")
