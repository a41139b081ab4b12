"""The command line: what each command prints, and what it says of mistakes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import ir
import tracer as tr
from tracer.cli import main
from tracer.cli.arguments import Arguments, concrete, parse_argument, parse_arguments
from tracer.cli.bench import _compared
from tracer.cli.options import COMMANDS
from tracer.errors import ParseError

PROGRAM = """
import numpy as np
import jax.numpy as jnp
import tracer as tr
import tracer.numpy as tnp

def loss(w, x):
    hidden = tnp.tanh(x @ w)
    return tnp.sum(hidden)

def loss_of_jax(w, x):
    return jnp.sum(jnp.tanh(x @ w))

def wrong(w, x):
    return x @ w.T

def only_here(x):
    if not isinstance(x, tr.value.Tensor):
        raise ValueError("no arrays of JAX")
    return x * 2

def newton(a):
    x = a
    while abs(x * x - a) > 1e-3:
        x = 0.5 * (x + a / x)
    return x

def tree(p, scale):
    return p["w"][0] * scale + p["b"]

class Model:
    def apply(x):
        return x + 1

compiled = tr.jit(loss, opt=0)
number = 3

def two():
    return np.ones((2, 3), np.float32), np.ones((4, 2), np.float32)

def both():
    return ({"w": (np.ones(2, np.float32),), "b": np.ones(2, np.float32)},), {"scale": 2.0}

def none():
    return 3
