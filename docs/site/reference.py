"""The reference pages, made from the packages: every public name, each with its docstring.

What is written in Python with a docstring in its place is left to mkdocstrings (`::: tracer.jit`). What is made by a
call, such as the functions that come from JAX, stands in tables with its signature and summary. May import the three
packages and the standard library; invariant: every name of `__all__` of a module in `MODULES` is on its page, which
`tests/test_reference.py` asserts.
"""

from __future__ import annotations

import html
import importlib
import importlib.util
import inspect
import re
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Module:
    """A module that has a page.

    Attributes:
      name: as it is imported.
      intro: what stands under the title.
      groups: headings and the names under them; names in no group come last, under "Also".
      shown: further objects, by full name, that public functions return.
      table: all names in tables, since the module is a list of short functions.
    """

    name: str
    intro: str
    groups: dict[str, str] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    table: bool = False

    @property
    def page(self) -> str:
        """The page, relative to the documentation."""
        return f"reference/{self.name.removeprefix('tracer.')}.md"


AS_JAX = (
    "Names, arguments and results are those of `{of}`. Outside a trace the functions compute at once and return a "
    "`jax.Array`; inside one they are recorded. Functions marked *JAX* take their definition from there: their "
    "programs are imported into the trace, and `help` shows JAX's documentation."
)

MODULES = (
    Module(
        "tracer",
        "`import tracer as tr`. Arguments and results of functions are pytrees of arrays throughout.",
        {
            "Compile": "jit trace export deserialize",
            "Differentiate": (
                "grad value_and_grad jvp vjp linearize jacobian jacfwd jacrev hessian hvp "
                "sparse_jacobian sparse_hessian sparsity"
            ),
            "Batch": "vmap map",
            "Control flow": "cond switch while_loop fori_loop scan associative_scan autograph",
            "Derivatives of your own": "custom_jvp custom_vjp linear_call stop_gradient",
            "Memory": "checkpoint checkpoint_name",
            "Solve": "custom_linear_solve custom_root fixed_point odeint assume",
            "Look inside": "explain show diff find graph profile",
            "Assertions": "check checkify",
            "Beside JAX": "from_jax to_jax",
            "Modules": "numpy linalg fft special random nn tree debug errors",
        },
        (
            "tracer.report.model.Report",
            "tracer.views.show.Listing",
            "tracer.views.diff.Diff",
            "tracer.views.find.Found",
            "tracer.views.find.Place",
            "tracer.views.graph.Graph",
            "tracer.profiling.profile.Profile",
            "ir.sparsity.patterns.Pattern",
        ),
    ),
    Module(
        "tracer.numpy",
        "`import tracer.numpy as tnp`. " + AS_JAX.format(of="jax.numpy"),
        table=True,
    ),
    Module(
        "tracer.linalg",
        AS_JAX.format(of="jax.numpy.linalg")
        + " So are those of `jax.scipy.linalg` that have no namesake there. `tracer.numpy.linalg` holds the former.",
        table=True,
    ),
    Module("tracer.fft", AS_JAX.format(of="jax.numpy.fft") + " `tracer.numpy.fft` is the same.", table=True),
    Module("tracer.special", AS_JAX.format(of="jax.scipy.special"), table=True),
    Module(
        "tracer.random", "The same keys give the same bits. " + AS_JAX.format(of="jax.random"), table=True
    ),
    Module(
        "tracer.nn",
        "Functions on arrays, without state: parameters are arguments. Names and formulas are those of `jax.nn`, and "
        "of `optax.losses` for losses.",
        {
            "Layers": "conv conv_transpose avg_pool max_pool embedding dropout",
            "Normalisation": "layer_norm rms_norm batch_norm BatchStatistics group_norm instance_norm standardize",
            "Losses": (
                "softmax_cross_entropy softmax_cross_entropy_with_integer_labels sigmoid_binary_cross_entropy "
                "squared_error l2_loss huber_loss hinge_loss kl_divergence cosine_distance cosine_similarity ctc_loss"
            ),
            "Over axes": "softmax log_softmax logsumexp one_hot",
            "Activations": (
                "relu relu6 leaky_relu elu celu selu gelu silu swish sigmoid log_sigmoid softplus squareplus "
                "soft_sign hard_tanh"
            ),
        },
    ),
    Module("tracer.nn.initializers", "Initial weights, those of `jax.nn.initializers`.", table=True),
    Module("tracer.tree", "Functions on pytrees, those of `jax.tree`: traced values are leaves.", table=True),
    Module(
        "tracer.debug",
        "Looking into programs while they run; [Debugging](../debugging.md) shows how.",
    ),
    Module(
        "tracer.errors",
        "All are subclasses of `TracerError`, and of the built-in exception that Python would raise. Messages say what "
        "was expected and what came, and name your line.",
    ),
    Module(
        "ir",
        "The compiler core, which needs NumPy alone. [Architecture](../architecture.md) shows how it is used.",
    ),
    Module("ir.transforms", "Programs to programs. `tracer.grad` and the others are made of these."),
)


def pages() -> dict[str, str]:
    """Markdown by page."""
    return {module.page: _page(module) for module in MODULES} | {"reference/index.md": _index()}


def _index() -> str:
    lines = ["# Reference", "", "| module | |", "| --- | --- |"]
    for module in MODULES:
        summary = _summary(importlib.import_module(module.name))
        lines.append(f"| [`{module.name}`]({module.page.removeprefix('reference/')}) | {_cell(summary)} |")
    return "\n".join([*lines, ""])


