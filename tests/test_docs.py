"""The documentation is a program: every ```python block of it is executed.

The blocks of a file run in order in one namespace, so that a later block may use what an earlier one
defined. A block is left out only by a comment on the line before it that gives the reason:

    <!-- not run: needs two accelerators -->

Line numbers in tracebacks are those of the Markdown file.
"""

import linecache
import re
import sys
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCUMENTS = [
    path
    for path in (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
    if path.exists()
]

FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,})\s*(?P<language>[\w+-]*)")
NOT_RUN = re.compile(r"<!--\s*not run\b\s*:?\s*(?P<reason>.*?)\s*-->\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced Python block: its code, the 1-based line of its first line, and why it is not run."""

    code: str
    line: int
    not_run: str | None


def python_blocks(text: str) -> Iterator[Block]:
    lines = text.splitlines()
    position = 0
    while position < len(lines):
        opening = FENCE.match(lines[position])
        position += 1
        if not opening:
            continue
        start = position
        closing = re.compile(rf"^\s*{re.escape(opening['fence'][0])}{{{len(opening['fence'])},}}\s*$")
        while position < len(lines) and not closing.match(lines[position]):
            position += 1
        if position == len(lines):
            raise ValueError(f"line {start}: expected a closing fence, got the end of the file")
        position += 1
        if opening["language"].lower() in {"python", "py", "python3"}:
            code = textwrap.dedent("\n".join(lines[start : position - 1])) + "\n"
            marker = NOT_RUN.search(lines[start - 2]) if start > 1 else None
            if marker and not marker["reason"]:
                raise ValueError(f"line {start - 1}: expected a reason, `<!-- not run: reason -->`")
            yield Block(code, start + 1, marker["reason"] if marker else None)


def execute(path: Path, namespace: dict[str, object]) -> None:
    """Runs the blocks of the file in order in `namespace`.

    The code keeps its place: each block is compiled at its own lines, and the text that tracebacks and
    `inspect` find under the file's name is the file with all but its code blanked.
    """
    text = path.read_text(encoding="utf-8")
    blocks = [block for block in python_blocks(text) if block.not_run is None]
    source = [""] * len(text.splitlines())
    for block in blocks:
        code = block.code.splitlines()
        source[block.line - 1 : block.line - 1 + len(code)] = code
    # Without a modification time, linecache keeps the entry.
    linecache.cache[str(path)] = (len(text), None, [line + "\n" for line in source], str(path))
    try:
        for block in blocks:
            exec(
                compile("\n" * (block.line - 1) + block.code, str(path), "exec", dont_inherit=True),
                namespace,
            )
    finally:
        del linecache.cache[str(path)]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[types.ModuleType]:
    """A module to run a document in, in an empty directory; JAX's configuration is put back after it."""
    import jax

    document = types.ModuleType("document")
    monkeypatch.setitem(sys.modules, "document", document)
    monkeypatch.chdir(tmp_path)
    before = dict(jax.config.values)
    yield document
    for name, value in before.items():
        if jax.config.values[name] != value:
            jax.config.update(name, value)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_document_runs(path: Path, module: types.ModuleType) -> None:
    execute(path, vars(module))


def test_readme_leaves_no_block_out() -> None:
    assert [block for block in python_blocks(README.read_text(encoding="utf-8")) if block.not_run] == []


SAMPLE = """\
# Sample

```python
x = 1
```

1. In a list, and in a longer fence's text nothing runs:

   ```python
   def f():
       return x + 1
   ```

````markdown
```python
raise SystemExit
```
````

<!-- not run: needs two accelerators -->
```python
raise SystemExit
```

```text
not Python
```

```python
assert f() == 2
1 / 0
```
"""


def test_blocks_are_found() -> None:
    assert list(python_blocks(SAMPLE)) == [
        Block("x = 1\n", 4, None),
        Block("def f():\n    return x + 1\n", 10, None),
        Block("raise SystemExit\n", 22, "needs two accelerators"),
        Block("assert f() == 2\n1 / 0\n", 30, None),
    ]


def test_traceback_names_the_line(tmp_path: Path, module: types.ModuleType) -> None:
    path = tmp_path / "sample.md"
    path.write_text(SAMPLE, encoding="utf-8")
    with pytest.raises(ZeroDivisionError) as caught:
        execute(path, vars(module))
    assert caught.traceback[-1].lineno + 1 == SAMPLE.splitlines().index("1 / 0") + 1
    assert str(caught.traceback[-1].path) == str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```python\nx = 1\n", "line 1: expected a closing fence"),
        ("<!-- not run: -->\n```python\nx = 1\n```\n", "line 1: expected a reason"),
        ("<!-- not run -->\n```python\nx = 1\n```\n", "line 1: expected a reason"),
    ],
)
def test_malformed_document_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(python_blocks(text))
