"""Count the floating-point operations of a model in its program.

The program is counted before XLA compiles it. Compiled programs call libraries whose work XLA does
not know, and `Lowered.cost_analysis()` returns nothing on GPUs in newer releases of JAX. As in
published numbers, matrix products and convolutions count, and element-wise operations do not. The
count uses the formulations of the papers, because faster ones may compute more, or may be kernels
whose operations are not visible.
"""

import math
from collections.abc import Callable
from typing import Any

import jax

from jaxvid.ops.formulation import forced
from jaxvid.train.liveness import programs

# A training step has the forward pass and, for each product in it, two products in the backward
# pass, for the gradients of both factors. Recomputation that saves memory does not count (Chowdhery
# et al., PaLM, 2022, appendix B).
TRAINING = 3


def flops(function: Callable, *args: Any) -> float:
    """Return the floating-point operations of `function(*args)`; a multiply-add counts as two.

    Args:
      function: traced, not compiled or run.
      *args: trees of arrays or of their shapes.
    """
    with forced(conv="plain", attention="plain"):
        # JAX would return a cached trace of the same function, with another formulation.
        return _of_program(jax.make_jaxpr(lambda *args: function(*args))(*args).jaxpr)


def _of_program(program: Any) -> float:
    return sum(_of_operation(operation) for operation in program.eqns)


def _of_operation(operation: Any) -> float:
    name, parameters = operation.primitive.name, operation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        left = operation.invars[0].aval.shape
        return 2.0 * operation.outvars[0].aval.size * math.prod(left[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = operation.invars[1].aval
        features = kernel.shape[parameters["dimension_numbers"].rhs_spec[0]]
        # Products with the zeros between the elements of a transposed convolution do not count.
        zeros = math.prod(parameters["lhs_dilation"])
        return 2.0 * operation.outvars[0].aval.size * (kernel.size / features) / zeros
    inner = [_of_program(program) for program in programs(parameters)]
    if name == "cond":  # only one branch runs
        return max(inner)
    return sum(inner) * parameters.get("length", 1)  # number of times that a scan runs its body
