"""What one process decides of many: where it belongs, what it reads, what must be the same.

Runs of several processes are in tests/multihost.
"""

import threading
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from jaxvid.distributed import mesh as meshes
from jaxvid.distributed import peers, start
from jaxvid.errors import UserError

settings: Any = jax.config


@pytest.fixture
def environment(monkeypatch):
    """Sets what launchers set; JAX itself is not started."""
    started = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **known: started.append(known))
    monkeypatch.setattr(peers, "put", lambda *_: None)
    monkeypatch.setattr(peers, "listen", lambda _: None)
    for name in (*start.SIGNS, *start.COUNTS, *start.RANKS):
        monkeypatch.delenv(name, raising=False)
    before = settings.jax_enable_preemption_service

    def begin(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        start.start(timeout=60)
        return started

    yield begin
    jax.config.update("jax_enable_preemption_service", before)


def test_a_single_process_starts_nothing(environment):
    assert environment() == []
    assert environment(SLURM_JOB_ID="7") == []  # inside a job, but not started by srun
    assert environment(OMPI_COMM_WORLD_SIZE="1", OMPI_COMM_WORLD_RANK="0") == []


def test_addresses_given_are_taken_and_no_cluster_is_asked(environment):
    [known] = environment(
        JAX_COORDINATOR_ADDRESS="a:1",
        JAX_NUM_PROCESSES="4",
        JAX_PROCESS_ID="3",
        SLURM_STEP_NODELIST="b",
        OMPI_COMM_WORLD_RANK="1",
    )
    del known["initialization_timeout"], known["heartbeat_timeout_seconds"]
    assert known == dict(
        coordinator_address="a:1",
        num_processes=4,
        process_id=3,
        cluster_detection_method="deactivate",
    )
    assert not settings.jax_enable_preemption_service  # which would catch SIGTERM


@pytest.mark.parametrize("sign", ["SLURM_STEP_NODELIST", "OMPI_MCA_orte_hnp_uri"])
def test_a_cluster_is_left_to_jax(environment, sign):
    [known] = environment(**{sign: "x"})
    assert "coordinator_address" not in known
    assert "cluster_detection_method" not in known


def test_ranks_of_mpi_do_where_jax_knows_none(environment):
    [known] = environment(
        JAX_COORDINATOR_ADDRESS="a:1", OMPI_COMM_WORLD_SIZE="2", OMPI_COMM_WORLD_RANK="1"
    )
    assert (known["num_processes"], known["process_id"]) == (2, 1)


def test_many_processes_that_cannot_meet_are_refused(environment):
    """Each would train the whole, in the same workdir."""
    with pytest.raises(UserError, match=r"process 1 of 2, but JAX_COORDINATOR_ADDRESS"):
        environment(OMPI_COMM_WORLD_SIZE="2", OMPI_COMM_WORLD_RANK="1")


def test_an_address_without_numbers_is_refused(environment):
    with pytest.raises(UserError, match="needs JAX_NUM_PROCESSES and JAX_PROCESS_ID"):
        environment(JAX_COORDINATOR_ADDRESS="a:1", JAX_NUM_PROCESSES="4")


# The rows that a process reads


def parts(shape, per_process, monkeypatch):
    """`mesh.part` of every process, for devices in order."""
    count = shape[0] * shape[1]
    devices = [SimpleNamespace(process_index=i // per_process) for i in range(count)]
    mesh: Any = SimpleNamespace(
        devices=np.array(devices, object).reshape(shape),
        shape=dict(zip(("data", "model"), shape, strict=True)),
    )
    found = []
    for index in range(count // per_process):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        found.append(meshes.part(mesh))
    return found


@pytest.mark.parametrize(
    "shape,per_process,want",
    [
        ((4, 1), 4, [(0, 1)]),
        ((4, 1), 1, [(0, 4), (1, 4), (2, 4), (3, 4)]),
        ((4, 2), 4, [(0, 2), (1, 2)]),
        ((2, 2), 1, [(0, 2), (0, 2), (1, 2), (1, 2)]),  # neighbors on the model axis read the same
        ((1, 4), 2, [(0, 1), (0, 1)]),
        ((2, 4), 2, [(0, 2), (0, 2), (1, 2), (1, 2)]),
        ((2, 3), 2, [(0, 2), (0, 1), (1, 2)]),  # the one in the middle has devices of both rows
    ],
)
def test_a_process_reads_the_rows_of_its_devices(shape, per_process, want, monkeypatch):
    assert parts(shape, per_process, monkeypatch) == want


def test_rows_that_are_no_even_part_are_refused(monkeypatch):
    with pytest.raises(UserError, match=r"process 1 rows \[1, 2\] of the data axis"):
        parts((4, 3), 4, monkeypatch)


# What must be the same


class Source:
    def __init__(self, ids="ab", labels=(0, 1)):
        self.ids, self.labels = ids, np.array(labels)

    def __len__(self):
        return len(self.ids)

    def id(self, index):
        return self.ids[index]


def test_the_digest_sees_every_difference():
    config = {"batch": 8, "model": {"name": "swin"}}
    base = start.digest(config, {"train": Source()})
    assert base == start.digest(config, {"train": Source()})
    assert base["config.model.name"] == '"swin"'
    assert base["train data"].startswith("2 samples, sha256 ")
    for other in (Source("ba"), Source("ac"), Source(labels=(1, 0)), Source("abc", (0, 1, 1))):
        assert start.digest(config, {"train": other})["train data"] != base["train data"]
    changed = start.digest(config | {"batch": 4}, {"train": Source()})
    assert {k for k in base if base[k] != changed[k]} == {"config.batch"}


def test_the_sum_over_all_devices_is_checked(monkeypatch):
    mesh = meshes.build(4, 2)
    assert 0 < start.all_reduce(mesh) < 60
    real = jax.block_until_ready
    monkeypatch.setattr(jax, "block_until_ready", lambda x: real(x) + (np.arange(x.size) == 7))
    with pytest.raises(UserError, match="a sum over 8 devices is wrong in 0% of elements"):
        start.all_reduce(mesh)


def test_alone_everything_is_agreed_at_once(tmp_path):
    assert peers.alone()
    assert peers.agreed("stop", 5, True)
    assert not peers.agreed("stop", 5, False)
    start.claim_workdir(tmp_path, {"batch": 8}, timeout=1)
    assert (tmp_path / "config.json").exists()
    with pytest.raises(UserError, match="mine"), peers.together(stopped=KeyboardInterrupt):
        raise UserError("mine")


def test_a_deadline_ends_what_is_stuck_and_only_that(monkeypatch):
    ended = threading.Event()
    said = []
    monkeypatch.setattr(peers, "fail", lambda message: (said.append(message), ended.set()))
    with peers.deadline(30, lambda: "never"):
        pass
    with peers.deadline(0.05, lambda: "waited for nothing"):
        assert ended.wait(10)
    time.sleep(0.1)
    assert said == ["waited for nothing"]


class Store:
    """The coordination service's, of a run where nobody fails."""

    def __init__(self):
        self.held: dict[str, str] = {}

    def blocking_key_value_get(self, key, timeout):
        raise jax.errors.JaxRuntimeError("DEADLINE_EXCEEDED: nothing yet")

    def key_value_set(self, key, value, allow_overwrite):
        self.held[key] = value

    def key_value_dir_get(self, folder):
        return [(key, value) for key, value in self.held.items() if key.startswith(folder)]

    def key_value_delete(self, key):
        self.held.pop(key, None)


@pytest.fixture
def held(monkeypatch):
    store = Store()
    monkeypatch.setattr(peers, "client", lambda: store)
    return store.held


class Over(threading.Event):
    """Set after some waits, before each of which something happens."""

    def __init__(self, *then):
        super().__init__()
        self._then = [*then]

    def wait(self, timeout=None):
        if self._then:
            self._then.pop(0)()
        return not self._then


def test_a_process_is_lost_after_so_many_silent_rounds(held, monkeypatch):
    lost = []

    def lose(process, patience):
        lost.append((process, dict(silence)))
        over.set()

    monkeypatch.setattr(peers, "lose", lose)
    over, silence = threading.Event(), Counter({0: -9, 2: 1})
    peers.hear_failures(over, silence, 3)
    assert lost == [(2, {0: -6, 2: 4})]


def test_process_0_hears_who_gave_a_sign_who_did_not_and_who_ended(held):
    """This one is process 0, as no other was started."""
    one, two, three = (f"{peers.ALIVE}{process}" for process in (1, 2, 3))
    held |= {one: "0", two: "0", three: "0"}
    silence, seen = Counter(), []

    def later():
        silence.update([0, 1, 2, 3])
        held[one] = "1"
        del held[three]

    over = Over(later, lambda: seen.append(dict(silence)))
    peers.give_signs(over, silence, 0.1)
    assert seen == [{0: 0, 1: 0, 2: 1}]
    assert held == {one: "1", two: "0"}  # its own sign is gone, too


@pytest.mark.parametrize("answers", [True, False])
def test_the_others_hear_whether_process_0_answers(answers, held, monkeypatch):
    monkeypatch.setattr(peers.global_state, "process_id", 3)
    if not answers:
        monkeypatch.setattr(Store, "key_value_set", fails)
    silence, seen = Counter({0: 5}), []
    peers.give_signs(Over(lambda: seen.append(dict(silence))), silence, 0.1)
    assert seen == [{0: 0 if answers else 5}]


def fails(*_, **__):
    raise jax.errors.JaxRuntimeError("UNAVAILABLE")


@pytest.mark.skipif(not hasattr(peers.os, "sched_getaffinity"), reason="binds no process to cores")
def test_processes_of_one_host_share_its_cores_for_data(held, monkeypatch):
    monkeypatch.setattr(peers, "alone", lambda: False)
    monkeypatch.setattr(peers.os, "cpu_count", lambda: 12)
    monkeypatch.setattr(peers.os, "sched_getaffinity", lambda _: range(12))
    here = peers.socket.gethostname()
    held.update({f"{peers.HOSTS}{i}": name for i, name in enumerate([here, "b", here, here, "b"])})
    assert peers.workers(-1) == 4
    assert peers.workers(0) == 0 and peers.workers(7) == 7
    monkeypatch.setattr(peers.os, "sched_getaffinity", lambda _: range(6))  # bound to some
    assert peers.workers(-1) == 6
    monkeypatch.setattr(peers, "alone", lambda: True)
    assert peers.workers(-1) == 6
