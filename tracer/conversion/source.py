"""From a function to the syntax tree that it was compiled from, with the lines of its file."""

from __future__ import annotations

import ast
import linecache
import weakref
from collections.abc import Iterator
from types import CodeType, FunctionType

from ir.errors import ConversionError
from ir.source import Source

FunctionNode = ast.FunctionDef | ast.Lambda

# Parsed files by name, with the text they were parsed from. The trees are kept clean: users get copies.
_parsed: dict[str, tuple[str, ast.Module]] = {}
_found: weakref.WeakKeyDictionary[CodeType, dict[str, FunctionNode]] = weakref.WeakKeyDictionary()


def function_node(fn: FunctionType) -> FunctionNode:
    """The definition or lambda expression of `fn`, positions as in its file; not to be changed.

    Raises:
      ConversionError: the source is not to be had, or has changed since it was compiled.
    """
    code = fn.__code__
    held = _found.setdefault(code, {})
    node = held.get(code.co_filename)
    if node is None:
        node = held[code.co_filename] = _locate(fn)
    return node


def _locate(fn: FunctionType) -> FunctionNode:
    code = fn.__code__
    linecache.checkcache(code.co_filename)
    text = "".join(linecache.getlines(code.co_filename, fn.__globals__))
    if not text:
        raise _unavailable(fn, "its source is not available")
    held = _parsed.get(code.co_filename)
    if held is None or held[0] != text:
        try:
            held = (text, ast.parse(text))
        except SyntaxError as error:
            raise _unavailable(fn, f"its source does not parse: {error}") from error
        _parsed[code.co_filename] = held
    candidates = [node for node in _functions(held[1]) if _matches(node, code)]
    if isinstance(next(iter(candidates), None), ast.Lambda):
        # A lambda inside the body of another spans less.
        candidates.sort(key=lambda node: _span(node)[1] - _span(node)[0])
        del candidates[1:]
    if len(candidates) != 1:
        raise _unavailable(fn, f"its definition was not found at line {code.co_firstlineno}")
    return candidates[0]


def _unavailable(fn: FunctionType, why: str) -> ConversionError:
    code = fn.__code__
    return ConversionError(
        f"expected a function with source code to convert, got {fn.__qualname__}: {why}",
        note="define it in a file, or use tracer.cond and tracer.while_loop in it",
        source=Source.at(code.co_filename, code.co_firstlineno, fn.__qualname__),
    )


def _functions(tree: ast.AST) -> Iterator[FunctionNode]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            yield node


def _matches(node: FunctionNode, code: CodeType) -> bool:
    if not _has_parameters(node, code):
        return False
    if isinstance(node, ast.FunctionDef):
        first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
        return node.name == code.co_name and code.co_firstlineno in (first, node.lineno)
    if code.co_name != "<lambda>" or node.lineno != code.co_firstlineno:
        return False
    low, high = _span(node)
    return all(low <= position <= high for position in _positions(code))


def _has_parameters(node: FunctionNode, code: CodeType) -> bool:
    given = node.args
    named = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    named += [a.arg for a in (given.vararg, given.kwarg) if a is not None]
    # Names with two leading underscores are those of a class, mangled.
    found = code.co_varnames[: len(named)]
    return len(found) == len(named) and all(
        a == b or b.endswith(a) for a, b in zip(named, found, strict=True)
    )


def _span(node: FunctionNode) -> tuple[float, float]:
    """Where the body of a lambda begins and ends, lines and columns as one number."""
    body = node.body
    assert isinstance(body, ast.expr) and body.end_lineno is not None and body.end_col_offset is not None
    return _place(body.lineno, body.col_offset), _place(body.end_lineno, body.end_col_offset)


def _positions(code: CodeType) -> Iterator[float]:
    for line, end_line, column, end_column in code.co_positions():
        if line and end_line and column is not None and end_column and end_column > column:
            yield _place(line, column)
            yield _place(end_line, end_column)


def _place(line: int, column: int) -> float:
    return line + column / (1 << 20)


__all__ = ["FunctionNode", "function_node"]
