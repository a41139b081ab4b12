"""`graph`: a program as a picture, by Graphviz.

A node is an equation, an edge a value. Equations stand in clusters of the user's functions that they come
from; a nested function is a cluster of its own, inside that of the equation that holds it. `dot.py` writes
the language of Graphviz; here is what is drawn.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ir.core import Eqn, Function, Value, inner_first, nested_functions
from ir.errors import ArgumentError, ArgumentTypeError, MissingDependencyError, TracerError
from ir.printer import lines
from tracer.rendering import written
from tracer.views.cells import call_cell, code_text, known, place_text
from tracer.views.dot import Cluster, Edge, Node, dot_text
from tracer.views.find import Place, places
from tracer.views.sheet import plain, printable

FORMATS = ("svg", "png", "pdf", "ps", "jpg")
_TEXT = ("dot", "gv")
_LABEL = 44  # letters of a line of a label


@dataclass(frozen=True, slots=True, repr=False)
class Graph:
    """A picture of a program; made by `graph`. `str` is the text that Graphviz reads.

    Attributes:
      dot: that text, in the DOT language.
    """

    dot: str

    def render(self, format: str = "svg") -> bytes:
        """The picture, by the program `dot`.

        Args:
          format: one of `FORMATS`.

        Raises:
          MissingDependencyError: Graphviz is not installed.
          ArgumentError: another format.
        """
        if format not in FORMATS:
            raise ArgumentError(f"graph: expected one of the formats {', '.join(FORMATS)}, got {format!r}")
        program = shutil.which("dot")
        if program is None:
            raise MissingDependencyError(
                "drawing a graph needs the program `dot` of Graphviz, which is not on PATH",
                note="install the package graphviz (Debian, Ubuntu: apt install graphviz), "
                "or keep the text, which other programs draw, too: graph.save('program.dot')",
            )
        done = subprocess.run(
            [program, f"-T{format}"], input=self.dot.encode(), capture_output=True, check=False
        )
        if done.returncode:
            raise TracerError(
                f"`dot` failed with status {done.returncode}", note=done.stderr.decode(errors="replace")
            )
        return done.stdout

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture, or the text for the endings `.dot` and `.gv`; the ending says the format.

        Raises:
          ArgumentError: another ending, or no such folder.
          MissingDependencyError: a picture, without Graphviz.
          OSError: the file cannot be written.
        """
        ending = Path(path).suffix.lower().removeprefix(".")
        if ending not in (*_TEXT, *FORMATS):
            expected = ", ".join(f".{each}" for each in (*_TEXT, *FORMATS))
            raise ArgumentError(
                f"graph: expected a file that ends in one of {expected}, got {os.fspath(path)!r}"
            )
        written("save", path, self.dot if ending in _TEXT else self.render(ending))

    def __str__(self) -> str:
        return self.dot

    def __repr__(self) -> str:
        return f"<Graph: {self.dot.count(chr(10)):,} lines of DOT>"

    def _repr_svg_(self) -> str | None:
        return self.render("svg").decode() if shutil.which("dot") else None


def graph(function: Function, *, around: str | None = None, depth: int = 2, limit: int = 400) -> Graph:
    """A picture of a program, or of what is near a value of it.

    Args:
      function: of the IR.
      around: the printed name of a value, as in `str(function)`; `step/h` is `h` of the nested function
        `step`. Without a function's name the outermost one that has such a value is meant.
      depth: how many equations away from that value to draw, towards params and towards results.
      limit: the most equations to draw: Graphviz takes long for more, and nobody reads them.

    Returns:
      A `Graph`, with `save("program.svg")`; `str` is the DOT text.

    Raises:
      ArgumentError: there is no such value, or there are more equations than `limit`.
      ArgumentTypeError: not a function of the IR.
    """
    if not isinstance(function, Function):
        raise ArgumentTypeError(
            f"graph: expected an ir.Function, got {type(function).__name__}; "
            "trace(f)(*args) and jit(f).ir(*args) are such"
        )
    if depth < 1 or limit < 1:
        raise ArgumentError(f"graph: expected a depth and a limit of at least 1, got {depth} and {limit}")
    every = _Printed(function)
    if around is None:
        count = sum([len(each.eqns) for each in inner_first(function)])
        _check(count, limit, f"{function.name} has")
        drawing = _Drawing(every, None)
        drawing.function(function, drawing.top)
    else:
        center, value = every.find(around)
        chosen = _near(center, value, depth)
        _check(len(chosen), limit, f"within {depth} equations of {around} there are")
        drawing = _Drawing(every, value)
        drawing.part(center, chosen, drawing.top)
    return Graph(dot_text(drawing.top, drawing.edges))


