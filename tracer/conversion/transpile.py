"""From a function to the converted function, once for each code object.

The converted code is compiled at the positions of the original, in the original's file, under its names:
tracebacks, debuggers and the sources of equations need no map.
"""

from __future__ import annotations
import __future__

import ast
import threading
import weakref
from inspect import CO_OPTIMIZED
from types import CellType, CodeType, FunctionType
from typing import Any

from malt.converters import (
    break_statements,
    call_trees,
    continue_statements,
    control_flow,
    functions,
    return_statements,
    variables,
)
from malt.core import converter
from malt.pyct import anno, cfg, naming, qual_names, transformer
from malt.pyct.static_analysis import activity, liveness, reaching_definitions, reaching_fndefs

from ir.errors import ConversionError
from ir.source import Source
from tracer.conversion.prepare import Origin, Place, Verbatim, keeps_python, prepared
from tracer.conversion.source import FunctionNode, function_node

_FACTORY = "ag__factory"
_lock = threading.RLock()
_factories: weakref.WeakKeyDictionary[CodeType, dict[str, FunctionType]] = weakref.WeakKeyDictionary()


def convert(fn: FunctionType) -> FunctionType:
    """The converted function: same signature, globals, defaults and closure cells.

    Raises:
      ConversionError: no source, or something that cannot be converted.
    """
    code = fn.__code__
    held = _factories.get(code, {})
    factory = held.get(code.co_filename)
    if factory is None:
        with _lock:
            factory = _factory(fn)
            _factories.setdefault(code, {})[code.co_filename] = factory
    from tracer.conversion import operators

    cells = dict(zip(code.co_freevars, fn.__closure__ or (), strict=True))
    closure = tuple([cells.get(name) or CellType() for name in factory.__code__.co_freevars])
    made = FunctionType(factory.__code__, fn.__globals__, closure=closure)(operators)
    made.__defaults__ = fn.__defaults__
    made.__kwdefaults__ = fn.__kwdefaults__
    made.__name__, made.__qualname__, made.__doc__ = fn.__name__, fn.__qualname__, fn.__doc__
    made.__module__ = fn.__module__
    made.autograph_info__ = made.__code__
    return made  # type: ignore[no-any-return]


def _factory(fn: FunctionType) -> FunctionType:
    """A function that takes the operators and returns the converted function; closes over what `fn` does."""
    code = fn.__code__
    place = Place(code.co_filename, fn.__qualname__, _owner(fn.__qualname__))
    node = prepared(function_node(fn), place)
    namespace = {**fn.__globals__, **dict.fromkeys(code.co_freevars), "ag__": None}
    namer = naming.Namer(namespace)
    name = node.name if isinstance(node, ast.FunctionDef) else namer.new_symbol("lam", ())
    info = transformer.EntityInfo(name, "", code.co_filename, (), namespace)
    program = converter.ProgramContext(options=converter.STANDARD_OPTIONS)
    try:
        converted = _rewritten(node, transformer.Context(info, namer, program))
    except Exception as error:
        raise ConversionError(
            f"{fn.__qualname__} cannot be converted: {type(error).__name__}: {error}",
            source=Source.at(code.co_filename, code.co_firstlineno, fn.__qualname__),
        ) from error
    module = ast.Module(body=[_wrapped(converted, name, code.co_freevars)], type_ignores=[])
    _place_all(module, Origin(node.lineno, 0, node.lineno, 0))
    flags = code.co_flags & _FUTURE_FLAGS
    compiled = compile(module, code.co_filename, "exec", flags=flags, dont_inherit=True)
    namespace = {}
    exec(_named(compiled, namer.generated_names, code), namespace)
    outer: FunctionType = namespace[_FACTORY]
    return outer()  # type: ignore[no-any-return]


# Among others, whether annotations are evaluated. The oldest flags mean something else in code objects.
_FUTURE_FLAGS = sum(
    {f for f in (getattr(__future__, n).compiler_flag for n in __future__.all_feature_names) if f > 0xFFFF}
)


def _owner(qualname: str) -> str | None:
    """The class in whose body a function stands."""
    parts = qualname.split(".")
    return parts[-2] if len(parts) > 1 and parts[-2] != "<locals>" else None


