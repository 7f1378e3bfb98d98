"""Steps of PyTorch's models: their weights, losses in evaluation, training and memory."""

import copy
import os
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.peer import Peer
from jaxvid.weights import resolve
from jaxvid.weights.convert import export

WAYS = ("eager", "channels-last", "compiled")


def load(peer: Peer, model: Mapping, variables: Mapping, net: Any) -> bool:
    """Load our variables into a peer; returns whether all of its parameters are among them.

    Args:
      model: The spec of `net`.
    """
    import torch

    tables = resolve.tables({**model, **({"name": peer.family} if peer.family else {})}, net)
    if peer.published is None or peer.upstream not in tables:
        return False
    tensors = export(variables, tables[peer.upstream], net)
    state = {name: torch.tensor(value) for name, value in tensors.items()}
    wanted = {name: tuple(p.shape) for name, p in peer.published.named_parameters()}
    if any(name not in state or tuple(state[name].shape) != wanted[name] for name in wanted):
        return False
    peer.published.load_state_dict(state, strict=False)  # buffers such as indices are its own
    return True


def evaluate(peer: Peer) -> float:
    """Return the loss of a peer in evaluation, in float32."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    peer.module.to(device).eval()
    with torch.no_grad():
        return float(peer.loss(peer.module(*(x.to(device) for x in peer.inputs))))


def run(peer: Peer, config: Any, low: bool, way: str, train: bool) -> Callable[[], Any]:
    """Return a function that runs one step of a peer and returns a tensor.

    Args:
      low: bfloat16 by autocast.
      way: one of `WAYS`; compiled modules have their channels last, too.
    """
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))  # OpenMP has counted them at its import
    torch.set_float32_matmul_precision("high")  # TF32, as XLA has it
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    clip = dict(config.optim).get("clip")
    module = copy.deepcopy(peer.module).to(device).train(train)
    inputs = tuple(x.to(device) for x in peer.inputs)
    if way != "eager":
        for p in module.parameters():
            p.data = channels_last(p.data)
        # Frames as images are folded into the batch, which makes them four-dimensional.
        if inputs[0].ndim == 5 and inputs[0].shape[2] == 3:
            b, t = inputs[0].shape[:2]
            video = channels_last(inputs[0].flatten(0, 1)).unflatten(0, (b, t))
            inputs = (video, *inputs[1:])
        else:
            inputs = tuple(map(channels_last, inputs))
    call = torch.compile(module) if way == "compiled" else module
    cast = torch.autocast(device, torch.bfloat16, enabled=low)

    def forward():
        with torch.no_grad(), cast:
            return call(*inputs)

    if not train:
        return forward
    trained = [p for p in module.parameters() if p.requires_grad]
    kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
    extra: Any = dict(momentum=0.9) if config.optim.name == "sgd" else {}
    extra |= dict(fused=True) if device == "cuda" else {}
    tx = kind[config.optim.name](trained, lr=1e-5, **extra)

    def step():
        tx.zero_grad(set_to_none=True)
        with cast:
            out = call(*inputs)
        loss = peer.loss(out)
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(trained, clip)
        tx.step()
        return loss

    return step


def channels_last(x: Any) -> Any:
    """Return a tensor of images or clips whose channels are last in memory, others as they are."""
    import torch

    known = {4: torch.channels_last, 5: torch.channels_last_3d}
    return x.contiguous(memory_format=known[x.ndim]) if x.ndim in known else x


def finish():
    """Wait for the GPU."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory() -> int:
    """Return the bytes that PyTorch has held at most on the GPU since `run`; 0 on a CPU."""
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
