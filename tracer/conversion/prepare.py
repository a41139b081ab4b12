"""What is done to a syntax tree before AutoGraph sees it, and what is refused.

Here Python's meaning is kept where AutoGraph would lose it: names of class scope, `super()`, annotated
assignments, functions that end without `return`. Positions are kept as annotations, which survive the
rewriting.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from malt.pyct import anno

from ir.errors import ConversionError
from ir.source import Source
from tracer.conversion.source import FunctionNode

# They look at the frame that calls them, which conversion changes.
_FRAME_READERS = frozenset({"locals", "eval", "exec", "vars", "dir"})
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


class Origin(NamedTuple):
    """A position in the user's file."""

    lineno: int
    col_offset: int
    end_lineno: int
    end_col_offset: int


class Verbatim(Origin):
    """The position of a definition that stays as it is: analysed, but not rewritten."""

    __slots__ = ()


class Place(NamedTuple):
    """What messages and names need to know of the function.

    Attributes:
      file: where it is defined.
      name: its qualified name.
      owner: name of the class whose body it stands in, if any.
    """

    file: str
    name: str
    owner: str | None


def prepared(original: FunctionNode, place: Place) -> FunctionNode:
    """A copy of the tree, ready for AutoGraph, with an `Origin` on every node.

    Raises:
      ConversionError: something that cannot be converted; names it and its line.
    """
    node = copy.deepcopy(original)
    for each in ast.walk(node):
        if isinstance(each, (ast.stmt, ast.expr)):
            end = (each.end_lineno or each.lineno, each.end_col_offset or each.col_offset)
            anno.setanno(each, anno.Basic.ORIGIN, Origin(each.lineno, each.col_offset, *end))
    _check(node, place)
    arguments = node.args
    # Default values are those that the function has; annotations and decorators did their work.
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
    arguments.kw_defaults = [d and ast.Constant(None) for d in arguments.kw_defaults]
    if isinstance(node, ast.FunctionDef):
        node.decorator_list = []
        node.returns = None
    for a in (
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    ):
        if a is not None:
            a.annotation = None
    rewritten = _Rewrite(place).visit(node)
    ast.fix_missing_locations(rewritten)
    return rewritten  # type: ignore[no-any-return]


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes below `node`, without those of nested functions and classes."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, _SCOPES):
            yield from own_nodes(child)


def keeps_python(node: ast.AST) -> bool:
    """Whether an expression must stay where it is: it assigns, yields or awaits."""
    inside = (node, *own_nodes(node))
    return any(isinstance(n, (ast.NamedExpr, ast.Yield, ast.YieldFrom, ast.Await)) for n in inside)


def is_generator(node: ast.FunctionDef) -> bool:
    """Whether the function has a `yield` of its own."""
    return any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in own_nodes(node))


# What is refused -------------------------------------------------------------------------------------


def _check(node: FunctionNode, place: Place) -> None:
    for each in own_nodes(node):
        what = _unsupported(each)
        if what is not None:
            line = getattr(each, "lineno", node.lineno)
            raise ConversionError(
                f"expected Python that can be converted, got {what} in {place.name}",
                note="move it into a function of its own, which is called as it is",
                source=Source.at(place.file, line, place.name),
            )
        if isinstance(each, (ast.FunctionDef, ast.Lambda)) and not (
            isinstance(each, ast.FunctionDef) and is_generator(each)
        ):
            _check(each, place)


def _unsupported(node: ast.AST) -> str | None:
    match node:
        case ast.Match():
            return "a match statement"
        case ast.TryStar():
            return "except*"
        case ast.Yield() | ast.YieldFrom():
            return "a generator"
        case ast.Await() | ast.AsyncFor() | ast.AsyncWith() | ast.AsyncFunctionDef():
            return "async code"
        case ast.Call(func=ast.Name(id=name), args=given) if name in _FRAME_READERS:
            if name in ("eval", "exec", "locals") or not given:
                return f"{name}(), which looks at the frame that calls it"
        case ast.Try(body=body, orelse=[_, *_]) if _leaves(body):
            return "a try statement that is left from its body and has an else"
        case ast.Try(finalbody=[_, *_] as final) if _leaves(final):
            return "a finally that leaves"
        case ast.While(test=test, orelse=[_, *_]) if keeps_python(test):
            return "an assignment expression in the condition of a while with an else"
    return None


def _leaves(block: list[ast.stmt]) -> bool:
    jumps = (ast.Return, ast.Break, ast.Continue)
    return any(isinstance(n, jumps) for stmt in block for n in (stmt, *own_nodes(stmt)))


# What is rewritten -----------------------------------------------------------------------------------


def _at(template: ast.AST, node: Any) -> Any:
    """`node`, all of it at the position of `template`."""
    for each in ast.walk(node):
        if not anno.hasanno(each, anno.Basic.ORIGIN) and anno.hasanno(template, anno.Basic.ORIGIN):
            anno.copyanno(template, each, anno.Basic.ORIGIN)
    return ast.copy_location(node, template)