def _check(count: int, limit: int, what: str) -> None:
    if count > limit:
        raise ArgumentError(
            f"graph: {what} {count:,} equations, more than limit={limit:,}",
            note="draw a part, graph(function, around='name of a value', depth=2), or raise the limit",
        )


class _Printed:
    """The program as it is printed: names of values and functions, and the line of each equation."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.names: dict[int, Mapping[Value, str]] = {}
        self.titles: dict[int, str] = {}
        self.heads: list[Function] = []
        # Two functions may hold one equation: passes keep what they do not change.
        self.at: dict[tuple[int, Eqn], Place] = {}
        for line in lines(function, max_elements=4):
            if id(line.function) not in self.names:
                self.names[id(line.function)] = line.names
                self.heads.append(line.function)
                self.titles[id(line.function)] = line.text.strip().removeprefix("def ").partition("(")[0]
        for place in places(function):
            self.at[id(place.function), place.eqn] = place

    def find(self, name: str) -> tuple[Function, Value]:
        """The function and the value of that printed name; ArgumentError if there is none."""
        within, _, wanted = name.rpartition("/")
        outermost = [self.function, *[f for f in self.heads if f is not self.function]]
        for each in outermost:
            if within and self.titles[id(each)] != within:
                continue
            for value, printed in self.names[id(each)].items():
                if printed == wanted:
                    return each, value
        raise ArgumentError(
            f"graph: expected the name of a value of {self.titles[id(self.function)]} as it is printed, "
            f"got {name!r}"
        )


def _near(function: Function, value: Value, depth: int) -> list[Eqn]:
    """The equations at most `depth` steps from a value, in order; the one that defines it is the first step."""
    maker = {v: eqn for eqn in function.eqns for v in eqn.results}
    users: dict[Value, list[Eqn]] = {}
    for eqn in function.eqns:
        for operand in dict.fromkeys(eqn.operands):
            users.setdefault(operand, []).append(eqn)
    chosen: set[Eqn] = set()
    for forward in (False, True):
        seen: set[Eqn] = set()
        front = [value]
        for _ in range(depth):
            found: dict[Eqn, None] = {}
            for v in front:
                near = users.get(v, []) if forward else [maker[v]] if v in maker else []
                found.update(dict.fromkeys([eqn for eqn in near if eqn not in seen]))
            if not found:
                break
            seen.update(found)
            front = list(dict.fromkeys([v for e in found for v in (e.results if forward else e.operands)]))
        chosen |= seen
    return [eqn for eqn in function.eqns if eqn in chosen]


@dataclass(slots=True)
class _Drawing:
    """What has been drawn so far.

    Attributes:
      printed: names and lines.
      center: the value in the middle, if there is one.
    """

    printed: _Printed
    center: Value | None
    top: Cluster = field(default_factory=lambda: Cluster("top", ""))
    edges: list[Edge] = field(default_factory=list)
    _count: int = 0
    _drawn: dict[int, Cluster] = field(default_factory=dict)

    def id(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def function(self, function: Function, cluster: Cluster) -> None:
        """Draw a whole function, and those nested in it; no recursion."""
        stack: list[Iterator[tuple[Function, Cluster]]] = [self._body(function, cluster)]
        while stack:
            below = next(stack[-1], None)
            if below is None:
                stack.pop()
            else:
                stack.append(self._body(*below))

    def part(self, function: Function, eqns: Sequence[Eqn], cluster: Cluster) -> None:
        """Draw some equations of a function; nested functions are named only."""
        inside = self._cluster(cluster, self.printed.titles[id(function)], "function")
        for _ in self._body(function, inside, eqns):
            raise AssertionError  # a part opens no nested function

    def _cluster(self, parent: Cluster, label: str, kind: str) -> Cluster:
        made = Cluster(self.id("cluster_"), label, kind)
        parent.clusters.append(made)
        return made

    def _body(
        self, function: Function, cluster: Cluster, only: Sequence[Eqn] | None = None
    ) -> Iterator[tuple[Function, Cluster]]:
        """Draw the equations of one function; what is yielded is to be drawn next."""
        names = self.printed.names[id(function)]
        at: dict[Value, str] = {}  # the node that each value comes from
        many: set[Value] = set()  # of equations with several results, which edges name

        def outside(value: Value, kind: str) -> str:
            node = self.id("n")
            label = (names[value], str(value.type))
            cluster.nodes.append(Node(node, label, kind, center=value is self.center))
            at[value] = node
            return node

        eqns = function.eqns if only is None else only
        if only is None:
            for param in function.params:
                outside(param, "param")
        elif self.center is not None and self.center in function.params:
            outside(self.center, "param")
        params = frozenset(function.params)
        sources: dict[tuple[str, str], Cluster] = {}
        for eqn in eqns:
            for value in dict.fromkeys(eqn.operands):
                if value not in at:  # of a part: it is made by what is not drawn
                    outside(value, "param" if value in params else "outside")
            node = self.id("n")
            home = self._home(eqn, cluster, sources)
            home.nodes.append(self._node(node, function, eqn))
            for value in eqn.operands:
                label = names[value] if value in many else ""
                self.edges.append(Edge(at[value], node, label, str(value.type)))
            for result in eqn.results:
                at[result] = node
            if len(eqn.results) > 1:
                many.update(eqn.results)
            if only is None:
                yield from self._nested(eqn, node, home)
        self._ends(function, cluster, at, eqns, only is None)

    def _nested(self, eqn: Eqn, node: str, home: Cluster) -> Iterator[tuple[Function, Cluster]]:
        for nested in dict.fromkeys(nested_functions(eqn)):
            drawn = self._drawn.get(id(nested))
            if drawn is None:
                drawn = self._cluster(home, self.printed.titles[id(nested)], "function")
                self._drawn[id(nested)] = drawn
                # Something to point at, and what shows a function without params and equations.
                drawn.nodes.append(Node(f"{drawn.id}_head", (drawn.label,), "head"))
                yield nested, drawn
            self.edges.append(Edge(node, f"{drawn.id}_head", "", "calls", kind="holds", into=drawn.id))

    def _ends(
        self, function: Function, cluster: Cluster, at: dict[Value, str], eqns: Sequence[Eqn], whole: bool
    ) -> None:
        """The results, and of a part what uses its values elsewhere."""
        names = self.printed.names[id(function)]
        for i, value in enumerate(function.results):
            if value in at:
                node = self.id("n")
                label = ("return" if len(function.results) == 1 else f"return {i}", str(value.type))
                cluster.nodes.append(Node(node, label, "result"))
                self.edges.append(Edge(at[value], node, names[value], str(value.type)))
        if whole:
            return
        drawn = set(eqns)
        elsewhere: dict[Value, int] = {}
        for eqn in function.eqns:
            if eqn not in drawn:
                for value in dict.fromkeys(eqn.operands):
                    if value in at:
                        elsewhere[value] = elsewhere.get(value, 0) + 1
        made = {v for eqn in eqns for v in eqn.results}
        for value, count in elsewhere.items():
            if value in made or value is self.center:
                node = self.id("n")
                cluster.nodes.append(Node(node, (f"… {count:,} more",), "outside"))
                self.edges.append(Edge(at[value], node, "", str(value.type), kind="outside"))

    def _home(self, eqn: Eqn, cluster: Cluster, sources: dict[tuple[str, str], Cluster]) -> Cluster:
        """The cluster of the user's function that an equation comes from."""
        source = eqn.source
        if not known(source):
            return cluster
        key = (source.file, source.function)
        held = sources.get(key)
        if held is None:
            name = source.function or os.path.basename(source.file)
            label = f"{name} ({os.path.basename(source.file)})" if source.function else name
            held = sources[key] = self._cluster(cluster, label, "source")
        return held

    def _node(self, node: str, function: Function, eqn: Eqn) -> Node:
        place = self.printed.at[id(function), eqn]
        names = ", ".join([place.names[v] for v in eqn.results])
        types = ", ".join([str(v.type) for v in eqn.results])
        text = plain(call_cell(place.line))
        first = f"{names}: {types}" if names else ""
        if eqn.op.name == "constant":
            label, kind = [first, text], "constant"
        else:
            attrs = text.partition(") {")[2].removesuffix("}")
            label = [first, eqn.op.name, attrs]
            kind = "holder" if next(nested_functions(eqn), None) is not None else "eqn"
        where, code = place_text(eqn.source), code_text(eqn.source)
        return Node(
            node,
            tuple([_short(part) for part in label if part]),
            kind,
            tooltip=printable(f"{where} {code}".strip()) or eqn.op.name,
            center=self.center is not None and self.center in eqn.results,
        )


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _LABEL else text[: _LABEL - 1] + "…"


__all__ = ["FORMATS", "Graph", "graph"]
