"""The directions between the packages, held on the source text and on what an import really loads.

import-linter holds the contracts of pyproject.toml. Here is what it cannot see: submodules of external
packages (`jax._src`), imports by name, and effects of importing.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ir", "lowering", "tracer")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# What a package may import besides the standard library; `tracer` is held by the private rule alone.
ALLOWED = {
    "ir": {"ir", "numpy", "ml_dtypes"},
    "lowering": {"lowering", "ir", "jax", "numpy", "ml_dtypes"},
}
IMPORT_BY_NAME = {"import_module", "__import__"}


def imported_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every absolute dotted name that the module imports anywhere, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, name.name) for name in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from ((node.lineno, f"{module}.{name.name}") for name in names)
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called), args=[first, *_]):
                if (
                    called in IMPORT_BY_NAME
                    and isinstance(first, ast.Constant)
                    and isinstance(first.value, str)
                ):
                    yield node.lineno, first.value


def private_uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every way of reaching into `jax._src`: by import, by attribute, by `getattr`."""
    for line, name in imported_names(tree):
        if name == "jax._src" or name.startswith("jax._src."):
            yield line, name
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="_src"):
                yield node.lineno, ast.unparse(node)
            case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value="_src"), *_]):
                yield node.lineno, ast.unparse(node)


def violations(source: str, package: str) -> list[str]:
    """What the file does that its package may not, one message each, in the order of the lines."""
    tree = ast.parse(source)
    found = [(line, f"{name}: private to JAX") for line, name in private_uses(tree)]
    allowed = ALLOWED.get(package)
    if allowed is not None:
        for line, name in imported_names(tree):
            top = name.partition(".")[0]
            if top not in allowed and top not in sys.stdlib_module_names:
                found.append((line, f"{name}: {package} may import {', '.join(sorted(allowed))} only"))
    return [f"line {line}: {message}" for line, message in sorted(found)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_stays_in_its_layer(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    assert violations(path.read_text(encoding="utf-8"), package) == []


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("tracer", "import jax._src"),
        ("tracer", "import jax._src.core as core"),
        ("tracer", "from jax import _src"),
        ("tracer", "from jax._src import core"),
        ("tracer", "from jax._src.core import Primitive"),
        ("tracer", "import jax\ndef f(x):\n    return jax._src.core"),
        ("tracer", "def f():\n    from jax._src import core"),
        ("tracer", "import jax\ngetattr(jax, '_src')"),
        ("tracer", "import importlib\nimportlib.import_module('jax._src.core')"),
        ("lowering", "import tracer"),
        ("lowering", "def f():\n    from tracer.api import jit"),
        ("lowering", "import jaxlib"),
        ("ir", "import jax"),
        ("ir", "def f():\n    import jax.numpy as jnp"),
        ("ir", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from lowering import emit"),
        ("ir", "__import__('optax')"),
    ],
)
def test_violation_is_found(package: str, source: str) -> None:
    assert violations(source, package) != []


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("ir", "import numpy as np\nimport ml_dtypes\nfrom ir.types import TensorType\nfrom . import core"),
        ("lowering", "import jax\nfrom jax.extend import core\nfrom ir import verify"),
        ("tracer", "'''Frames of jax._src are left out.'''\nimport optax\nfrom lowering import emit"),
    ],
)
def test_permitted_import_passes(package: str, source: str) -> None:
    assert violations(source, package) == []


def run_fresh(code: str) -> str:
    """Runs `code` in a new interpreter at the root of the repository and returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# `python -m` entry points may run on import; every other module must be importable.
IMPORT_ALL = """
import importlib, pkgutil
def import_all(name):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
"""


def test_importing_ir_does_not_load_jax() -> None:
    code = """
import sys
import_all("ir")
loaded = {name.partition(".")[0] for name in sys.modules}
print(sorted(loaded & {"jax", "jaxlib", "optax", "lowering", "tracer"}))
"""
    assert run_fresh(IMPORT_ALL + code) == "[]"


def test_importing_tracer_changes_no_jax_configuration() -> None:
    code = """
import jax
before = dict(jax.config.values)
import_all("tracer")
after = dict(jax.config.values)
print({name: (old, after.get(name)) for name, old in before.items() if after.get(name) != old})
"""
    assert run_fresh(IMPORT_ALL + code) == "{}"


# What looks at programs and runs beside them, and what only some of it needs.
LATER = (
    "tracer.cli",
    "tracer.debug",
    "tracer.profiling",
    "tracer.report",
    "tracer.views",
    "rich",
    "optax",
    "malt",
)


def test_importing_tracer_loads_nothing_that_first_programs_do_not_need() -> None:
    code = f"""
import sys
import tracer
print(sorted(name for name in sys.modules if name.startswith({LATER})))
tracer.show, tracer.find, tracer.graph, tracer.diff, tracer.profile, tracer.check, tracer.checkify
print(all(callable(getattr(tracer, name)) for name in ("explain", *tracer._FUNCTIONS)))
"""
    assert run_fresh(code).split("\n") == ["[]", "True"]
