"""`graph`: the DOT text as pydot and Graphviz read it, against the program; neighbourhoods, limits, pictures."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pydot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.core import Function, inner_first, nested_functions
from ir.ops.calls import call
from tests.ir.generate import functions
from tests.tracer.chains import SCALAR, chain, nested, work
from tests.tracer.helpers import array
from tracer.errors import ArgumentError, ArgumentTypeError, MissingDependencyError
from tracer.views.dot import Cluster, Edge, Node, dot_text

# pydot calls functions of pyparsing by names that its later releases call old.
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated - use:DeprecationWarning")

TRIES = settings().max_examples  # of the profile
V = array(4)
needs_dot = pytest.mark.skipif(
    shutil.which("dot") is None, reason="the program dot of Graphviz is not installed"
)


def parsed(graph: Any) -> pydot.Dot:
    (found,) = pydot.graph_from_dot_data(str(graph))
    return found


def everything(graph: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Nodes, edges and clusters, nested ones included."""
    nodes, edges, clusters = [], [], []
    stack = [graph]
    while stack:
        top = stack.pop()
        nodes.extend([n for n in top.get_nodes() if n.get_name() not in ("node", "edge", "graph")])
        edges.extend(top.get_edges())
        clusters.extend(top.get_subgraphs())
        stack.extend(top.get_subgraphs())
    return nodes, edges, clusters


