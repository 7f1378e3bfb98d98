"""Count the floating-point operations of a model in its program.

The count is of the program as it is written, before XLA compiles it: compiled programs call
libraries whose work XLA does not see, and `Lowered.cost_analysis()` returns nothing on GPUs under
newer releases of JAX. Matrix products and convolutions count; what is done element by element does
not, as in published numbers. The program is written with the formulations of the papers: those that
are faster on some device may compute more, or in kernels that do not show what they compute.
"""

import math
from collections.abc import Callable
from typing import Any

import jax

from jaxvid.ops.formulation import forced
from jaxvid.train.liveness import programs

# A training step has the forward pass and, for every product in it, two in the backward pass: for
# the gradients of both factors. What is computed again to save memory does not count (Chowdhery et
# al., PaLM, 2022, appendix B).
TRAINING = 3


def flops(function: Callable, *args: Any) -> float:
    """Return the floating-point operations of `function(*args)`; a multiply-add counts as two.

    Args:
      function: traced, not compiled or run.
      *args: trees of arrays or of their shapes.
    """
    with forced(conv="plain", attention="plain"):
        # JAX would return an earlier trace of the same function, with another formulation.
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
        # Zeros between the elements of a transposed convolution's input are no work.
        zeros = math.prod(parameters["lhs_dilation"])
        return 2.0 * operation.outvars[0].aval.size * (kernel.size / features) / zeros
    inner = [_of_program(program) for program in programs(parameters)]
    if name == "cond":  # one of the branches runs
        return max(inner)
    return sum(inner) * parameters.get("length", 1)  # a scan runs its body so often
