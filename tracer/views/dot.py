"""Text in the DOT language of Graphviz, from nodes in nested clusters and edges.

Every name is quoted and every label escaped, so that the text is well formed whatever it says. Grammar:
https://graphviz.org/doc/info/lang.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_NODES: Mapping[str, Mapping[str, str]] = {
    "param": {"shape": "ellipse", "fillcolor": "#d9ead3"},
    "result": {"shape": "ellipse", "fillcolor": "#f4cccc"},
    "constant": {"shape": "box", "fillcolor": "#eeeeee", "color": "#999999", "fontcolor": "#444444"},
    "holder": {"shape": "box", "fillcolor": "#fff2cc"},
    "head": {"shape": "point", "style": "invis"},
    "outside": {"shape": "box", "style": "rounded,dashed", "color": "#999999", "fontcolor": "#666666"},
    "eqn": {"shape": "box"},
}
_EDGES: Mapping[str, Mapping[str, str]] = {
    "value": {},
    "holds": {"style": "dashed", "color": "#bf9000", "arrowhead": "open"},
    "outside": {"style": "dashed", "color": "#999999"},
}
_CLUSTERS: Mapping[str, Mapping[str, str]] = {
    "source": {"style": "rounded", "color": "#6fa8dc", "fontcolor": "#0b5394"},
    "function": {
        "style": "rounded,filled",
        "color": "#bf9000",
        "fillcolor": "#fffaf0",
        "fontcolor": "#7f6000",
    },
}


@dataclass(frozen=True, slots=True)
class Node:
    """A node.

    Attributes:
      id: unique in the graph.
      label: its lines.
      kind: a key of the table of styles.
      tooltip: what a browser shows above it.
      center: whether it is the one that the picture is about.
    """

    id: str
    label: tuple[str, ...]
    kind: str
    tooltip: str = ""
    center: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """From one node to another.

    Attributes:
      tooltip: the type of the value.
      into: the cluster at whose border it ends, if it does.
    """

    tail: str
    head: str
    label: str = ""
    tooltip: str = ""
    kind: str = "value"
    into: str = ""


@dataclass(slots=True)
class Cluster:
    """A box around nodes and other clusters; the outermost one is the graph."""

    id: str
    label: str
    kind: str = "function"
    nodes: list[Node] = field(default_factory=list)
    clusters: list[Cluster] = field(default_factory=list)


def quoted(text: str) -> str:
    """A string of DOT that is drawn as exactly this text: labels have escapes, and entities as in HTML."""
    escaped = text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def dot_text(top: Cluster, edges: Iterable[Edge]) -> str:
    """The graph in DOT; linear in its size, no recursion over clusters."""
    out = [
        "digraph program {",
        "  charset=utf8; compound=true; rankdir=TB; fontname=Helvetica; fontsize=11;",
        "  node [fontname=Helvetica, fontsize=10, style=filled, fillcolor=white, margin=0.08, height=0.3];",
        "  edge [fontname=Helvetica, fontsize=9, arrowsize=0.6];",
    ]
    stack: list[tuple[Cluster | None, int]] = [(top, 0)]
    while stack:
        cluster, depth = stack.pop()
        indent = "  " * (depth + 1)
        if cluster is None:
            out.append(f"{indent}}}")
            continue
        inside = indent
        if cluster is not top:
            out.append(f"{indent}subgraph {quoted(cluster.id)} {{")
            inside += "  "
            settings = {"label": cluster.label, **_CLUSTERS[cluster.kind]}
            out.append(f"{inside}{'; '.join([f'{k}={quoted(v)}' for k, v in settings.items()])};")
            stack.append((None, depth))
        out.extend([f"{inside}{_node(node)}" for node in cluster.nodes])
        stack.extend([(below, depth + (cluster is not top)) for below in reversed(cluster.clusters)])
    out.extend([f"  {_edge(edge)}" for edge in edges])
    out.append("}")
    return "\n".join(out)


def _node(node: Node) -> str:
    settings = {"label": "\n".join(node.label), **_NODES[node.kind]}
    if node.tooltip:
        settings["tooltip"] = node.tooltip
    if node.center:
        settings.update(color="#cc0000", penwidth="2.5")
    return f"{quoted(node.id)} {_settings(settings)};"


def _edge(edge: Edge) -> str:
    settings = dict(_EDGES[edge.kind])
    if edge.label:
        settings["label"] = edge.label
    if edge.into:
        settings["lhead"] = edge.into
    if edge.tooltip:
        settings["tooltip"] = settings["edgetooltip"] = edge.tooltip
    return f"{quoted(edge.tail)} -> {quoted(edge.head)} {_settings(settings)};"


def _settings(settings: Mapping[str, str]) -> str:
    return f"[{', '.join([f'{key}={quoted(value)}' for key, value in settings.items()])}]"
