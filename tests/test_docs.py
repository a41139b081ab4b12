"""The documentation is a program: every ```python block of it is executed, and prints what it says it prints.

`tests/documents.py` says how.
"""

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import Block, Output, execute, python_blocks, same_text

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCUMENTS = [
    path
    for path in (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
    if path.exists()
]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[types.ModuleType]:
    """A module to run a document in, in an empty directory.

    JAX's configuration is put back after it, and ops that it declared are forgotten.
    """
    import jax

    import ir.op
    from lowering.emit import rules

    document = types.ModuleType("document")
    monkeypatch.setitem(sys.modules, "document", document)
    monkeypatch.chdir(tmp_path)
    before = dict(jax.config.values)
    monkeypatch.setattr(ir.op, "_TABLE", ir.all_ops())
    monkeypatch.setattr("lowering.emit._RULES", dict(rules()))
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


PRINTS = """\
```python
print(1 / 3)
print("x")
```

Which prints

```output
0.3333
x
```

```python
pass
```
"""


def test_what_a_block_prints_is_compared(tmp_path: Path, module: types.ModuleType) -> None:
    first, second = python_blocks(PRINTS)
    assert first.output == Output("0.3333\nx\n", 9, 11) and second.output is None
    path = tmp_path / "sample.md"
    path.write_text(PRINTS, encoding="utf-8")
    execute(path, vars(module))
    path.write_text(PRINTS.replace("0.3333", "0.34"), encoding="utf-8")
    with pytest.raises(AssertionError, match="line 9: expected the block before to print"):
        execute(path, vars(module))


@pytest.mark.parametrize(
    "before", ["", "<!-- not run: for show -->\n```python\n1\n```\n", "```sh\nls\n```\n"]
)
def test_output_without_a_block_is_an_error(before: str) -> None:
    with pytest.raises(ValueError, match="expected a Python block that runs"):
        list(python_blocks(f"{before}```output\n1\n```\n"))


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ("a  1\n\n", "a 1", True),
        ("0.1234", "0.12339", True),
        ("0.1234", "0.1244", False),
        ("f32[3] = 3", "f32[3] = 4", False),
        ("x1 2.0", "x2 2.0", False),
        ("[1. 2.]", "[1.0001 2]", True),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a\n...\nc\n...\nd", "a\nb\nc\nd", True),
        ("a\n...\nc\n...\nb\n...", "a\nb\nc\nd", False),
        ("a\n...", "a", True),
        ("a\n...\na", "a", False),
        ("a", "a\nb", False),
    ],
)
def test_texts_are_compared(expected: str, got: str, same: bool) -> None:
    assert same_text(expected, got) is same