def _rewritten(node: Any, ctx: Any) -> Any:
    graphs = cfg.build(node)
    node = qual_names.resolve(node)
    node = activity.resolve(node, ctx, None)
    node = reaching_definitions.resolve(node, ctx, graphs)
    anno.dup(node, {anno.Static.DEFINITIONS: anno.Static.ORIG_DEFINITIONS})
    for each in (_Functions, _Breaks, _Continues, _ConditionalReturns, _returns):
        node = each(ctx).visit(_analysed(node, ctx))
        _spread(node, None)
    node = _Calls(ctx).visit(qual_names.resolve(node))
    graphs = cfg.build(node)
    node = _analysed(node, ctx)
    node = reaching_definitions.resolve(node, ctx, graphs)
    node = reaching_fndefs.resolve(node, ctx, graphs)
    node = _Liveness(ctx, graphs, include_annotations=True).visit(node)
    for last in (_ControlFlow, _Expressions, _Variables):
        node = last(ctx).visit(node)
    return node


def _analysed(node: Any, ctx: Any) -> Any:
    node = activity.resolve(qual_names.resolve(node), ctx, None)
    for each in ast.walk(node):
        if isinstance(each, ast.ClassDef):  # AutoGraph takes it to read nothing
            names = [n.id for n in ast.walk(each) if isinstance(n, ast.Name)]
            anno.getanno(each, anno.Static.SCOPE).read.update(map(qual_names.QN, names))
    return node


class _Liveness(liveness.TreeAnnotator):  # type: ignore[misc]
    """As AutoGraph's, which fails in the bodies of classes."""

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        return node


def _spread(node: ast.AST, around: Any) -> None:
    """Put what was added at the position of what stands before it, or around it."""
    here = anno.getanno(node, anno.Basic.ORIGIN, default=around)
    for _, field in ast.iter_fields(node):
        before = here
        for child in field if isinstance(field, list) else [field]:
            if not isinstance(child, ast.AST):
                continue
            if isinstance(child, (ast.stmt, ast.expr)):
                if before is not None and not anno.hasanno(child, anno.Basic.ORIGIN):
                    anno.setanno(child, anno.Basic.ORIGIN, before)
                if isinstance(child, ast.stmt):
                    before = anno.getanno(child, anno.Basic.ORIGIN, default=before)
            _spread(child, before)


class _Rewriter:
    """Of the passes: leaves alone what stays as it is."""

    def visit(self, node: Any) -> Any:
        if isinstance(anno.getanno(node, anno.Basic.ORIGIN, default=None), Verbatim):
            return node
        return super().visit(node)  # type: ignore[misc]


class _Functions(_Rewriter, functions.FunctionTransformer):  # type: ignore[misc]
    pass


class _Breaks(_Rewriter, break_statements.BreakTransformer):  # type: ignore[misc]
    pass


class _Continues(_Rewriter, continue_statements.ContinueCanonicalizationTransformer):  # type: ignore[misc]
    pass


class _ConditionalReturns(_Rewriter, return_statements.ConditionalReturnRewriter):  # type: ignore[misc]
    pass


class _Returns(_Rewriter, return_statements.ReturnStatementsTransformer):  # type: ignore[misc]
    pass


def _returns(ctx: Any) -> _Returns:
    return _Returns(ctx, allow_missing_return=True)


class _Calls(_Rewriter, call_trees.CallTreeTransformer):  # type: ignore[misc]
    """As AutoGraph's, but `globals()` stays where it is: it looks at the frame that calls it."""

    def visit_Call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Name) and node.func.id in ("globals", "breakpoint"):
            return self.generic_visit(node)
        return super().visit_Call(node)


class _ControlFlow(_Rewriter, control_flow.ControlFlowTransformer):  # type: ignore[misc]
    pass


class _Variables(_Rewriter, variables.VariableAccessTransformer):  # type: ignore[misc]
    def visit_Name(self, node: ast.Name) -> Any:
        return node if node.id == "ag__" else super().visit_Name(node)


class _Expressions(_Rewriter, converter.Base):  # type: ignore[misc]
    """`a if c else b`, `and`, `or`, `not` and chained comparisons as calls, operands as functions.

    What assigns a variable in an operand stays Python.
    """

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        if keeps_python(node.body) or keeps_python(node.orelse):
            return self.generic_visit(node)
        text = ast.unparse(node)
        node = self.generic_visit(node)
        return _call(node, "if_exp", node.test, _thunk(node.body), _thunk(node.orelse), ast.Constant(text))

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        if any(keeps_python(v) for v in node.values):
            return self.generic_visit(node)
        node = self.generic_visit(node)
        name = "and_" if isinstance(node.op, ast.And) else "or_"
        return _call(node, name, *[_thunk(v) for v in node.values])

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        node = self.generic_visit(node)
        return _call(node, "not_", node.operand) if isinstance(node.op, ast.Not) else node

    def visit_Compare(self, node: ast.Compare) -> Any:
        if len(node.ops) == 1 or any(keeps_python(c) for c in node.comparators):
            return self.generic_visit(node)
        node = self.generic_visit(node)
        links = [
            ast.Tuple(elts=[ast.Constant(type(op).__name__), _thunk(c)], ctx=ast.Load())
            for op, c in zip(node.ops, node.comparators, strict=True)
        ]
        return _call(node, "compare", node.left, *links)


