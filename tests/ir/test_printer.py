"""Printed forms: goldens, names, nested functions, round trips."""

import textwrap
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ir
from ir.core import Dense, Eqn, Function, Opaque, Value
from ir.ops.calls import call, custom_jvp_call
from ir.ops.elementwise import add, mul, sin
from ir.ops.reduce import reduce_sum
from ir.ops.shape import constant, full, transpose
from ir.printer import eqn_text
from ir.source import merge
from ir.transforms import jvp, vjp
from ir.types import TensorType, f32, i32
from tests.ir.generate import arguments, constants, functions

TRIES = settings().max_examples  # of the profile
SCALAR = TensorType((), f32)
VECTOR = TensorType((3,), f32)
MATRIX = TensorType((2, 3), f32)


def text(source):
    return textwrap.dedent(source).strip()


def round_trips(function):
    printed = str(function)
    parsed = ir.parse(printed)
    assert parsed == function, printed
    assert str(parsed) == printed
    ir.verify(parsed)
    return printed


def calling(function, times=1):
    """A function that applies another one, so many times."""

    def body(x):
        for _ in range(times):
            x = call(x, function=function)
        return x

    return ir.build([SCALAR], body)


def dense_function(dense, shape):
    return ir.build([], lambda: constant(value=dense, shape=shape))


# Goldens ------------------------------------------------------------------------------------------


def test_names_of_the_user_and_short_ones():
    def body(x, w):
        y = mul(x, w)
        y.name = "y"
        half = full((3,), 0.5, f32)
        return reduce_sum(sin(mul(y, half)), axes=(0,)), y

    function = ir.build([VECTOR, VECTOR], body, "loss", ["x", "w"])
    assert round_trips(function) == text("""
        def loss(x: f32[3], w: f32[3]) -> (f32[], f32[3]):
          y: f32[3] = mul(x, w)
          a: f32[3] = 0.5
          b: f32[3] = mul(y, a)
          c: f32[3] = sin(b)
          d: f32[] = reduce_sum(c) {axes=(0,)}
          return d, y
    """)


def test_clashing_and_invalid_names():
    def body(*values):
        out = [sin(v) for v in values]
        for v, name in zip(out, ["x", "x_1", "return", "7 days", "λ", "a"], strict=True):
            v.name = name
        return out[0]

    function = ir.build([SCALAR] * 6, body, "a-b", ["x", "x_1", "x", "lambda"])
    assert round_trips(function) == text("""
        def a_b(x: f32[], x_1: f32[], x_2: f32[], lambda_: f32[], b: f32[], c: f32[]) -> (f32[]):
          x_3: f32[] = sin(x)
          x_4: f32[] = sin(x_1)
          return_: f32[] = sin(x_2)
          _7_days: f32[] = sin(lambda_)
          λ: f32[] = sin(b)
          a: f32[] = sin(c)
          return x_3
    """)


def test_short_names_go_on_after_z_and_keep_off_keywords():
    def body(x):
        for _ in range(26 + 26 * 26 + 2):
            x = sin(x)
        return x

    printed = round_trips(ir.build([SCALAR], body))
    names = [line.split(":")[0].strip() for line in printed.splitlines()[1:-1]]
    assert names[:3] == ["b", "c", "d"]
    assert names[24:28] == ["z", "aa", "ab", "ac"]
    assert "is" not in names
    assert "aaa" in names
    assert len(set(names)) == len(names)


def test_function_without_params_equations_and_results():
    assert round_trips(ir.build([], lambda: ())) == "def f() -> ():\n  return ()"


def test_params_as_results_and_results_twice():
    assert round_trips(ir.build([SCALAR, MATRIX], lambda x, y: (y, x, y))) == text("""
        def f(a: f32[], b: f32[2,3]) -> (f32[2,3], f32[], f32[2,3]):
          return b, a, b
    """)


