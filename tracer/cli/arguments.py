"""Arguments as the command line writes them: `f32[32,784]`, `{"w": f32[4,2], "b": f32[2]}`, `n=3`.

    argument ::= [name "="] value
    value    ::= type | number | string | True | False | None
               | "(" [value {"," value}] ")" | "[" … "]" | "{" [string ":" value {"," …}] "}"
    type     ::= dtype ["[" [int {"," int}] "]"]

A type stands for an array of it; without brackets it is that of a scalar. What is read is checked token by
token, so that an error points at where it is.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ir.errors import ArgumentError, ParseError
from ir.lexer import Tokens, unquote
from ir.types import DType, TensorType, dtypes, from_numpy
from tracer.types import canonical, struct

_CONSTANTS = {"True": True, "False": False, "None": None}


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a function is called with: pytrees whose leaves are types of arrays, or Python values."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def parse_arguments(texts: Sequence[str]) -> Arguments:
    """Positional arguments, and keywords written `name=value`.

    Raises:
      ParseError: with the text and a mark below the place.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for number, text in enumerate(texts, 1):
        try:
            name, value = parse_argument(text)
        except ParseError as error:
            # It begins with line and column, and there is one line.
            error.message = f"argument {number}, column {error.message.partition(':')[2]}"
            raise
        if name is None:
            args.append(value)
        elif name in kwargs:
            raise ParseError(f"expected one argument {name}, got another", note=text)
        else:
            kwargs[name] = value
    return Arguments(tuple(args), kwargs)


def parse_argument(text: str) -> tuple[str | None, Any]:
    """(name of the keyword or None, value); ParseError if that is not what the text is."""
    tokens = Tokens(text)
    name = None
    if tokens.kinds[:1] == ["name"] and tokens.texts[1:2] == ["="]:
        name = tokens.texts[0]
        tokens.at = 2
    value = _value(tokens)
    if tokens.kinds[tokens.at] != "end":
        raise tokens.unexpected("the end of the argument")
    return name, value


def _value(tokens: Tokens) -> Any:
    kind, text = tokens.kinds[tokens.at], tokens.texts[tokens.at]
    if kind in ("number", "complex", "hex"):
        tokens.at += 1
        return _number(text, tokens)
    if kind == "string":
        return _string(tokens)
    if kind == "name" and text in _CONSTANTS:
        tokens.at += 1
        return _CONSTANTS[text]
    if kind == "name":
        return _type(tokens)
    if text == "(":
        items, comma = _items(tokens, ")")
        return items[0] if len(items) == 1 and not comma else tuple(items)
    if text == "[":
        return _items(tokens, "]")[0]
    if text == "{":
        return _mapping(tokens)
    raise tokens.unexpected("a type such as f32[3,4], a number or a container of these")


def _string(tokens: Tokens) -> str:
    try:
        text = unquote(tokens.texts[tokens.at])
    except ValueError as error:
        raise tokens.error(str(error)) from error
    tokens.at += 1
    return text


def _number(text: str, tokens: Tokens) -> Any:
    if text.startswith("0x"):
        return int(text, 16)
    for kind in (int, float, complex):
        try:
            return kind(text)
        except ValueError:
            continue
    raise tokens.error(f"expected a number, got {text!r}", tokens.at - 1)


def _items(tokens: Tokens, close: str) -> tuple[list[Any], bool]:
    """The values up to `close`, and whether a comma ends them."""
    tokens.at += 1
    items: list[Any] = []
    comma = False
    while tokens.texts[tokens.at] != close:
        if items and not comma:
            raise tokens.unexpected(f"',' or {close!r}")
        items.append(_value(tokens))
        comma = tokens.texts[tokens.at] == ","
        tokens.at += comma
    tokens.at += 1
    return items, comma


def _mapping(tokens: Tokens) -> dict[Any, Any]:
    tokens.at += 1
    out: dict[Any, Any] = {}
    comma = True
    while tokens.texts[tokens.at] != "}":
        if not comma:
            raise tokens.unexpected("',' or '}'")
        if tokens.kinds[tokens.at] not in ("string", "name", "number"):
            raise tokens.unexpected('a key of a dict, such as "w"')
        kind, text = tokens.kinds[tokens.at], tokens.texts[tokens.at]
        if kind == "string":
            key = _string(tokens)
        else:
            tokens.at += 1
            key = text if kind == "name" else _number(text, tokens)
        if tokens.texts[tokens.at] != ":":
            raise tokens.unexpected("':' after the key")
        tokens.at += 1
        out[key] = _value(tokens)
        comma = tokens.texts[tokens.at] == ","
        tokens.at += comma
    tokens.at += 1
    return out


def _type(tokens: Tokens) -> Any:
    dtype = _dtype(tokens)
    tokens.at += 1
    shape: list[int] = []
    if tokens.texts[tokens.at] == "[":
        tokens.at += 1
        while tokens.texts[tokens.at] != "]":
            text = tokens.texts[tokens.at]
            if tokens.kinds[tokens.at] != "number" or not text.isdigit():
                raise tokens.unexpected("a dimension")
            shape.append(int(text))
            tokens.at += 1
            if tokens.texts[tokens.at] == ",":
                tokens.at += 1
            elif tokens.texts[tokens.at] != "]":
                raise tokens.unexpected("',' or ']'")
        tokens.at += 1
    return struct(TensorType(tuple(shape), dtype))


def _dtype(tokens: Tokens) -> DType:
    text = tokens.texts[tokens.at]
    found = {d.name: d for d in dtypes()}.get(text)
    if found is None:
        try:
            found = from_numpy(np.dtype(text))
        except (TypeError, ValueError, ArgumentError):
            close = difflib.get_close_matches(text, [d.name for d in dtypes()], 3, 0.3)
            few = ", ".join(close or ["f32", "i32", "bool"])
            raise tokens.error(f"expected an element type such as {few}, got {text!r}") from None
    if found.kind != "key" and canonical(found.np) is not found:
        raise tokens.error(
            f"expected an element type that JAX has switched on, got {text}; set JAX_ENABLE_X64=1 for 64 bits"
        )
    return found


def concrete(value: Any, seed: int = 0) -> Any:
    """The pytree with random arrays in the place of their types.

    Numbers are normal, integers below 10, booleans even; a key is that of the seed.
    """
    rng = np.random.default_rng(seed)

    def drawn(leaf: Any) -> Any:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            keys = jax.random.split(jax.random.key(seed), leaf.shape or 1)
            return keys if leaf.shape else keys[0]
        type_ = from_numpy(np.dtype(leaf.dtype))
        if type_.kind == "bool":
            return jnp.asarray(rng.random(leaf.shape) < 0.5)
        if type_.is_inexact:
            array = rng.standard_normal(leaf.shape)
            if type_.is_complex:
                array = array + 1j * rng.standard_normal(leaf.shape)
        else:
            array = rng.integers(0, min(10, 2 ** (type_.bits - 1)), leaf.shape)
        return jnp.asarray(np.asarray(array).astype(type_.np))

    return jax.tree_util.tree_map(drawn, value)
