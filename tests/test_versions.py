"""Releases that are too old, too new, untested or faulty are named."""

import sys
from types import SimpleNamespace

import pytest
from packaging.version import Version

from jaxvid import versions


def judged(monkeypatch, package, version):
    monkeypatch.setattr(versions, "installed", lambda _: version and Version(version))
    return versions.judge(package)


@pytest.mark.parametrize(
    "package, version, ok, text",
    [
        ("jax", None, False, "not installed: pip install jax"),
        ("jax", "0.7.2", False, "0.7.2 does not work, >=0.8.2 is needed: pip install 'jax>=0.8.2'"),
        ("jax", "0.8.0", False, "0.8.0 does not work"),
        ("jax", "0.8.2", True, "0.8.2"),
        ("jax", "99.0", True, "99.0, newer than the newest that was tested"),
        ("av", "16.1.0", False, "16.1.0 does not work"),
        ("av", "20.0.0", False, "20.0.0 does not work"),
        ("python", "3.10.4", False, "3.10.4 does not work, >=3.11 is needed"),
        ("python", "3.99.0", True, "newer than the newest that was tested"),
    ],
)
def test_versions_are_judged(monkeypatch, package, version, ok, text):
    verdict, line = judged(monkeypatch, package, version)
    assert verdict is ok
    assert text in line


@pytest.mark.parametrize("package", versions.NEWEST)
def test_the_newest_tested_release_is_admitted(monkeypatch, package):
    ok, line = judged(monkeypatch, package, versions.NEWEST[package])
    assert ok, line
    assert line == str(Version(versions.NEWEST[package]))


def test_what_is_required_has_bounds():
    assert all(len(bounds) for bounds in versions.admitted().values())


@pytest.mark.parametrize(
    "number, version, faulty",
    [
        (90701, "9.7.1", False),
        (90800, "9.8.0", True),
        (91002, "9.10.2", True),
        (91300, "9.13.0", False),
        (91900, "9.19.0", False),
    ],
)
def test_faulty_cudnn(monkeypatch, number, version, faulty):
    monkeypatch.setattr(versions, "CUDA_PLUGINS", ("fake_plugin",))
    module = SimpleNamespace(cudnn_get_version=lambda: number)
    monkeypatch.setitem(sys.modules, "fake_plugin", SimpleNamespace(_versions=module))
    monkeypatch.setitem(sys.modules, "fake_plugin._versions", module)
    assert versions.cudnn() == Version(version)
    lines = versions.faults()
    assert bool(lines) is faulty
    assert all(version in line and "9.13" in line for line in lines)


def test_without_cuda_there_is_no_cudnn(monkeypatch):
    monkeypatch.setattr(versions, "CUDA_PLUGINS", ("no_such_plugin",))
    assert versions.cudnn() is None
    assert versions.faults() == []


def test_a_python_built_from_unreleased_sources_has_a_version(monkeypatch):
    monkeypatch.setattr(versions.platform, "python_version", lambda: "3.14.0a1+")
    assert str(versions.installed("python")) == "3.14.0a1"
    assert versions.judge("python")[1].startswith("3.14.0a1")