@settings(max_examples=TRIES // 2)
@given(functions(max_eqns=6))
def test_nodes_and_edges_are_those_of_the_program(function: Function) -> None:
    nodes, edges, clusters = everything(parsed(tr.graph(function, limit=10_000)))
    every = list(inner_first(function))
    eqns = [eqn for f in every for eqn in f.eqns]
    heads = sum(len({id(n) for n in nested_functions(eqn)}) for eqn in eqns)
    expected = sum(len(f.params) + len(f.eqns) + len(f.results) for f in every) + len(every) - 1
    assert len(nodes) == len({n.get_name() for n in nodes}) == expected
    assert len(edges) == sum(len(e.operands) for e in eqns) + sum(len(f.results) for f in every) + heads
    known = {n.get_name() for n in nodes}
    assert all(e.get_source() in known and e.get_destination() in known for e in edges)
    labels = [c.get_label() for c in clusters]
    assert sum("generated.py" not in label for label in labels) == len(every) - 1


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


def drawn(item: Any) -> list[str]:
    """The lines of a label as Graphviz draws them."""
    return [each["text"] for each in item.get("_ldraw_", []) if each["op"] == "T"]


@needs_dot
@settings(max_examples=12)
@given(st.lists(ANY_TEXT, min_size=1, max_size=8))
def test_labels_are_drawn_as_they_are(texts: list[str]) -> None:
    inner = Cluster("cluster_1", texts[0])
    inner.nodes.extend([Node(f"n{i}", (text, "second"), "eqn", tooltip=text) for i, text in enumerate(texts)])
    edges = [Edge("n0", f"n{i}", text) for i, text in enumerate(texts)]
    text = dot_text(Cluster("top", "", clusters=[inner]), edges)
    done = subprocess.run(["dot", "-Tjson"], input=text.encode(), capture_output=True, check=True)
    read = json.loads(done.stdout)
    seen = {each["name"]: each for each in read["objects"]}
    assert drawn(seen["cluster_1"]) == [texts[0]]
    for i, text in enumerate(texts):
        assert drawn(seen[f"n{i}"]) == [text, "second"]
    assert sorted(line for each in read["edges"] for line in drawn(each)) == sorted(texts)


@needs_dot
@pytest.mark.parametrize("text", ["\\N", "&lt;b&gt;", 'a "b" \\', "<b>", "a\\nb", "\\l", "{a|b}", "λ ± 漢"])
def test_text_that_means_something_to_graphviz(text: str) -> None:
    graph = dot_text(Cluster("top", "", nodes=[Node("n", (text,), "eqn")]), [])
    done = subprocess.run(["dot", "-Tjson"], input=graph.encode(), capture_output=True, check=True)
    assert drawn(json.loads(done.stdout)["objects"][0]) == [text]


def loss(weights: Any, x: Any) -> Any:
    hidden = tnp.tanh(x @ weights)

    def step(state: Any, row: Any) -> Any:
        return state + row, state.sum()

    total, sums = tr.scan(step, tnp.zeros(2, "float32"), hidden)
    return total.sum() + sums.sum()


def test_clusters() -> None:
    function = tr.trace(loss)(array(3, 2), array(5, 3))
    text = str(tr.graph(function))
    _, edges, clusters = everything(parsed(text))
    labels = [c.get_label().strip('"') for c in clusters]
    assert "loss (test_graph.py)" in labels
    assert "loss.<locals>.step (test_graph.py)" in labels
    assert labels.count("step") == 1
    held = [e for e in edges if e.get("lhead")]
    assert len(held) == 1
    assert "hidden: f32[5,2]\\ntanh" in text
    # A value of several is named at the edge.
    assert {e.get_label() for e in edges if e.get_label()} >= {'"total"', '"sums"'}
    assert "hidden = tnp.tanh(x @ weights)" in text  # a tooltip


def test_a_function_of_several_equations_is_drawn_once() -> None:
    inner = chain("sc", "shared")
    function = ir.build([SCALAR], lambda x: call(call(x, function=inner), function=inner), names=["x"])
    _, edges, clusters = everything(parsed(tr.graph(function)))
    assert [c.get_label() for c in clusters].count('"shared"') == 1
    assert len([e for e in edges if e.get("lhead")]) == 2


def names_around(name: str, depth: int, ops: str = "scnmasc") -> list[str]:
    nodes, _, _ = everything(parsed(tr.graph(chain(ops), around=name, depth=depth)))
    return sorted([n.get_label().strip('"').split("\\n")[0].split(":")[0] for n in nodes])


def test_neighbourhoods() -> None:
    # x -s-> a -c-> b -n-> c -m-> d -a-> e -s-> f -c-> g
    assert names_around("c", 1) == ["b", "c", "d", "… 1 more"]
    assert names_around("c", 2) == ["a", "b", "c", "d", "e", "… 1 more"]
    assert names_around("c", 9) == ["a", "b", "c", "d", "e", "f", "g", "return", "x"]
    assert names_around("x", 1) == ["a", "x", "… 1 more"]
    assert names_around("g", 1) == ["f", "g", "return"]
    assert 'penwidth="2.5"' in str(tr.graph(chain("sc"), around="a"))


def test_neighbourhoods_inside_functions() -> None:
    function = tr.trace(loss)(array(3, 2), array(5, 3))
    text = str(tr.graph(function, around="step/a", depth=1))
    assert 'label="step"' in text
    assert "tanh" not in text
    with pytest.raises(ArgumentError, match="the name of a value of loss as it is printed, got 'nothing'"):
        tr.graph(function, around="nothing")
    with pytest.raises(ArgumentError, match="got 'other/a'"):
        tr.graph(function, around="other/a")


def test_limits() -> None:
    long = chain("scnma" * 1000)
    with pytest.raises(ArgumentError, match=r"f has 5,000 equations, more than limit=400\ndraw a part"):
        tr.graph(long)
    assert str(tr.graph(long, around="x", depth=3)).count("->") < 10
    with pytest.raises(ArgumentError, match="within 900 equations of x there are 900 equations"):
        tr.graph(long, around="x", depth=900)
    with pytest.raises(ArgumentError, match="depth and a limit of at least 1"):
        tr.graph(long, depth=0)
    with pytest.raises(ArgumentTypeError, match="got function"):
        tr.graph(loss)  # type: ignore[arg-type]


def test_deep_nests_do_not_recurse() -> None:
    assert str(tr.graph(nested(300, chain("s")), limit=1000)).count("subgraph") > 300


def test_work_is_linear() -> None:
    def of(n: int) -> int:
        function = chain("scnma" * n)
        return work(lambda: tr.graph(function, limit=10**6))

    of(10)
    assert of(2000) < 5 * 1.2 * of(400)


def test_files(tmp_path: Path) -> None:
    graph = tr.graph(chain("sc"))
    graph.save(tmp_path / "program.dot")
    assert (tmp_path / "program.dot").read_text() == graph.dot == str(graph)
    with pytest.raises(ArgumentError, match=r"ends in one of \.dot, .*, got '.*program.txt'"):
        graph.save(tmp_path / "program.txt")
    with pytest.raises(ArgumentError, match=r"formats svg, .*, got 'exe'"):
        graph.render("exe")


def test_without_graphviz(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    graph = tr.graph(chain("sc"))
    with pytest.raises(MissingDependencyError, match="apt install graphviz"):
        graph.save(tmp_path / "program.svg")
    assert graph._repr_svg_() is None
    graph.save(tmp_path / "program.gv")


@needs_dot
def test_pictures(tmp_path: Path) -> None:
    graph = tr.graph(tr.trace(tr.grad(loss))(array(3, 2), array(5, 3)))
    svg = graph.render("svg").decode()
    assert svg.rstrip().endswith("</svg>")
    for text in ("hidden", "tanh", "step", "weights"):
        assert text in svg
    assert graph._repr_svg_() == svg
    graph.save(tmp_path / "program.png")
    assert (tmp_path / "program.png").read_bytes().startswith(b"\x89PNG")
