"""Who holds up the others is told, with its host; several real processes are in tests/multihost."""

import jax
import pytest

from jaxvid.distributed import stragglers

HOSTS = {0: "a", 1: "b", 2: "c"}


@pytest.mark.parametrize(
    "waits,said",
    [
        ({}, []),
        ({0: 0.9}, []),
        ({0: 0.01, 1: 0.04}, []),  # too little to matter
        ({0: 0.30, 1: 0.40, 2: 0.35}, []),  # all alike
        (
            {0: 0.02, 1: 0.02, 2: 0.40, 3: 0.04},
            ["process 2 (c) waits 40% of its time for data, others 2%"],
        ),
        ({0: 0.0, 3: 0.06}, ["process 3 (unknown host) waits 6% of its time for data, others 0%"]),
    ],
)
def test_the_process_that_starves_is_named(waits, said):
    assert stragglers.describe(waits, {}, HOSTS) == said


@pytest.mark.parametrize(
    "seconds,said",
    [
        ({1: 0.5}, []),
        ({0: 0.010, 1: 0.014}, []),
        ({0: 0.020, 1: 0.010, 2: 0.020}, []),  # one is fast: that holds up nobody
        ({0: 0.020, 1: 0.020, 2: 0.020, 3: 0.010, 4: 0.010}, []),  # two kinds of device
        ({0: 0.010, 1: 0.016}, [(1, "b", "16.0", "10.0")]),
        ({0: 0.012, 1: 0.010, 2: 0.009, 3: 0.030, 4: 0.011}, [(3, "unknown host", "30.0", "10.5")]),
    ],
)
def test_the_process_that_computes_slowly_is_named(seconds, said):
    line = "process {} ({}) computes slowly, and all wait for it: {} ms for what takes others {}"
    assert stragglers.describe({}, seconds, HOSTS) == [line.format(*row) for row in said]


def test_both_are_told():
    lines = stragglers.describe({0: 0.5, 1: 0.1}, {0: 0.01, 1: 0.02}, HOSTS)
    assert [line.split(")")[0] for line in lines] == ["process 0 (a", "process 1 (b"]


def test_a_probe_uses_all_devices_of_this_process_and_nothing_else():
    probe = stragglers.Probe()
    text = probe.multiply.lower(probe.x).compile().as_text() or ""
    assert f"num_partitions={jax.local_device_count()}" in text
    assert not any(word in text for word in ("all-reduce", "all-gather", "all-to-all", "permute"))
    assert 0 < probe() < 10


def test_one_process_measures_nothing(monkeypatch):
    monkeypatch.setattr(stragglers, "Probe", lambda: pytest.fail("a probe was made"))
    assert stragglers.Stragglers().lines(0.9) == []