"""
LOSS = ("--arg", "f32[2,3]", "--arg", "f32[4,2]")


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "cli_program.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "cli_program", raising=False)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *argv: str, status: int = 0) -> str:
    """Standard output, or what goes to standard error where the command fails."""
    assert main(argv) == status
    out, err = capsys.readouterr()
    if status:
        assert out == ""
        return err
    assert err == ""
    return out


def program():  # type: ignore[no-untyped-def]
    import cli_program  # type: ignore[import-not-found]

    return cli_program


# Commands -----------------------------------------------------------------------------------------


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "show", "cli_program:loss", *LOSS)
    w, x = [jax.ShapeDtypeStruct(s, np.float32) for s in ((2, 3), (4, 2))]
    assert out == f"{tr.show(program().loss)(w, x)}\n"
    out = run(
        capsys, "show", "cli_program.py:loss", *LOSS, "--stage", "trace", "--sources", "--columns", "flops"
    )
    assert "cli_program.py:8" in out
    assert "hidden = tnp.tanh(x @ w)" in out
    text = run(capsys, "show", "cli_program:loss", *LOSS, "--text", "--grad", "--argnums", "0,1")
    assert ir.parse(text) == tr.jit(tr.grad(program().loss, (0, 1))).ir(w, x)
    traced = run(capsys, "show", "cli_program:loss", *LOSS, "--text", "--opt", "0")
    assert ir.parse(traced) == tr.trace(program().loss)(w, x)
    assert "\x1b[" in run(capsys, "show", "cli_program:loss", *LOSS, "--color", "always")
    assert max(map(len, run(capsys, "show", "cli_program:loss", *LOSS, "--width", "50").split("\n"))) <= 50


def test_what_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "add(x, " in run(capsys, "show", "cli_program:Model.apply", "--arg", "f32[3]")
    assert "tanh" in run(capsys, "show", "cli_program:compiled", *LOSS)
    assert "while_loop" in run(capsys, "show", "cli_program:newton", "--arg", "f32[]", "--autograph")
    assert "replay" in run(capsys, "show", "cli_program:newton", "--arg", "f32[]", "--autograph", "--grad")
    assert "tanh" in run(capsys, "explain", "cli_program:loss", "--args", "cli_program:two")
    tree = run(capsys, "show", "cli_program:tree", "--args", "cli_program:both")
    by_hand = ('{"w": (f32[2],), "b": f32[2]}', "scale=2.0")
    assert tree == run(capsys, "show", "cli_program:tree", "--arg", by_hand[0], "--arg", by_hand[1])


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "explain", "cli_program:loss", *LOSS, "--width", "80")
    assert "live bytes" in out
    assert max(map(len, out.split("\n"))) <= 80


def test_diff(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "diff", "cli_program:loss", *LOSS, "--grad")
    assert out.startswith("trace: ")
    counts = (
        r"\d+ removed \(-\), \d+ added \(\+\), \d+ changed \(~\), \d+ the same; 1 params or results differ\n$"
    )
    assert re.search(counts, out)
    same = run(capsys, "diff", "cli_program:loss", "cli_program:loss_of_jax", *LOSS)
    assert re.search(r"\d the same\n$", same)
    assert same.startswith("cli_program:loss: ")
    assert "no difference" in run(capsys, "diff", "cli_program:loss", *LOSS, "--from", "3", "--to", "3")
    stages = run(capsys, "diff", "cli_program:loss", *LOSS, "--from", "trace", "--to", "simplify")
    assert re.match(r"trace: .* simplify: ", stages)


def test_find(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "find", "cli_program:loss", *LOSS, "--op", "tanh", "--source", "cli_program.py:8")
    assert out.endswith("1 equation with op tanh, source cli_program.py:8\n")
    assert "hidden" in run(capsys, "find", "cli_program:loss", *LOSS, "--name", "hidden")


def test_graph(capsys: pytest.CaptureFixture[str], directory: Path) -> None:
    assert run(capsys, "graph", "cli_program:loss", *LOSS).startswith("digraph")
    out = run(
        capsys, "graph", "cli_program:loss", *LOSS, "--around", "hidden", "--depth", "1", "-o", "part.dot"
    )
    assert out == "wrote part.dot\n"
    assert "tanh" in (directory / "part.dot").read_text()


def test_bench(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "bench", "cli_program:loss_of_jax", *LOSS, "--grad", "--seconds", "0.01")
    assert re.search(r"^gradient of loss_of_jax +first call +run +fastest +runs\ntracer .*\njax.jit ", out)
    assert re.search(r"results agree to \d\.\de[-+]\d\d", out)
    assert re.search(r"tracer is [\d.]+ times (faster|slower) than jax.jit on", out)
    alone = run(capsys, "bench", "cli_program:loss_of_jax", *LOSS, "--alone", "--seconds", "0.01")
    assert "jax.jit" not in alone
    refused = run(capsys, "bench", "cli_program:only_here", "--arg", "f32[3]", "--seconds", "0.01")
    assert "jax.jit does not run it: ValueError: no arrays of JAX" in refused


# Mistakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("show nowhere_at_all:f", "error: no module named 'nowhere_at_all' on sys.path"),
        ("show nothing.py:f", "error: no file 'nothing.py'"),
        ("show cli_program", "error: expected module:function or file.py:function, got 'cli_program'"),
        ("show cli_program:los", "error: cli_program has no attribute 'los'; did you mean loss?"),
        (
            "show cli_program:Model.aply",
            "error: cli_program:Model has no attribute 'aply'; did you mean apply?",
        ),
        ("show cli_program:number", "error: expected a function at cli_program:number, got int"),
        (
            "show cli_program:loss --arg f32[2,3]",
            "error: loss(w, x) was given 1 positional arguments: missing",
        ),
        ("show cli_program:loss", "write an --arg for each of w, x, such as --arg 'f32[3,4]'"),
        ("show cli_program:loss --arg v=f32[2]", "and the keywords v: missing a required argument: 'w'"),
        (
            "show cli_program:loss --args cli_program:none",
            "error: expected cli_program:none to return a tuple",
        ),
        ("show cli_program:loss --args cli_program:two --arg 3", "error: expected --arg or --args, got both"),
        ("show cli_program:compiled --exact --arg 1 --arg 2", "made by jit, whose own options hold"),
        (
            "show cli_program:loss --arg f32[2,3] --arg f32[4,2] --stage x",
            "error: expected one of the stages",
        ),
        ("find cli_program:loss --arg f32[2,3] --arg f32[4,2] --op tahn", "did you mean"),
        (
            "graph cli_program:loss --arg f32[2,3] --arg f32[4,2] -o a.txt",
            "error: graph: expected a file that ends",
        ),
        (
            "graph cli_program:loss --arg f32[2,3] --arg f32[4,2] -o no/such/folder.dot",
            "error: save: expected a path in a folder that exists, got 'no/such/folder.dot'",
        ),
        (
            "explain cli_program:loss --arg f32[2,3] --arg f32[4,2] --save no/such/folder.html",
            "error: save: expected a path in a folder that exists, got 'no/such/folder.html'",
        ),
        (
            "bench cli_program:loss --arg f32[2,3] --arg f32[4,2] --seconds 0",
            "error: expected --seconds above 0",
        ),
        # The user's line, as wherever tracer raises an error.
        ("show cli_program:wrong --arg f32[2,3] --arg f32[4,2]", "cli_program.py:15 (wrong)"),
    ],
)
def test_errors(capsys: pytest.CaptureFixture[str], argv: str, message: str) -> None:
    err = run(capsys, *argv.split(), status=1)
    assert message in err
    assert "Traceback" not in err


def test_errors_of_the_command_line_itself_have_no_place_in_the_users_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "\nat " not in run(capsys, "show", "cli_program", status=1)


def test_a_missing_module_inside_is_its_own_error(directory: Path) -> None:
    (directory / "cli_broken.py").write_text("import surely_not_installed\n")
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
        main(["show", "cli_broken:f"])


def test_traceback() -> None:
    with pytest.raises(tr.errors.TracerError):
        main(["show", "cli_program", "--traceback"])


def test_wrong_options(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (
        ["show"],
        ["show", "a:b", "--columns", "x"],
        ["sho", "a:b"],
        ["show", "a:b", "--width", "3"],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(argv)
        assert stopped.value.code == 2
    assert "expected columns among flops" in capsys.readouterr().err


# Arguments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("f32[32,784]", None, ("float32", (32, 784))),
        ("f32", None, ("float32", ())),
        ("i32[]", None, ("int32", ())),
        ("bf16[3,]", None, ("bfloat16", (3,))),
        ("float16[2]", None, ("float16", (2,))),
        ("bool[0]", None, ("bool", (0,))),
        ("key<fry>[]", None, ("key<fry>", ())),
        ("x=f32[3]", "x", ("float32", (3,))),
        ("3", None, 3),
        ("-2.5e3", None, -2500.0),
        ("1+2j", None, 1 + 2j),
        ('n = "a\\"b"', "n", 'a"b'),
        ("True", None, True),
        ("None", None, None),
        ("()", None, ()),
        ("(f32[2], 1)", None, (("float32", (2,)), 1)),
        ("(3)", None, 3),
        ("[f32[2]]", None, [("float32", (2,))]),
        ('{"w": f32[4,2], b: {}}', None, {"w": ("float32", (4, 2)), "b": {}}),
    ],
)
def test_arguments(text: str, name: str | None, value: object) -> None:
    found, made = parse_argument(text)
    assert found == name

    def plain(leaf: object) -> object:
        return (str(leaf.dtype), leaf.shape) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf

    assert jax.tree_util.tree_map(plain, made, is_leaf=lambda x: x is None) == value


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("f32[2", 6, "expected ',' or ']', got the end"),
        ("f31[2]", 1, "expected an element type such as .*f32.*, got 'f31'"),
        ("f32[2,x]", 7, "expected a dimension, got x"),
        ("f32[-2]", 5, "expected a dimension, got -2"),
        ("f32[2]]", 7, "expected the end of the argument, got ]"),
        ("(1 2)", 4, r"expected ',' or '\)', got 2"),
        ("{1: 2 3}", 7, "expected ',' or '}', got 3"),
        ('{"a" 1}', 6, "expected ':' after the key"),
        ("{(): 1}", 2, "expected a key of a dict"),
        ("", 1, "expected a type such as"),
        ("f64[2]", 1, "expected .* got f64; set JAX_ENABLE_X64=1"),
        ('"\\q"', 1, "expected .*, got .*q"),
    ],
)
def test_mistakes_in_arguments_are_pointed_at(text: str, column: int, message: str) -> None:
    with pytest.raises(ParseError, match=f"argument 2, column {column}: {message}") as caught:
        parse_arguments(["1", text])
    assert caught.value.note is not None
    assert caught.value.note.split("\n")[1] == " " * (column - 1) + "^"


def test_an_argument_is_given_once() -> None:
    with pytest.raises(ParseError, match="one argument x, got another"):
        parse_arguments(["x=1", "x=2"])
    assert parse_arguments(["1", "y=2", "3"]) == Arguments((1, 3), {"y": 2})


def test_random_arrays() -> None:
    arguments = parse_arguments(["f32[300]", "i32[300]", "i2[50]", "bool[300]", "c64[3]", "key<fry>[2]", "2"])
    floats, ints, narrow, bools, complexes, keys, number = concrete(arguments.args)
    assert floats.dtype == np.float32
    assert abs(float(floats.mean())) < 0.3
    assert set(np.unique(ints)) == set(range(10))
    assert set(np.unique(np.asarray(narrow).astype(int))) <= {0, 1}
    assert 0.3 < float(bools.mean()) < 0.7
    assert complexes.dtype == np.complex64
    assert keys.shape == (2,)
    assert number == 2


# What bench says ----------------------------------------------------------------------------------


def test_keys_of_dicts() -> None:
    assert parse_argument('{0: 1, b: 2, "c d": 3}')[1] == {0: 1, "b": 2, "c d": 3}


def test_results_are_compared() -> None:
    x = np.float32([1, np.nan, np.inf, 4])
    assert _compared([x], [x]) == ["results agree to 0.0e+00 of their largest element"]
    assert _compared([x], [np.float32([1, np.nan, np.inf, 3])]) == [
        "results agree to 3.3e-01 of their largest element"
    ]
    assert _compared([x], [x, x]) == ["the results differ: 1 arrays, and 2 of jax.jit"]
    assert "(4,), and (2,)" in _compared([x], [x[:2]])[0]


# Shells -------------------------------------------------------------------------------------------


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    return run(capsys, "completion", shell)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_name_everything(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    for command in COMMANDS:
        assert command.name in text
        for option in command.options:
            for flag in option.flags:
                if flag.startswith("-"):
                    assert (
                        f"-l {flag[2:]}" if shell == "fish" and flag.startswith("--") else flag[1:]
                    ) in text
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=text, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("tracer d", "diff"),
        ("tracer show a:b --col", "--columns --color"),
        ("tracer show a:b --color n", "never"),
        ("tracer completion f", "fish"),
        ("tracer bench a:b --arg f", ""),
    ],
)
def test_bash_completes(words: str, completed: str, capsys: pytest.CaptureFixture[str]) -> None:
    call = f"COMP_WORDS=({words}); COMP_CWORD={len(words.split()) - 1}; _tracer; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(
        ["bash", "-c", f"{script('bash', capsys)}\n{call}"], text=True, capture_output=True, check=True
    )
    assert done.stdout.strip() == completed


def test_as_a_module(directory: Path) -> None:
    argv = [sys.executable, "-m", "tracer", "show", "cli_program:loss", *LOSS]
    root = str(Path(tr.__file__).parent.parent)
    done = subprocess.run(
        argv,
        cwd=directory,
        text=True,
        capture_output=True,
        check=False,
        env={"PYTHONPATH": root, "JAX_PLATFORMS": "cpu"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "tanh" in done.stdout