def _thunk(body: ast.expr) -> ast.Lambda:
    nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.Lambda(args=nothing, body=body)


def _call(node: ast.AST, name: str, *args: ast.expr) -> ast.Call:
    operator = ast.Attribute(value=ast.Name(id="ag__", ctx=ast.Load()), attr=name, ctx=ast.Load())
    made = ast.Call(func=operator, args=list(args), keywords=[])
    if anno.hasanno(node, anno.Basic.ORIGIN):
        anno.copyanno(node, made, anno.Basic.ORIGIN)
    return made


def _wrapped(converted: Any, name: str, freevars: tuple[str, ...]) -> ast.FunctionDef:
    """The definition inside two functions: one binds the operators, the outer one the free variables."""
    if isinstance(converted, ast.Lambda):
        converted = ast.Assign(targets=[ast.Name(id=name, ctx=ast.Store())], value=converted)
    result = ast.Return(value=ast.Name(id=name, ctx=ast.Load()))
    inner = _definition("ag__bind", ["ag__"], [converted, result])
    dummies: list[ast.stmt] = [
        ast.Assign(targets=[ast.Name(id=v, ctx=ast.Store())], value=ast.Constant(None)) for v in freevars
    ]
    return _definition(
        _FACTORY, [], [*dummies, inner, ast.Return(value=ast.Name(id="ag__bind", ctx=ast.Load()))]
    )


def _definition(name: str, args: list[str], body: list[Any]) -> ast.FunctionDef:
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg(arg=a) for a in args], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    made = ast.FunctionDef(name=name, args=arguments, body=body, decorator_list=[])
    if hasattr(ast, "type_param"):  # Python 3.12 has generic functions
        made.type_params = []  # type: ignore[attr-defined, unused-ignore]
    return made


def _place_all(node: ast.AST, around: Origin) -> None:
    """Set the positions of a tree from its origins; what has none takes that of what is around it."""
    origin = anno.getanno(node, anno.Basic.ORIGIN, default=None)
    here = origin if isinstance(origin, Origin) else around
    if isinstance(node, ast.FunctionDef) and not isinstance(origin, Origin):
        here = next((o for o in map(_origin, ast.walk(node)) if o is not None), around)
    if _is_operator(node) and here.end_lineno > here.lineno:
        # Python takes the last line of `ag__.if_stmt` for that of the call; ours is the first.
        here = Origin(here.lineno, here.col_offset, here.lineno, here.col_offset + 2)
    if "lineno" in node._attributes:
        node.lineno, node.col_offset, node.end_lineno, node.end_col_offset = here  # type: ignore[attr-defined]
    for child in ast.iter_child_nodes(node):
        _place_all(child, here)


def _is_operator(node: ast.AST) -> bool:
    """Whether a node is a name or a call of `ag__`, or stands for such a statement."""
    while isinstance(node, (ast.Expr, ast.Call, ast.Attribute)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return isinstance(node, ast.Name) and node.id == "ag__"


def _origin(node: ast.AST) -> Origin | None:
    found = anno.getanno(node, anno.Basic.ORIGIN, default=None)
    return found if isinstance(found, Origin) else None


def _named(module: CodeType, generated: set[str], original: CodeType) -> CodeType:
    """The code with the user's names: what was made for branches and loops has that of the function around."""

    def rename(code: CodeType, parent: CodeType | None) -> CodeType:
        if parent is None:
            made = code
        elif parent.co_name == "ag__bind":
            made = code.replace(co_name=original.co_name, co_qualname=original.co_qualname)
        elif code.co_name in generated:
            made = code.replace(co_name=parent.co_name, co_qualname=parent.co_qualname)
        elif parent.co_name in ("<module>", _FACTORY):
            made = code
        else:
            inside = ".<locals>." if parent.co_flags & CO_OPTIMIZED else "."  # the body of a class is not
            made = code.replace(co_qualname=f"{parent.co_qualname}{inside}{code.co_name}")
        names = {code.co_qualname: made.co_qualname}  # what the body of a class sets as __qualname__
        consts = [
            rename(c, made) if isinstance(c, CodeType) else names.get(c, c) if type(c) is str else c
            for c in made.co_consts
        ]
        return made.replace(co_consts=tuple(consts))

    return rename(module, None)


__all__ = ["FunctionNode", "convert"]
