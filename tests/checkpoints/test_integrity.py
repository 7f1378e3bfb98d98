"""Damaged checkpoints are told from intact ones, whatever became of which file."""

import jax
import jax.numpy as jnp
import pytest

from jaxvid.checkpoints import integrity, store
from tests.conftest import fill

STATE = {"params": {"w": jax.ShapeDtypeStruct((300, 20), jnp.float32)}}


@pytest.fixture
def folder(tmp_path):
    """Of three checkpoints."""
    saved = store.Store(tmp_path)
    for step in (1, 2, 3):
        saved.save(step, jax.tree.map(jnp.asarray, fill(STATE)), {}, {})
    saved.wait()
    saved.close()
    return tmp_path / "checkpoints"


def newest(folder):
    return folder / "00000003"


def spoilt(path, how):
    content = bytearray(path.read_bytes())
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()


def test_a_save_is_sealed_and_intact(folder, said):
    for step in store.all_steps(folder):
        assert (folder / f"{step:08d}" / integrity.SEAL).is_file()
        assert integrity.damage(folder / f"{step:08d}") == ""
    integrity.set_aside(folder)
    assert (said, store.all_steps(folder)) == ([], [1, 2, 3])


@pytest.mark.parametrize("how", ["cut", "flipped", "gone"])
def test_damage_in_any_file_is_noticed(folder, how):
    files = integrity.files(newest(folder))
    assert len(files) >= 10  # newer releases of orbax write a few more
    for path in files:
        before = path.read_bytes()
        spoilt(path, how)
        assert path.name in integrity.damage(newest(folder))
        path.write_bytes(before)
    assert integrity.damage(newest(folder)) == ""


def test_damaged_checkpoints_are_set_aside_and_kept(folder, said):
    for step in ("00000003", "00000002"):
        spoilt(max(integrity.files(folder / step), key=lambda p: p.stat().st_size), "flipped")
    integrity.set_aside(folder)
    assert store.all_steps(folder) == [1]
    assert [line.split("; ")[1] for line in said] == [
        "it is 00000003.damaged now, going back to step 2",
        "it is 00000002.damaged now, going back to step 1",
    ]
    assert "is not as it was written" in said[0]
    kept = sorted(p.name for p in folder.iterdir())
    assert kept == ["00000001", "00000002.damaged", "00000003.damaged"]


def test_the_last_one_may_be_damaged_too_and_again(folder, said):
    for _ in range(2):
        for step in store.all_steps(folder):
            spoilt(folder / f"{step:08d}" / integrity.SEAL, "cut")
        said.clear()
        integrity.set_aside(folder)
        assert "there is none before" in said[-1]
        saved = store.Store(folder.parent)
        saved.save(1, jax.tree.map(jnp.asarray, fill(STATE)), {}, {})
        saved.close()
    assert {p.name for p in folder.iterdir()} >= {"00000001.damaged", "00000001.damaged1"}


def test_one_without_a_seal_passes(folder):
    (newest(folder) / integrity.SEAL).unlink()
    assert integrity.damage(newest(folder)) == ""