def test_constants():
    key = ir.dtype_named("key<fry>")
    nan_with_payload = np.array([0x7FC00001], np.uint32).view(np.float32)
    cases = [
        (Dense(np.float32(0.1)), (), "f32[] = 0.1"),
        (Dense(np.float32(0.1)), (2, 3), "f32[2,3] = 0.1"),
        (Dense(np.array([1e20, -0.0], np.float32)), (2,), "f32[2] = [1e+20, -0.0]"),
        (Dense(np.array([np.nan, np.inf, -np.inf])), (3,), "f64[3] = [nan, inf, -inf]"),
        (Dense(np.arange(4, dtype=np.int32).reshape(2, 2)), (2, 2), "i32[2,2] = [[0, 1], [2, 3]]"),
        (Dense(np.zeros((2, 0), np.int8)), (2, 0), "i8[2,0] = []"),
        (Dense(np.int8(-1)), (2, 0), "i8[2,0] = -1"),
        (Dense(np.array([True, False])), (2,), "bool[2] = [True, False]"),
        (Dense(nan_with_payload), (1,), "f32[1] = [0x7fc00001]"),
        (Dense(-np.array(np.nan)), (), "f64[] = 0xfff8000000000000"),
        (Dense(np.complex64(complex(1.5, -0.0))), (), "c64[] = 1.5-0.0j"),
        (Dense(np.complex128(complex(np.nan, np.inf))), (), "c128[] = nan+infj"),
        (Dense(0.1, ir.dtype_named("bf16")), (), "bf16[] = 0.1"),
        (Dense(448, ir.dtype_named("f8e4m3fn")), (), "f8e4m3fn[] = 448.0"),
        (Dense([-8, 7], ir.dtype_named("i4")), (2,), "i4[2] = [-8, 7]"),
        (Dense([0, 42], key), (), "key<fry>[] = [0, 42]"),
        (Dense([0, 42], key), (3,), "key<fry>[3] = [0, 42]"),
        (Dense([[0, 42]], key), (1,), "key<fry>[1] = [[0, 42]]"),
        (Dense(np.zeros((0, 2)), key), (0,), "key<fry>[0] = []"),
        (Dense([0, 42], key), (0,), "key<fry>[0] = [0, 42]"),
    ]
    for dense, shape, expected in cases:
        printed = round_trips(dense_function(dense, shape))
        assert printed.splitlines()[1] == f"  a: {expected}"


def test_long_constants_are_elided_on_request():
    function = dense_function(Dense(np.arange(100, dtype=np.int32).reshape(10, 10)), (10, 10))
    printed = ir.to_text(function, max_elements=8)
    assert printed.splitlines()[1] == "  a: i32[10,10] = [0, 1, 2, ...]"
    with pytest.raises(ir.errors.ParseError, match="elided"):
        ir.parse(printed)
    assert ir.to_text(function, max_elements=100) == str(function)


def test_sources_as_comments():
    function = ir.parse("def f(x: f32[]):\n  y: f32[] = sin(x)\n  return y", file="model.ir")
    printed = ir.to_text(function, sources=True)
    assert printed.splitlines()[1] == "  y: f32[] = sin(x)  # model.ir:2 (f)"
    assert ir.parse(printed) == function
    eqn = function.eqns[0]
    both = merge(ir.build([], lambda: full((), 0, f32)).eqns[0].source, eqn.source)
    merged = Function(function.params, (Eqn(eqn.op, eqn.operands, {}, eqn.results, both),), function.results)
    line = ir.to_text(merged, sources=True).splitlines()[1]
    assert "test_printer.py" in line
    assert "both = merge(" in line
    assert line.endswith("; model.ir:2 (f)")


# Attributes ---------------------------------------------------------------------------------------

SAMPLE = ir.Op(
    "sample",
    {"value": None, "second": (1, 2)},
    lambda *types, **attrs: (),
    None,
    None,
    None,
    None,
    lambda *_, **__: 0,
)


@pytest.fixture
def sample_op(monkeypatch):
    """An op that takes any attribute, in the table for one test only."""
    import ir.op

    ir.all_ops()
    monkeypatch.setitem(ir.op._TABLE, "sample", SAMPLE)
    return SAMPLE


