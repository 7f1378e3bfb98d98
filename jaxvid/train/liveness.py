"""Estimate of the peak memory of a program from its trace, before XLA compiles it.

The operations run in the order of the trace. An array takes memory from the operation that makes
it to the last one that reads it. As in XLA, element-wise operations are fused into the operations
that read their results, so that most of their results never exist in memory.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


VIEWS = _names(
    "reshape squeeze expand_dims broadcast_in_dim convert_element_type transpose copy copy_p iota"
    " reduce_precision sharding_constraint optimization_barrier name stop_gradient"
)
ELEMENTWISE = _names(
    "add add_any sub mul div neg sign max min select_n eq ne lt le gt ge and or not xor abs floor"
    " ceil round clamp is_finite square integer_pow sqrt rsqrt rev slice dynamic_slice pad"
    " concatenate shift_left shift_right_logical shift_right_arithmetic bitcast_convert_type"
)
# Operations that are fused into one reader only. XLA does not compute them once for each reader.
EXPENSIVE = _names(
    "exp exp2 log log1p expm1 tanh logistic erf erfc erf_inv pow sin cos rem random_bits"
    " random_wrap"
)
# Reductions. As element-wise operations do, they read results of element-wise operations that never
# exist in memory.
REDUCTIONS = _names(
    "reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or argmax argmin"
)
FUSED = VIEWS | ELEMENTWISE | EXPENSIVE
LOOPS = _names("scan while cond")  # their programs are not inlined


@dataclass(eq=False, slots=True)
class Value:
    """An array of a program: its bytes, and whether it is an argument, which is not counted."""

    size: int
    given: bool = False


class Operation(NamedTuple):
    """An operation with the arrays that it reads and makes.

    `inner` is the number of bytes of the programs inside, such as loops.
    """

    name: str
    inputs: list[Value]
    outputs: list[Value]
    inner: int


def peak(program: Any, float_size: int = 1, keep: bool = False) -> int:
    """Return the peak memory of a program in bytes, without its arguments.

    Args:
      program: a jaxpr.
      float_size: minimum number of bytes of a floating-point number of any type.
      keep: results take memory of their own; otherwise they may reuse that of arguments.
    """
    operations, results = inlined(program, float_size)
    virtual = fused(operations) - set(results)
    end = dict.fromkeys(results, len(operations)) if keep else {}
    for i, (_, inputs, outputs, _) in reversed(list(enumerate(operations))):
        # An operation that reads a fused result reads the inputs of the fused operation.
        last = max((end.get(value, i) for value in outputs if value in virtual), default=i)
        for value in inputs:
            end[value] = max(end.get(value, i), last)
    ends: dict[int, list[Value]] = {}
    for value, i in end.items():
        if not value.given and value not in virtual:
            ends.setdefault(i, []).append(value)
    held, most = 0, 0
    for i, (name, _, outputs, inner) in enumerate(operations):
        made = sum(value.size for value in outputs if value in end and value not in virtual)
        freed = sum(value.size for value in ends.get(i, ()))
        in_place = name in FUSED  # the result may reuse the memory of an input
        most = max(most, held + made + inner - (min(made, freed) if in_place else 0))
        held += made - freed
    return most


def fused(operations: list[Operation]) -> set[Value]:
    """Return the results that never exist in memory."""
    readers: dict[Value, int] = {}
    for operation in operations:
        for value in operation.inputs:
            readers[value] = readers.get(value, 0) + 1
    found, stored = set[Value](), set[Value]()
    for name, inputs, outputs, _ in reversed(operations):
        if name in VIEWS:
            found.update(outputs)
            if not stored.isdisjoint(outputs):
                stored.update(inputs)
        elif name in ELEMENTWISE or name in EXPENSIVE:
            alone = name in ELEMENTWISE or all(readers.get(value, 0) < 2 for value in outputs)
            if alone and stored.isdisjoint(outputs):
                found.update(outputs)
        elif name not in REDUCTIONS:
            stored.update(inputs)
    return found


def inlined(program: Any, float_size: int) -> tuple[list[Operation], list[Value]]:
    """Return the operations of a program and of all that it calls, in order, and its results."""
    operations: list[Operation] = []

    def run(program: Any, known: dict[Any, Value]) -> list[Value | None]:
        def read(variable: Any) -> Value | None:
            if hasattr(variable, "val"):  # a constant in the program text
                return None
            if variable not in known:
                known[variable] = Value(size(variable.aval, float_size), given=True)
            return known[variable]

        for operation in program.eqns:
            name, inputs = operation.primitive.name, [read(x) for x in operation.invars]
            inner = list(programs(operation.params))
            if is_call(operation, inner):
                called = inner[0]
                pairs = zip(called.invars, inputs, strict=True)
                results = run(called, {x: value or Value(0, True) for x, value in pairs})
            else:
                results = [Value(size(x.aval, float_size)) for x in operation.outvars]
                bytes_inside = max((peak(p, float_size, keep=True) for p in inner), default=0)
                read_values = [value for value in inputs if value is not None]
                operations.append(Operation(name, read_values, results, bytes_inside))
            pairs = zip(operation.outvars, results, strict=True)
            known.update({x: value or Value(0, True) for x, value in pairs})
        return [read(x) for x in program.outvars]

    return operations, [value for value in run(program, {}) if value is not None]


def is_call(operation: Any, inner: list[Any]) -> bool:
    """Return whether an operation only runs the one program that it has."""
    return (
        operation.primitive.name not in LOOPS
        and len(inner) == 1
        and len(inner[0].invars) == len(operation.invars)
        and len(inner[0].outvars) == len(operation.outvars)
    )


def programs(parameters: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the programs inside an operation: of a loop, a conditional or a called function."""
    for value in parameters.values():
        for item in value if isinstance(value, list | tuple) else (value,):
            program = getattr(item, "jaxpr", item)
            if hasattr(program, "eqns"):
                yield program


def size(shape: Any, float_size: int = 1) -> int:
    """Return the bytes of an array of this shape and type."""
    count, dtype = math.prod(shape.shape), shape.dtype
    width = getattr(dtype, "itemsize", 8)  # random keys have none in some versions
    return count * (max(width, float_size) if jnp.issubdtype(dtype, jnp.floating) else width)
