"""Eight fake CPU devices for every test, so that shardings are real; set before JAX starts.

Programs run once here, so LLVM need not optimize them: that halves the time of the suite and leaves
XLA's own passes, which shardings and gathers depend on, as they are.
"""

import os

FLAGS = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import gc
import json
import logging
import re
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxvid import log
from jaxvid.train.step import Compiled

# Traced programs are millions of objects, which need not be looked through again and again.
gc.set_threshold(200_000, 20, 100)

CASES = json.loads((Path(__file__).parent / "cases.json").read_text())


@pytest.fixture(autouse=True, scope="session")
def one_program_a_run():
    """A training step that is compiled twice is an error in tests; users get a line and a count."""
    compile = Compiled.compile

    def once(self, state, batch):
        found = compile(self, state, batch)
        assert self.name != "train_step" or self.count == 1, "the training step was recompiled"
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Compiled, "compile", once)
        yield


@contextmanager
def logs(match: str = ""):
    """Collect the lines that jaxvid logs in the block, of which one must match."""
    log.warn_once.cache_clear()
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("jaxvid").addHandler(handler)
    try:
        yield lines
    finally:
        logging.getLogger("jaxvid").removeHandler(handler)
    assert not match or any(re.search(match, line) for line in lines), lines


@pytest.fixture
def said():
    """The lines that jaxvid logs during a test."""
    with logs() as lines:
        yield lines


# Files of few, long tests start first, so that none is left to one worker at the end.
FIRST = (
    "test_end_to_end.py",
    "test_faults.py",
    "test_golden.py",
    "test_equality.py",
    "test_step.py",
    "test_loop.py",
    "test_workers.py",
    "test_memory.py",
    "test_offload.py",
    "test_inflate.py",
    "_run.py",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not item.path.name.endswith(FIRST))


def cases(group: str):
    """Parameters for the published behavior cases of one group: (args, input, expected, seed)."""
    return [
        pytest.param(c["args"], c["input"], c["expected"], c.get("seed"), id=name)
        for name, c in CASES.items()
        if name.startswith(group + "-")
    ]


def fill(shapes, seed: int = 0):
    """Variables from NumPy for a tree of shapes: compiling a model's own `init` takes seconds."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        fan_in = max(1, int(np.prod(leaf.shape[:-1])))
        value = rng.standard_normal(leaf.shape) / fan_in**0.5
        variance = path[-1:] == (jax.tree_util.DictKey("var"),)
        return (0.5 + np.abs(value) if variance else value).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def gathers(text: str) -> list[str]:
    """All-gathers of more than a scalar in compiled HLO, asynchronous ones too."""
    found = re.findall(r"= (.*?) all-gather(?:-start)?\(", text)
    return [shape for shape in found if re.search(r"\[\d", shape)]


ROWS = 88  # 11 on each of eight devices, a factor that no other size in a test has
COLLECTIVE = r"= (.*?) (?:all-|reduce-scatter|collective-|ragged-)[a-z-]*\("


def crossings(text: str) -> list[str]:
    """What compiled HLO sends between devices and has an axis of the batch, which is of ROWS rows.

    A gather by index may become a masked one on every device and a sum over devices.
    """
    sent = [s for result in re.findall(COLLECTIVE, text) for s in re.findall(r"\[[\d,]+\]", result)]
    return [s for s in sent if any(int(size) % 11 == 0 for size in re.findall(r"\d+", s))]


class LegacyGenerator:
    """The global generators that the published code drew from, behind NumPy's new interface."""

    def __init__(self, seed: int):
        self.state = np.random.RandomState(seed)

    def integers(self, high, size=None):
        return self.state.randint(high, size=size)

    def uniform(self, low, high, size=None):
        return self.state.uniform(low, high, size)

    def choice(self, values, size, replace):
        return self.state.choice(values, size, replace)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Compiled programs and generated data of the session, not of the user."""
    folder = tmp_path_factory.getbasetemp().parent / "jaxvid-cache"
    os.environ["JAXVID_CACHE"] = str(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    return folder
