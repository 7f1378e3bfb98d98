"""The memory that a process may still take: of the machine, and of its control groups."""

import pytest

from jaxvid.train import host_memory

GIB = 2**30


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 10 GiB left; returns a function that writes its files."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    monkeypatch.setattr(host_memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(host_memory, "CGROUPS", tmp_path / "cgroup")
    write("proc/meminfo", f"MemTotal: {16 * GIB // 1024} kB\nMemAvailable: {10 * GIB // 1024} kB\n")
    return write


def test_without_groups_it_is_what_the_machine_has_left(machine):
    assert host_memory.available() == 10 * GIB


def test_a_group_of_version_2_leaves_less(machine):
    machine("proc/self/cgroup", "0::/user/job\n")
    machine("cgroup/user/job/memory.max", "max\n")
    machine("cgroup/user/job/memory.current", f"{GIB}\n")
    assert host_memory.available() == 10 * GIB
    machine("cgroup/user/memory.max", f"{4 * GIB}\n")  # of the group above
    machine("cgroup/user/memory.current", f"{3 * GIB}\n")
    machine("cgroup/user/memory.stat", f"anon 5\ninactive_file {GIB}\n")  # can be freed
    assert host_memory.available() == 2 * GIB


def test_a_container_sees_its_own_group_as_the_root(machine):
    machine("proc/self/cgroup", "4:cpu:/x\n3:memory:/docker/abc\n0::/\n")
    machine("cgroup/memory/memory.limit_in_bytes", f"{8 * GIB}\n")
    machine("cgroup/memory/memory.usage_in_bytes", f"{3 * GIB}\n")
    machine("cgroup/memory/memory.stat", "total_inactive_file 0\n")
    assert host_memory.available() == 5 * GIB
    machine("cgroup/memory/memory.usage_in_bytes", f"{9 * GIB}\n")
    assert host_memory.available() == 0


def test_a_system_without_these_files_has_all_of_its_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(host_memory, "PROC", tmp_path)
    monkeypatch.setattr(host_memory, "CGROUPS", tmp_path)
    assert host_memory.available() > 0