def with_attrs(**attrs):
    return Function((), (Eqn(SAMPLE, (), SAMPLE.normalize(attrs), ()),), ())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "True"),
        (1, "1"),
        (-(10**30), "-1000000000000000000000000000000"),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (1e300, "1e+300"),
        (complex(0.0, -1.5), "0.0-1.5j"),
        (complex(float("nan"), 1e-30), "nan+1e-30j"),
        ("a \"b\" \\ 'c' \n\t\u2028 λ \ud800", '"a \\"b\\" \\\\ \'c\' \\n\\u0009\\u2028 λ \\ud800"'),
        ((), "()"),
        ((1,), "(1,)"),
        ((1, (2.0, None), "x"), '(1, (2.0, None), "x")'),
        (f32, "f32"),
        (ir.dtype_named("key<rbg>"), "key<rbg>"),
        (SCALAR, "f32[]"),
        ((MATRIX, VECTOR), "(f32[2,3], f32[3])"),
        (Dense(np.array([1.0, 2.5], np.float32)), "f32[2]([1.0, 2.5])"),
        # The same text whatever NumPy's is: exponents where Python has them.
        (
            Dense(np.array([1e6, -1e9, 12345678, 3e15, 1e16, 1e-4, 1.5e-5], np.float32)),
            "f32[7]([1000000.0, -1000000000.0, 12345678.0, 3000000000000000.0, 1e+16, 0.0001, 1.5e-05])",
        ),
        (Dense(np.float64(1)), "f64[](1.0)"),
        (Dense(np.zeros((0, 3), np.int32)), "i32[0,3]([])"),
    ],
)
def test_attribute(sample_op, value, expected):
    function = with_attrs(value=value)
    assert round_trips(function).splitlines()[1] == f"  sample() {{value={expected}}}"


def test_attributes_at_their_default_are_left_out(sample_op):
    assert "sample()\n" in round_trips(with_attrs())
    assert "sample() {second=(1, 3)}\n" in round_trips(with_attrs(second=(1, 3)))
    # Equal in Python, but not as attributes.
    assert "sample() {second=(True, 2)}\n" in round_trips(with_attrs(second=(True, 2)))


@given(st.text())
def test_any_string_attribute(value):
    from ir.lexer import quote, unquote

    assert unquote(quote(value)) == value
    assert "\n" not in quote(value)


def test_python_rule_prints_as_its_name_and_does_not_parse():
    inner = ir.build([SCALAR], sin, "relu", ["x"])
    rule = Opaque("relu jvp", object())
    function = ir.build([SCALAR], lambda x: custom_jvp_call(x, function=inner, jvp=rule), "f", ["x"])
    assert "custom_jvp_call(x) {function=relu, jvp=<relu jvp>}" in str(function)
    with pytest.raises(ir.errors.ParseError, match="Python rule"):
        ir.parse(str(function))


# Nested functions ---------------------------------------------------------------------------------


def test_nested_function_stands_before_its_use():
    inner = ir.build([SCALAR], lambda x: mul(x, x), "square", ["x"])
    function = ir.build([SCALAR], lambda x: add(call(x, function=inner), call(x, function=inner)), "f", ["x"])
    assert round_trips(function) == text("""
        def f(x: f32[]) -> (f32[]):
          def square(x: f32[]) -> (f32[]):
            a: f32[] = mul(x, x)
            return a
          a: f32[] = call(x) {function=square}
          b: f32[] = call(x) {function=square}
          c: f32[] = add(a, b)
          return c
    """)


def test_function_shared_by_several_stands_before_them():
    leaf = ir.build([SCALAR], sin, "leaf", ["x"])
    mid = ir.build([SCALAR], lambda x: call(x, function=leaf), "mid", ["x"])
    left = ir.build([SCALAR], lambda x: call(x, function=mid), "side", ["x"])
    right = ir.build([SCALAR], lambda x: call(call(x, function=mid), function=leaf), "side", ["x"])
    function = ir.build([SCALAR], lambda x: (call(x, function=left), call(x, function=right)), "f", ["x"])
    printed = round_trips(function)
    heads = [line for line in printed.splitlines() if "def" in line]
    assert heads == [
        "def f(x: f32[]) -> (f32[], f32[]):",
        "  def leaf(x: f32[]) -> (f32[]):",
        "  def mid(x: f32[]) -> (f32[]):",
        "  def side(x: f32[]) -> (f32[]):",
        "  def side_1(x: f32[]) -> (f32[]):",
    ]


