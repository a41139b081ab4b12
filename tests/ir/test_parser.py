"""What the parser takes, what it rejects and how it says so, and that no text breaks it."""

import sys
import textwrap
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import ir
from ir.core import Dense
from ir.errors import ParseError
from ir.types import f32
from tests.ir.generate import functions

TRIES = settings().max_examples  # of the profile: 100 in `dev`


def text(source):
    return textwrap.dedent(source).strip()


VALID = text("""
    def loss(x: f32[2,3], w: f32[2,3]) -> (f32[], f32[3]):
      y: f32[2,3] = mul(x, w)
      half: f32[2,3] = 0.5
      z: f32[2,3] = add(y, half)
      def inner(a: f32[2,3]) -> (f32[3]):
        b: f32[3] = reduce_sum(a) {axes=(0,)}
        c: f32[3] = [1.0, nan, 0x7fc00001]
        d: f32[3] = add(b, c)
        return d
      s: f32[3] = call(z) {function=inner}
      t: f32[] = reduce_sum(s) {axes=(0,)}
      return t, s
""")


# Variations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variation",
    [
        VALID.replace("\n", " "),
        VALID.replace("\n", "\r\n"),
        VALID.replace("\n", "  # (a {comment} = \n\n\t"),
        "# first\n\n" + VALID + "\n\n# last",
        VALID.replace(" ", "").replace("def", "def ").replace("return", "return "),
        VALID.replace(",", " , ").replace("(", " ( ").replace("[", " [ ").replace(":", " : "),
        VALID.replace("return t, s", "return (t, s)"),
        VALID.replace("-> (f32[], f32[3])", ""),
        VALID.replace("0.5", "5e-1"),
        VALID.replace("1.0", "1").replace("0x7fc00001", "0x7FC00001"),
        VALID.replace("half: f32[2,3] = 0.5", "half: f32[2,3] = constant() {value=f32[](0.5), shape=(2, 3)}"),
    ],
    ids=range(11),
)
def test_white_space_comments_and_spelling(variation):
    expected = ir.parse(VALID)
    assert ir.parse(variation) == expected
    assert str(expected) == VALID


def test_names_types_and_sources():
    function = ir.parse(VALID, file="loss.ir")
    assert function.name == "loss"
    assert [p.name for p in function.params] == ["x", "w"]
    assert str(function.eqns[0].source) == "loss.ir:2 (loss)"
    assert str(function.eqns[-1].source) == "loss.ir:11 (loss)"
    (inner,) = ir.nested_functions(function.eqns[3])
    assert str(inner.eqns[0].source) == "loss.ir:6 (inner)"


def test_shared_function_stays_one_object():
    function = ir.parse("""
        def f(x: f32[]):
          def g(x: f32[]):
            y: f32[] = sin(x)
            return y
          a: f32[] = call(x) {function=g}
          b: f32[] = call(a) {function=g}
          return b
    """)
    assert function.eqns[0].attrs["function"] is function.eqns[1].attrs["function"]


def test_a_number_out_of_shape_is_spread():
    function = ir.parse("def f(): a: f32[1000000000,1000000000] = 1.0 return a")
    assert function.eqns[0].attrs["value"] == Dense(np.float32(1))


# Errors -------------------------------------------------------------------------------------------

