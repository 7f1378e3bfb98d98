"""Start of a run of several processes, and checks that they agree before anything is computed."""

import hashlib
import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxvid
from jaxvid import config as configs
from jaxvid import files, log, provenance, signals
from jaxvid.data.annotations.labels import MultiLabels
from jaxvid.distributed import mesh as meshes
from jaxvid.distributed import peers
from jaxvid.errors import UserError, first

logger = logging.getLogger(__name__)

# Environment variables that announce several processes. By the last three, JAX recognizes srun,
# Open MPI 4 and Kubernetes, and gets the other settings itself.
SIGNS = (
    "JAX_COORDINATOR_ADDRESS",
    "SLURM_STEP_NODELIST",
    "OMPI_MCA_orte_hnp_uri",
    "JOB_COMPLETION_INDEX",
)
COUNTS = ("JAX_NUM_PROCESSES", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
RANKS = ("JAX_PROCESS_ID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
FLOATS = 2**18  # 1 MiB
SHOWN = 16  # processes listed


def start(timeout: float, heartbeat: int = 100):
    """Connect to the other processes, if the environment names any, before JAX's first computation.

    Args:
      timeout: seconds to wait for them. Then this process ends with a message that names them.
      heartbeat: seconds without a sign of life after which a process counts as lost, and all end.

    Raises:
      UserError: the environment announces several processes, but has no address for them.
    """
    log.TERMINAL.process = lambda: (
        peers.global_state.process_id,
        peers.global_state.num_processes,
    )
    address, count, rank = _found("JAX_COORDINATOR_ADDRESS"), _found(*COUNTS), _found(*RANKS)
    sign = next((sign for sign in SIGNS if sign in os.environ), None)
    if sign is None:
        if int(count or 1) > 1:  # each would train on its own, in the same workdir
            raise UserError(
                f"this is process {rank} of {count}, but JAX_COORDINATOR_ADDRESS=HOST:PORT, where"
                " process 0 is, is not set; the scripts in launch/ do that"
            )
        meshes.find_devices()
        return
    known: dict[str, Any] = {}
    if address:
        if count is None or rank is None:
            raise UserError(
                f"JAX_COORDINATOR_ADDRESS={address} needs JAX_NUM_PROCESSES and JAX_PROCESS_ID, too"
            )
        known = dict(coordinator_address=address, num_processes=int(count), process_id=int(rank))
        known["cluster_detection_method"] = "deactivate"
    signals.start_tracker()  # before JAX starts threads
    # JAX would catch SIGTERM, which then would not end an evaluation.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        with peers.deadline(timeout, lambda: _waited(timeout)):
            jax.distributed.initialize(
                **known,
                initialization_timeout=int(timeout) + 60,
                # JAX ends with a dump of its C++ stack after half of this time. `listen` must be
                # faster.
                heartbeat_timeout_seconds=4 * heartbeat,
            )
    except ValueError as error:
        raise UserError(f"{sign} is set, but JAX cannot tell the processes: {error}") from error
    peers.put(peers.HOSTS, socket.gethostname())
    peers.listen(heartbeat)
    devices = f"waited {timeout:.0f} s for all processes to find their devices; is a driver stuck?"
    with peers.deadline(timeout, lambda: devices):
        meshes.find_devices()


def is_first() -> bool:
    """Return whether this is process 0, which writes files."""
    return jax.process_index() == 0


def health_check(mesh: Mesh, digest: Mapping[str, str], timeout: float):
    """Check that all processes have met, agree and reach each other, and log their devices.

    Args:
      mesh: the device mesh.
      digest: settings that must be the same on all processes, from `digest`.
      timeout: seconds for each check. Then the run ends with a message that names missing
        processes.

    Raises:
      UserError: something differs from process 0; the message says what.
    """
    if not peers.alone():
        if jax.process_index() == 0:
            peers.put("jaxvid/digest/", json.dumps(digest))
        peers.meet("the start", timeout)
        first = json.loads(peers.values("jaxvid/digest/")[0])
        keys = sorted(k for k in first.keys() | digest.keys() if first.get(k) != digest.get(k))
        if keys:
            lines = [f"{k}: {digest.get(k)} here, {first.get(k)} on process 0" for k in keys]
            raise UserError("not the same run as process 0:\n  " + "\n  ".join(lines))
    stuck = (
        f"all processes are there, but a sum over {mesh.size} devices took more than {timeout:.0f}"
        " s; is the network open between all hosts? With NCCL_DEBUG=INFO it says what it uses"
    )
    with peers.deadline(timeout, lambda: stuck):
        seconds = all_reduce(mesh)
    if mesh.size > 1:
        logger.info(f"all-reduce of 1 MiB over {mesh.size} devices: {seconds * 1e3:.1f} ms")
    if not peers.alone():
        log.bullets(logger, positions(mesh))


def digest(config: Mapping, sources: Mapping[str, Any]) -> dict[str, str]:
    """Return what decides a run: versions, config, and length, ids and labels of each source."""
    found = {"jaxvid": jaxvid.__version__, "jax": jax.__version__}
    found |= {f"config.{k}": json.dumps(v) for k, v in configs.flat(config).items()}
    for split, source in sources.items():
        labels = source.labels
        ragged = isinstance(labels, MultiLabels)
        content = hashlib.sha256()
        for part in (labels.values, labels.ends) if ragged else (labels,):
            content.update(np.ascontiguousarray(part).tobytes())
        content.update("\n".join(source.id(i) for i in range(len(source))).encode())
        found[f"{split} data"] = f"{len(source)} samples, sha256 {content.hexdigest()[:12]}"
    return found


def all_reduce(mesh: Mesh) -> float:
    """Return the seconds of an all-reduce of 1 MiB. Raises UserError if its result is wrong."""
    rows = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    numbers = np.broadcast_to(np.arange(1, mesh.size + 1, dtype="f4")[:, None], (mesh.size, FLOATS))
    terms = jax.make_array_from_callback(numbers.shape, rows, lambda index: numbers[index])
    add = jax.jit(lambda x: x.sum(0), out_shardings=NamedSharding(mesh, PartitionSpec()))
    jax.block_until_ready(add(terms))  # connects the devices
    began = time.monotonic()
    total = jax.block_until_ready(add(terms))
    seconds = time.monotonic() - began
    if (wrong := np.asarray(total) != mesh.size * (mesh.size + 1) / 2).any():
        raise UserError(
            f"a sum over {mesh.size} devices is wrong in {wrong.mean():.0%} of elements"
        )
    return seconds


def claim_workdir(workdir: Path, config: Mapping, timeout: float):
    """Reserve a workdir for one config. Process 0 writes a file, which the others must see.

    A folder without a checkpoint is free, because it has no results of a run.

    Args:
      workdir: folder of the run.
      config: its config.
      timeout: seconds to wait for the other processes.

    Raises:
      UserError: the folder has checkpoints of another config (the message lists the keys that
        differ), or the processes do not share the folder.
    """
    if is_first():
        path = workdir / "config.json"
        if not any((workdir / "checkpoints").glob("[0-9]*")):
            path.unlink(missing_ok=True)
        provenance.claim(path, config, "use another --workdir", configs.changes)
    if peers.alone():
        return
    peers.meet("the claim of the workdir", timeout)
    limit = time.monotonic() + 30  # network file systems may show a new file late
    while not (workdir / "config.json").exists():
        if time.monotonic() > limit:
            raise UserError(
                f"{workdir}/config.json, which process 0 wrote, is not there; --workdir must be"
                " a folder that all hosts share"
            )
        time.sleep(0.5)


@contextmanager
def hold(workdir: Path) -> Iterator[None]:
    """Lock a workdir against other runs while the block runs. Process 0 holds the lock.

    Raises:
      UserError: another run uses the folder, or it cannot be written to.
    """
    if jax.process_index() != 0:
        yield
        return
    with files.hold(workdir, fix="wait for it, stop it, or use another --workdir"):
        yield


def positions(mesh: Mesh) -> list[str]:
    """Return a line for each of the first processes: its host and its positions on the mesh."""
    hosts = peers.values(peers.HOSTS)
    owners = np.vectorize(lambda device: device.process_index)(mesh.devices)
    lines = []
    for process in sorted(hosts):
        axes = zip(mesh.axis_names, np.nonzero(owners == process), strict=True)
        spans = ", ".join(f"{axis} {np.unique(at).tolist()}" for axis, at in axes)
        lines.append(f"process {process} ({hosts[process]}): {spans}")
    return first(lines, SHOWN)


def _found(*names: str) -> str | None:
    return next((os.environ[name] for name in names if name in os.environ), None)


def _waited(timeout: float) -> str:
    """Return which processes this one waited for, and the likely reason why they did not come."""
    address, count = str(peers.global_state.coordinator_address), peers.global_state.num_processes
    if peers.global_state.process_id == 0:
        others = "process 1" if count == 2 else f"processes 1 to {count - 1}"
        return (
            f"waited {timeout:.0f} s at {address} for {others}; one that does not say so itself"
            " has not started, or cannot reach that address"
        )
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), 5).close()
        why = "which answers, but waits, too: another process has not started"
    except OSError as error:
        why = f"which does not answer ({error}): is it running there, and the port open?"
    return f"waited {timeout:.0f} s for process 0 at {address}, {why}"
