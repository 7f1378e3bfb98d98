"""Releases of what jaxvid builds on: the oldest and newest that were tested, and faulty ones."""

import importlib
import importlib.metadata
import platform

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

# Newest releases that .ci/run has passed with. The oldest are those of setup.cfg.
NEWEST = {
    "python": "3.13",
    "jax": "0.12.0.1",
    "jaxlib": "0.12.0.1",
    "flax": "0.12.12",
    "optax": "0.2.8",
    "orbax-checkpoint": "0.12.8",
    "grain": "0.2.18",
    "ml_collections": "1.1.0",
    "numpy": "2.5.5",
    "av": "19.0.2",
    "opencv-python-headless": "5.0.0.93",
    "tensorflow-datasets": "4.9.10",
    "dm-pix": "0.4.5",
}
# cuDNN 9.8 to 9.12 may compute 3-D convolutions in bfloat16 wrongly, without an error
# (https://github.com/pytorch/pytorch/issues/163539); 9.13 has it right again.
FAULTY_CUDNN = SpecifierSet(">=9.8,<9.13")
CUDA_PLUGINS = "jax_cuda13_plugin", "jax_cuda12_plugin"


def installed(package: str) -> Version | None:
    """Return the version of an installed package, or of "python"; None if it is not installed."""
    if package == "python":
        # Builds of unreleased sources call themselves 3.14.0a1+, which is no version.
        return Version(platform.python_version().rstrip("+"))
    try:
        return Version(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return None


def admitted() -> dict[str, SpecifierSet]:
    """Return the versions that setup.cfg admits, by package and "python"; {} if not installed."""
    try:
        metadata = importlib.metadata.metadata("jaxvid")
    except importlib.metadata.PackageNotFoundError:  # run from a folder of its source
        return {}
    lines = metadata.get_all("Requires-Dist") or []
    required = [Requirement(line) for line in lines if "extra ==" not in line]
    found = {requirement.name.replace("_", "-"): requirement.specifier for requirement in required}
    return found | {"python": SpecifierSet(metadata["Requires-Python"] or "")}


def judge(package: str) -> tuple[bool, str]:
    """Return whether the installed version of a package should work, and a line about it."""
    version = installed(package)
    if version is None:
        return False, f"not installed: pip install {package}"
    allowed = admitted().get(package.replace("_", "-"), SpecifierSet())
    if not allowed.contains(version, prereleases=True):
        fix = "" if package == "python" else f": pip install '{package}{allowed}'"
        return False, f"{version} does not work, {allowed} is needed{fix}"
    newest = Version(NEWEST[package])
    if version.release[: len(newest.release)] > newest.release:
        return True, f"{version}, newer than the newest that was tested, {newest}"
    return True, f"{version}"


def cudnn() -> Version | None:
    """Return the version of cuDNN that JAX uses on NVIDIA GPUs; None where JAX has no CUDA."""
    for plugin in CUDA_PLUGINS:
        try:
            number = importlib.import_module(f"{plugin}._versions").cudnn_get_version()
        except Exception:  # not installed, or its libraries do not load: JAX says so itself
            continue
        return Version(f"{number // 10_000}.{number // 100 % 100}.{number % 100}")
    return None


def faults() -> list[str]:
    """Return a line for each installed library that computes wrong numbers, with what to do."""
    found = cudnn()
    if found is None or found not in FAULTY_CUDNN:
        return []
    return [
        f"cuDNN {found} may compute 3-D convolutions in bfloat16 wrongly, without an error:"
        " install 9.13 or newer (pip install -U nvidia-cudnn-cu12), or use --config.dtype=float32"
    ]
