"""Every exception that tracer raises on purpose, under one base class.

A message has up to four parts: what was expected and what came, the op with its operand types,
an excerpt of the IR where it helps, and the user's source line. Imports `ir.source` only.
"""

from __future__ import annotations

from typing import Any

from ir.source import Source, capture


class TracerError(Exception):
    """Base of all errors raised by tracer.

    Args:
      message: what was expected and what came.
      source: the user's source location; where the error was raised by default.
      note: an excerpt of the IR, or advice on what to write instead.
    """

    def __init__(self, message: str, *, source: Source | None = None, note: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.source = source
        self.note = note
        # Where it was raised: shown unless an equation's own source is known better.
        self._raised = capture(2)

    def __str__(self) -> str:
        parts = [self.message]
        if self.note:
            parts.append(self.note)
        where = self._raised if self.source is None else self.source
        if where.line:
            parts.append(f"at {where}")
        return "\n".join(parts)


class IRTypeError(TracerError, TypeError):
    """Operands or attributes do not fit an op's type rule."""


class ShapeError(TracerError, TypeError, ValueError):
    """Shapes do not fit each other."""


class ArgumentError(TracerError, ValueError):
    """An argument of a public function has a wrong value."""


class ArgumentTypeError(TracerError, TypeError):
    """An argument of a public function has a wrong type."""


class UnboundAxisError(TracerError, NameError):
    """No axis has the name that a function over a named axis was given."""


class StaticIndexError(TracerError, IndexError):
    """A static index lies outside its axis."""


class ConcretizationError(TracerError, TypeError):
    """A traced value was used where Python needs a concrete one (`if`, `float()`, iteration, …)."""


class ControlFlowError(TracerError, TypeError):
    """Plain Python control flow on traced values cannot be staged; the message names the variable."""


class UndefinedVariableError(TracerError, UnboundLocalError):
    """A variable was read that only some paths through staged control flow assign."""


class ConversionError(TracerError, ValueError):
    """A function cannot be converted: its source is not available or has something unsupported."""


class EscapedValueError(TracerError, RuntimeError):
    """A traced value was used after its trace had ended."""


class DifferentiationError(TracerError, TypeError):
    """An op has no derivative rule of the kind that was asked for."""


class BatchingError(TracerError, ValueError):
    """`vmap` was given axes or sizes that do not fit."""


class CustomRuleError(TracerError, TypeError):
    """A custom derivative rule is missing or returned the wrong structure."""


class EvaluationError(TracerError, RuntimeError):
    """The reference evaluator cannot evaluate an op or got arguments that do not fit."""


class ProfileError(TracerError, RuntimeError):
    """A program could not be profiled."""


class LoweringError(TracerError, RuntimeError):
    """An op cannot be lowered to XLA."""


class JaxprError(TracerError, TypeError):
    """A program of JAX, or a part of it, has no counterpart in the IR."""


class MissingDependencyError(TracerError, RuntimeError):
    """A program or library that tracer can do without is not installed; the message names its package."""


def _with_code(error: TracerError) -> str:
    """The text of an error that happened when the program ran, with the code of its line."""
    where = error._raised if error.source is None else error.source
    text, code = TracerError.__str__(error), where.text()
    return f"{text}\n    {code}" if code else text


class NonFiniteError(TracerError, FloatingPointError):
    """A result holds NaN (or an infinity, where that was asked for); raised within `tracer.debug.nans`.

    Attributes:
      op: the name of the op that made it first; `None` for an argument that held it, or where nobody can tell.
      kind: "nan" or "inf".
      derivative: whether that equation is part of a derivative; `None` where there is no equation.
      iterations: which iterations of loops it happened in, outermost first.
      operands, results: `tracer.debug.Statistics` of what the equation read and made.
    """

    def __init__(
        self,
        message: str,
        *,
        source: Source | None = None,
        note: str | None = None,
        op: str | None = None,
        kind: str = "nan",
        derivative: bool | None = None,
        iterations: tuple[int, ...] = (),
        operands: tuple[Any, ...] = (),
        results: tuple[Any, ...] = (),
    ) -> None:
        super().__init__(message, source=source, note=note)
        self.op = op
        self.kind = kind
        self.derivative = derivative
        self.iterations = iterations
        self.operands = operands
        self.results = results

    __str__ = _with_code


class CheckError(TracerError, AssertionError):
    """An assertion about values, made by `tracer.debug.check`, does not hold."""

    __str__ = _with_code


class VerificationError(TracerError, ValueError):
    """A function breaks an invariant of the IR."""


class ParseError(TracerError, ValueError):
    """Text is not a function of the IR. The message holds line and column."""


class SparsityError(TracerError, ValueError):
    """A sparsity pattern does not fit a derivative, or is too dense to be of use."""