def _verbatim(node: Any) -> Any:
    anno.setanno(node, anno.Basic.ORIGIN, Verbatim(*anno.getanno(node, anno.Basic.ORIGIN)))
    return node


class _Rewrite(ast.NodeTransformer):
    def __init__(self, place: Place) -> None:
        self.place = place
        self.functions: list[FunctionNode] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        if self.functions and is_generator(node):
            return _verbatim(node)
        self.functions.append(node)
        self.generic_visit(node)
        self.functions.pop()
        returns = [n for n in own_nodes(node) if isinstance(n, ast.Return)]
        if any(r.value is not None for r in returns) and not _always_leaves(node.body):
            # So that falling off the end is a value like others, to be compared with them.
            last = node.body[-1]
            node.body.append(_at(last, ast.Return(value=_at(last, ast.Constant(None)))))
        return node

    def visit_Lambda(self, node: ast.Lambda) -> Any:
        self.functions.append(node)
        self.generic_visit(node)
        self.functions.pop()
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        # The body of a class is a scope of its own kind; its methods are converted when they are called.
        return _verbatim(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        # In a function the annotation is not evaluated, and a name declared nonlocal cannot have one.
        if node.value is None:
            return _at(node, ast.Pass())
        self.generic_visit(node)
        return _at(node, ast.Assign(targets=[node.target], value=node.value))

    def visit_Assert(self, node: ast.Assert) -> Any:
        self.generic_visit(node)
        message = node.msg if node.msg is not None else ast.Constant(None)
        if keeps_python(message):
            return node
        call = _operator("assert_stmt", node.test, _thunk(message), ast.Constant(node.msg is not None))
        return _at(node, ast.Expr(value=call))

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> Any:
        self.generic_visit(node)
        if node.name is not None:
            # AutoGraph cannot name what is caught. As in Python, the name does not outlive the handler.
            caught = ast.Assign(targets=[ast.Name(id=node.name, ctx=ast.Store())], value=_operator("caught"))
            forget = ast.Delete(targets=[ast.Name(id=node.name, ctx=ast.Del())])
            inner = ast.Try(body=node.body, handlers=[], orelse=[], finalbody=[forget])
            node.body = [_at(node, caught), _at(node, inner)]
            node.name = None
        return node

    def visit_While(self, node: ast.While) -> Any:
        self.generic_visit(node)
        if keeps_python(node.test):
            # The condition becomes a function; what it assigns would be local to that.
            stop = ast.If(test=ast.UnaryOp(op=ast.Not(), operand=node.test), body=[ast.Break()], orelse=[])
            node.body = [_at(node, stop), *node.body]
            node.test = _at(node, ast.Constant(True))
        return node

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        self.generic_visit(node)
        node.attr = self._mangled(node.attr)
        return node

    def visit_Name(self, node: ast.Name) -> Any:
        node.id = self._mangled(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> Any:
        node.arg = self._mangled(node.arg)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args and self.functions:
            arguments = self.functions[-1].args
            first = [*arguments.posonlyargs, *arguments.args]
            if first:
                names = ("__class__", first[0].arg)
                node.args = [_at(node, ast.Name(id=name, ctx=ast.Load())) for name in names]
        return node

    def _mangled(self, name: str) -> str:
        owner = (self.place.owner or "").lstrip("_")
        private = name.startswith("__") and not name.endswith("__")
        return f"_{owner}{name}" if owner and private else name


def _operator(name: str, *args: ast.expr) -> ast.Call:
    """A call of a name of `operators.py`."""
    function = ast.Attribute(value=ast.Name(id="ag__", ctx=ast.Load()), attr=name, ctx=ast.Load())
    return ast.Call(func=function, args=list(args), keywords=[])


def _thunk(body: ast.expr) -> ast.Lambda:
    nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.Lambda(args=nothing, body=body)


def _always_leaves(block: list[ast.stmt]) -> bool:
    """Whether control never reaches the end of the block; False where that is not plain to see."""
    match block[-1]:
        case ast.Return() | ast.Raise():
            return True
        case ast.If(body=body, orelse=[_, *_] as orelse):
            return _always_leaves(body) and _always_leaves(orelse)
        case ast.With(body=body):
            return _always_leaves(body)
        case ast.Try(body=body, handlers=handlers, orelse=[], finalbody=_):
            return _always_leaves(body) and all(_always_leaves(h.body) for h in handlers)
        case ast.While(test=ast.Constant(value=True)) as loop:
            return not any(isinstance(n, ast.Break) for n in _own_loop(loop.body))
    return False


def _own_loop(block: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Nodes of a loop's body, without those of loops in it."""
    for node in block:
        yield node
        if not isinstance(node, (ast.While, ast.For, *_SCOPES)):
            yield from _own_loop(list(ast.iter_child_nodes(node)))


__all__ = ["Origin", "Place", "Verbatim", "is_generator", "keeps_python", "own_nodes", "prepared"]
