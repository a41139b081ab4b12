"""The exceptions of tracer; `TracerError` is the base of all."""

from typing import Any

from jax.errors import JaxRuntimeError

from ir.errors import (
    ArgumentError,
    ArgumentTypeError,
    BatchingError,
    CheckError,
    ConcretizationError,
    ControlFlowError,
    ConversionError,
    CustomRuleError,
    DifferentiationError,
    EscapedValueError,
    EvaluationError,
    IRTypeError,
    JaxprError,
    LoweringError,
    MissingDependencyError,
    NonFiniteError,
    ParseError,
    ProfileError,
    ShapeError,
    SparsityError,
    StaticIndexError,
    TracerError,
    UnboundAxisError,
    UndefinedVariableError,
    VerificationError,
)


class OutOfMemoryError(TracerError, JaxRuntimeError):  # type: ignore[misc]
    """The runtime refused an allocation. The message lists what the program holds at its peak, by line.

    Attributes:
      peak: the same as a `tracer.debug.memory` report.
    """

    def __init__(self, message: str, *, peak: Any = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.peak = peak


__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "BatchingError",
    "CheckError",
    "ConcretizationError",
    "ControlFlowError",
    "ConversionError",
    "CustomRuleError",
    "DifferentiationError",
    "EscapedValueError",
    "EvaluationError",
    "IRTypeError",
    "JaxprError",
    "LoweringError",
    "MissingDependencyError",
    "NonFiniteError",
    "OutOfMemoryError",
    "ParseError",
    "ProfileError",
    "ShapeError",
    "SparsityError",
    "StaticIndexError",
    "TracerError",
    "UnboundAxisError",
    "UndefinedVariableError",
    "VerificationError",
]