ERRORS = {
    "empty": ("", "1:1: expected `def`, got the end of the text"),
    "no function": ("y: f32[] = sin(x)", "1:1: expected `def`, got y"),
    "bad character": ("def f(x: f32[]):\n  y: f32[] = sin(x) § \n", "2:21: .*got §"),
    "two functions": ("def f(): return ()\ndef g(): return ()", "2:1: expected the end of the text"),
    "no return": ("def f(x: f32[]):\n  y: f32[] = sin(x)", "2:20: expected an equation, `def` or `return`"),
    "unknown op": ("def f(x: f32[]): y: f32[] = sinus(x) return y", "1:29: unknown op `sinus`"),
    "undefined": ("def f(x: f32[]): y: f32[] = sin(z) return y", "1:33: undefined value `z`"),
    "undefined result": ("def f(x: f32[]): return z", "1:25: undefined value `z`"),
    "used before": (
        "def f(x: f32[]): y: f32[] = sin(z) z: f32[] = sin(x) return y",
        "1:33: undefined value `z`",
    ),
    "itself": ("def f(x: f32[]): y: f32[] = sin(y) return y", "1:33: undefined value `y`"),
    "free": (
        "def f(x: f32[]):\n def g(): y: f32[] = sin(x) return y\n return x",
        "2:26: undefined value `x`; that of f is out of reach, since g is closed",
    ),
    "defined twice": (
        "def f(x: f32[]): y: f32[] = sin(x) y: f32[] = sin(x) return y",
        "1:36: value `y` is defined twice",
    ),
    "param redefined": ("def f(x: f32[]): x: f32[] = sin(x) return x", "1:18: value `x` is defined twice"),
    "params equal": ("def f(x: f32[], x: f32[]): return x", "1:17: value `x` is defined twice"),
    "function twice": (
        "def f(): def g(): return () def g(): return () return ()",
        "1:33: function `g` is defined twice",
    ),
    "function named as type": ("def f32(): return ()", "1:5: `f32` cannot be the name of a function"),
    "wrong type": (
        "def f(x: f32[3]): y: f32[4] = sin(x) return y",
        r"1:22: y is stated as f32\[4\], but sin gives f32\[3\]",
    ),
    "wrong result type": (
        "def f(x: f32[3]) -> (f32[4]): return x",
        r"1:22: result x is stated as f32\[4\], got f32\[3\]",
    ),
    "result count": ("def f(x: f32[3]) -> (): return x", "1:25: expected 0 results, got 1"),
    "too many names": (
        "def f(x: f32[]): y: f32[], z: f32[] = sin(x) return y",
        "1:39: sin has 1 results, got 2 names",
    ),
    "too few operands": (
        "def f(x: f32[]): y: f32[] = add(x) return y",
        r"1:29: add: expected .*got \(f32\[\]\)",
    ),
    "operand types": (
        "def f(x: f32[3], y: f32[]): z: f32[3] = add(x, y) return z",
        r"1:41: add: expected operands of equal shape, got f32\[3\], f32\[\]",
    ),
    "unknown attribute": (
        "def f(x: f32[3]): z: f32[] = reduce_sum(x) {axis=0} return z",
        "1:45: reduce_sum: unknown attribute `axis`; known: axes",
    ),
    "attribute twice": (
        "def f(x: f32[3]): z: f32[] = reduce_sum(x) {axes=(0,), axes=(0,)} return z",
        "1:56: reduce_sum: attribute `axes` is given twice",
    ),
    "attribute missing": (
        "def f(x: f32[3]): z: f32[] = reduce_sum(x) return z",
        "1:30: reduce_sum: attribute 'axes' is required",
    ),
    "attribute of wrong type": (
        'def f(x: f32[3]): z: f32[] = reduce_sum(x) {axes="0"} return z',
        "1:30: reduce_sum: ",
    ),
    "attribute out of range": (
        "def f(x: f32[3]): z: f32[] = reduce_sum(x) {axes=(1,)} return z",
        "1:30: reduce_sum: expected distinct axes",
    ),
    "python rule": (
        "def f(x: f32[]): y: f32[] = custom_jvp_call(x) {jvp=<relu>} return y",
        "1:53: .*a Python rule is printed as `<name>` and does not parse",
    ),
    "unknown dtype": ("def f(x: f31[]): return x", "1:10: unknown element type `f31`; known: .*bf16"),
    "negative size": ("def f(x: f32[-1]): return x", "1:14: expected a size, got -1"),
    "huge size": ("def f(x: f32[9223372036854775808]): return x", "1:14: expected a size of at most"),
    "huge size of many digits": (
        f"def f(x: f32[{'9' * 9999}]): return x",
        "1:14: expected a size of at most",
    ),
    "huge rank": (f"def f(x: f32[{'1,' * 99}1]): return x", "expected at most 63 axes"),
    "huge int": (
        f"def f(x: f32[]): y: f32[] = reshape(x) {{shape={'1' * 5000}}} return y",
        "1:47: expected at most 1000 digits, got 5000",
    ),
    "huge float": (
        "def f(x: f32[]): y: f32[] = reshape(x) {shape=1e999} return y",
        "1:47: expected a number in the range of f64, got 1e999",
    ),
    "huge constant": (
        "def f(): y: f32[1000000000000] = [1.0, 2.0] return y",
        "1:43: expected `,` and 1000000000000 items",
    ),
    "huge empty constant": (
        "def f(): y: f32[0,9000000000000000000,9000000000000000000] = [] return y",
        "1:62: expected a shape that an array can have",
    ),
    "too many elements": ("def f(): y: i32[2] = [1, 2, 3] return y", "1:27: expected `]` after 2 items"),
    "ragged": (
        "def f(): y: i32[2,2] = [[1, 2], [3]] return y",
        r"1:35: expected `,` and 2 items along axis 1",
    ),
    "flat": ("def f(): y: i32[2,2] = [1, 2, 3, 4] return y", r"1:25: expected `\[` for axis 1"),
    "not an int": ("def f(): y: i32[] = 1.5 return y", "1:21: expected an element of i32, got 1.5"),
    "not a bool": ("def f(): y: bool[] = 1 return y", "1:22: expected an element of bool, got 1"),
    "not a number": ("def f(): y: f32[] = True return y", "1:21: expected an element of f32, got True"),
    "not real": ("def f(): y: f32[] = 1.0+2.0j return y", r"1:21: expected an element of f32, got 1.0\+2.0j"),
    "int too large": (
        "def f(): y: i8[2] = [127, 128] return y",
        "1:27: expected an integer from -128 to 127",
    ),
    "unsigned": ("def f(): y: u8[] = -1 return y", "1:20: expected an integer from 0 to 255 for u8, got -1"),
    "float too large": (
        "def f(): y: f16[] = 70000.0 return y",
        "1:21: expected a number in the range of f16",
    ),
    "too many bits": ("def f(): y: f16[] = 0x12345 return y", "1:21: expected at most 4 hex digits for f16"),
    "elided": ("def f(): y: i8[9] = [0, 1, ...] return y", "1:28: the constant was elided"),
    "constant with two names": ("def f(): y: i8[], z: i8[] = 1 return y", "1:29: expected one result"),
    "open string": ('def f(x: f32[]): y: f32[] = reshape(x) {shape="a', "1:47: .*does not end on its line"),
    "bad escape": (r'def f(x: f32[]): y: f32[] = reshape(x) {shape="\q"} return y', r"1:47: expected \\n"),
    "bad code point": (
        r'def f(x: f32[]): y: f32[] = reshape(x) {shape="\Uffffffff"} return y',
        "1:47: ",
    ),
    "deep tuple": (
        f"def f(x: f32[]): y: f32[] = reshape(x) {{shape={'(' * 5000}",
        "expected at most 100 tuples inside one another",
    ),
    "deep constant": (
        f"def f(): y: f32[2] = {'[' * 5000}",
        "1:23: expected an element of a constant, got \\[",
    ),
    "deep functions": ("def f(): " * 5000, "expected at most 150 functions inside one another"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error(name):
    source, expected = ERRORS[name]
    with pytest.raises(ParseError, match=expected) as caught:
        ir.parse(source)
    line, column = map(int, caught.value.message.split(":")[:2])
    if len(source) < 100:
        shown, caret = caught.value.note.split("\n")
        assert shown == (source.split("\n")[line - 1] if source else "")
        assert caret == " " * (column - 1) + "^"


def test_excerpt_of_a_long_line_shows_the_place():
    source = f"def f(): y: i32[1001] = [{'1, ' * 1000}1.5] return y"
    with pytest.raises(ParseError, match="1:3026: expected an element of i32") as caught:
        ir.parse(source)
    shown, caret = caught.value.note.split("\n")
    assert len(shown) <= 100
    assert shown[len(caret) - 1 :].startswith("1.5]")


def test_tabs_keep_the_caret_in_place():
    with pytest.raises(ParseError) as caught:
        ir.parse("def f(x: f32[]):\n\ty: f32[] = sinus(x)")
    assert caught.value.note == "\ty: f32[] = sinus(x)\n\t           ^"


def test_little_stack_left_is_a_parse_error():
    def deeper(depth):
        return ir.parse(nested) if depth == 0 else deeper(depth - 1)

    nested = f"def f(x: f32[]): y: f32[] = reshape(x) {{shape={'(' * 90}{')' * 90}}} return y"
    frames = len(list(_frames()))
    with pytest.raises(ParseError, match="nested too deeply"):
        deeper(sys.getrecursionlimit() - frames - 60)


def _frames():
    frame = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


# Fuzzing ------------------------------------------------------------------------------------------

TOKENS = (
    "def", "return", "f", "x", "y", "(", ")", "[", "]", "{", "}", ":", ",", "=", "->", "f32", "f32[]",
    "i8[2]", "key<fry>", "sin", "add", "call", "constant", "reduce_sum", "function", "axes", "shape", "value",
    "0", "1", "-1", "1.5", "nan", "inf", "-inf", "1.0+2.0j", "0x7f", "None", "True", '"a"', "...", "<", ">",
    "#", "\n", "(0,)", "99999999999999999999",
)  # fmt: skip


def only_parse_errors(source):
    start = time.perf_counter()
    try:
        function = ir.parse(source)
    except ParseError as error:
        assert error.message[0].isdigit()
    else:
        ir.verify(function)
        assert ir.parse(str(function)) == function
    assert time.perf_counter() - start < 5


@settings(max_examples=5 * TRIES)
@given(st.text())
@example("def f(x: f32[" + "1" * 50_000)
@example('"' + '\\"' * 20_000)
@example("1" * 50_000 + "+" * 10)
@example("def f(): y: f32[] = " + "-" * 50_000)
@example("#" * 50_000)
@example("\ud800\x00")
def test_random_text(source):
    only_parse_errors(source)


@settings(max_examples=5 * TRIES)
@given(st.lists(st.sampled_from(TOKENS)))
def test_random_tokens(tokens):
    only_parse_errors(" ".join(tokens))


@st.composite
def mutated(draw, sources):
    """Valid text with characters or tokens deleted, inserted, replaced, repeated or moved."""
    source = draw(sources)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(source)))
        stop = min(len(source), start + draw(st.sampled_from([0, 1, 1, 2, 5, 20])))
        word = draw(st.sampled_from(TOKENS) | st.characters() | st.just(source[start:stop] * 2))
        if draw(st.booleans()):  # whole words
            while 0 < start < len(source) and source[start - 1].isalnum() and source[start].isalnum():
                start -= 1
            while stop < len(source) and source[stop].isalnum():
                stop += 1
        source = source[:start] + word + source[max(start, stop) :]
    return source


@settings(max_examples=5 * TRIES)
@given(mutated(st.just(VALID) | functions(max_eqns=6, depth=1).map(str)))
def test_mutations_of_valid_text(source):
    only_parse_errors(source)


@pytest.mark.parametrize("cut", range(0, len(VALID), 7))
def test_text_that_ends_early(cut):
    with pytest.raises(ParseError):
        ir.parse(VALID[:cut])


def test_long_constant_parses_fast():
    array = np.random.default_rng(0).normal(size=(200, 500)).astype(np.float32)
    printed = str(ir.build([], lambda: ir.op_named("constant")(value=Dense(array), shape=array.shape)))
    start = time.perf_counter()
    parsed = ir.parse(printed)
    assert time.perf_counter() - start < 8  # measured 0.5 s
    assert parsed.eqns[0].attrs["value"] == Dense(array)
    assert parsed.out_types[0].dtype is f32