def test_functions_in_a_tuple(sample_op):
    one = ir.build([SCALAR], sin, "g", ["x"])
    two = ir.build([SCALAR], lambda x: add(x, x), "g", ["x"])
    printed = round_trips(with_attrs(value=(one, two)))
    assert "sample() {value=(g, g_1)}" in printed


def test_text_is_linear_in_shared_functions():
    function = ir.build([SCALAR], sin)
    for _ in range(40):  # 2**40 calls
        function = calling(function, times=2)
    printed = str(function)
    assert len(printed) < 20_000
    assert str(ir.parse(printed)) == printed


def test_deep_nesting_prints():
    function = ir.build([SCALAR], sin)
    for _ in range(2000):
        function = calling(function)
    assert str(function).count("def ") == 2001


def test_equation_for_messages():
    def body(x):
        return transpose(x, perm=(1, 0))

    function = ir.build([MATRIX], body, "f", ["x"])
    assert eqn_text(function.eqns[0], function) == "a: f32[3,2] = transpose(x) {perm=(1, 0)}"
    stray = Eqn(function.eqns[0].op, (Value(MATRIX, "gone"),), {"perm": (1, 0)}, function.results)
    assert eqn_text(stray, function) == "a: f32[3,2] = transpose(?gone) {perm=(1, 0)}"
    assert eqn_text(stray) == "a: f32[3,2] = transpose(gone) {perm=(1, 0)}"


# Properties ---------------------------------------------------------------------------------------


@settings(max_examples=2 * TRIES)
@given(functions())
def test_random_functions_round_trip(function):
    ir.verify(function)
    round_trips(function)


@settings(max_examples=TRIES // 2)
@given(functions())
def test_parsed_functions_evaluate_to_the_same(function):
    parsed = ir.parse(str(function))
    given_arrays = arguments(function)
    for a, b in zip(ir.evaluate(function, *given_arrays), ir.evaluate(parsed, *given_arrays), strict=True):
        assert a.tobytes() == b.tobytes()


@given(functions(dtypes=("f32", "c64")))
def test_derivative_programs_round_trip(function):
    nonzero = [t.dtype.is_inexact for t in function.in_types]
    program, _ = jvp(function, nonzero)
    round_trips(program)
    reverse = vjp(function, nonzero, [t.dtype.is_inexact for t in function.out_types])
    round_trips(reverse)


@pytest.mark.parametrize("dtype", ir.dtypes(), ids=str)
@settings(max_examples=TRIES // 3)
@given(st.data(), st.lists(st.integers(0, 4), max_size=3).map(tuple))
def test_constants_with_any_bits_round_trip(dtype, data, shape):
    round_trips(dense_function(data.draw(constants(dtype, shape)), shape))
    round_trips(dense_function(data.draw(constants(dtype, ())), shape))


@pytest.mark.parametrize("dtype", [d for d in ir.dtypes() if d.bits <= 16], ids=str)
def test_every_bit_pattern_round_trips(dtype):
    count = 256**dtype.np.itemsize
    array = np.arange(count, dtype=f"u{dtype.np.itemsize}").view(dtype.np)
    round_trips(dense_function(Dense(array, dtype), (count,)))


# Time ---------------------------------------------------------------------------------------------


def test_ten_thousand_equations_print_and_parse_fast():
    def body(x):
        for i in range(2500):
            y = add(mul(x, x), full((2, 3), i, f32))
            y.name = "y"
            x = sin(y)
        return x

    function = ir.build([MATRIX], body, "f", ["x"])
    start = time.perf_counter()
    printed = str(function)
    middle = time.perf_counter()
    parsed = ir.parse(printed)
    end = time.perf_counter()
    assert parsed == function
    # Measured 0.15 s and 0.4 s; the bounds leave room for a busy machine.
    assert middle - start < 2
    assert end - middle < 8


def test_names_of_many_equal_hints_are_found_in_linear_time():
    values = [Value(TensorType((), i32), "x") for _ in range(50_000)]
    start = time.perf_counter()
    printed = str(Function(tuple(values), (), ()))
    assert "x_49999" in printed
    assert time.perf_counter() - start < 4