def _page(module: Module) -> str:
    live = importlib.import_module(module.name)
    names = [name for name in live.__all__ if not name.startswith("__")]
    parts = [f"# `{module.name}`", module.intro]
    grouped = [name for listed in module.groups.values() for name in listed.split()]
    if unknown := [name for name in grouped if name not in names]:
        raise ValueError(f"reference of {module.name}: expected names of __all__, got {unknown}")
    for title, listed in module.groups.items():
        parts += [f"## {title}", *_entries(module, live, listed.split())]
    rest = sorted([name for name in names if name not in grouped], key=str.lower)
    if module.table:
        functions = [
            name for name in rest if callable(value := getattr(live, name)) and not inspect.isclass(value)
        ]
        for title, chosen in (
            ("Functions", functions),
            ("Types and constants", sorted({*rest} - {*functions})),
        ):
            if chosen:
                parts += [f"## {title}", _table(module, live, chosen)]
    elif rest:
        parts += ["## Also" if module.groups else "## Names", *_entries(module, live, rest)]
    if module.shown:
        parts += ["## What functions return", *[f"::: {name}" for name in module.shown]]
    return "\n\n".join([*parts, ""])


def _entries(module: Module, live: Any, names: list[str]) -> list[str]:
    """Directives for what is written here, and a table of the rest."""
    own = [name for name in names if written(getattr(live, name))]
    parts = [_directive(module, getattr(live, name), name) for name in own]
    others = [name for name in names if name not in own]
    return [*parts, *([_table(module, live, others)] if others else [])]


def written(value: Any) -> bool:
    """Whether a function or class is a definition of these packages, not made by a call."""
    home = getattr(value, "__module__", "") or ""
    return (
        (inspect.isclass(value) or inspect.isfunction(value))
        and home.partition(".")[0] in ("tracer", "ir")
        and not hasattr(value, "borrowed")
        and hasattr(importlib.import_module(home), value.__name__)
    )


def _directive(module: Module, value: Any, name: str) -> str:
    """What mkdocstrings reads; a function that hides a file of its name is documented by where it is defined."""
    full = f"{module.name}.{name}"
    package = hasattr(importlib.import_module(module.name), "__path__")
    if not package or importlib.util.find_spec(full) is None:
        return f"::: {full}"
    home = f"{value.__module__}.{value.__name__}"
    return f'<a id="{full}"></a>\n\n::: {home}\n    options:\n      heading: {full}\n      toc_label: {name}'


def _table(module: Module, live: Any, names: list[str]) -> str:
    lines = ["| name | |", "| --- | --- |"]
    for name in names:
        value = getattr(live, name)
        if inspect.ismodule(value):
            page = module_page(value.__name__)
            lines.append(f"| [`{module.name}.{name}`]({page}) | {_cell(_summary(value))} |")
            continue
        label = html.escape(f"{name}{_signature(value)}").replace("|", "&#124;")
        lines.append(f'| <code id="{module.name}.{name}">{label}</code> | {_cell(described(value))} |')
    return "\n".join(lines)


def module_page(name: str) -> str:
    """The page of a module, from another page of the reference."""
    aliases = {"tracer.numpy.fft": "tracer.fft", "tracer.numpy.linalg": "tracer.linalg"}
    known = {module.name: module.page for module in MODULES}
    return known[aliases.get(name, name)].removeprefix("reference/")


def _signature(value: Any) -> str:
    """Parameters with their defaults, without types; nothing for what is no function."""
    if inspect.isclass(value) or not callable(value):
        return ""
    try:
        signature = inspect.signature(value)
    except ValueError:  # of a function written in C
        return "(...)"
    parameters = [
        p.replace(annotation=p.empty, default=p.default if p.default is p.empty else _Shown(p.default))
        for p in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


class _Shown:
    """A default value as it is written."""

    def __init__(self, value: Any) -> None:
        text = value.__name__ if inspect.isclass(value) or inspect.isfunction(value) else repr(value)
        self.text = "..." if text.startswith("<") else text

    def __repr__(self) -> str:
        return self.text


CONSTANTS = {
    "e": "Euler's number, 2.71828…",
    "euler_gamma": "The Euler-Mascheroni constant, 0.57721…",
    "inf": "Infinity.",
    "nan": "Not a number.",
    "newaxis": "`None`: an axis of size 1, in an index.",
    "pi": "π, 3.14159…",
}


def described(value: Any) -> str:
    """What a table says of a value: its summary, and where its definition comes from."""
    for name, text in CONSTANTS.items():
        import tracer.numpy as tnp

        if value is getattr(tnp, name):
            return text
    if inspect.isclass(value):
        return _class_summary(value)
    mark = " *JAX*" if hasattr(value, "borrowed") or _home(value).startswith("jax") else ""
    return f"{_summary(value)}{mark}"


def _class_summary(value: Any) -> str:
    home = _home(value)
    if home.startswith(("tracer", "ir")):
        return _summary(value)
    if home.startswith("jax.numpy") or "scalar_types" in home:
        return f"The element type `{value.__name__}`."
    return f"That of `{home.partition('.')[0]}`."


def _home(value: Any) -> str:
    return str(getattr(value, "__module__", None) or type(value).__module__)


def _summary(value: Any) -> str:
    """The first sentence of a docstring, its markup turned into Markdown."""
    text = (inspect.getdoc(value) or f"`{value.__name__}` of JAX.").strip()
    first = " ".join(text.split("\n\n")[0].split())
    sentence = re.match(r"(.+?[.:;])(?:\s+[A-Z`]|$)", first)
    first = sentence[1] if sentence else first
    first = re.sub(r":[\w:]+:`~?([^`]+)`", r"`\1`", first)
    return re.sub(r"``([^`]+)``", r"`\1`", first)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


__all__ = ["CONSTANTS", "MODULES", "Module", "described", "module_page", "pages", "written"]
