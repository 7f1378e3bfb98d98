"""A run whose optimizer state stays in the host's memory, stopped and gone on with."""

import jax
import pytest

from jaxvid import main
from jaxvid.checkpoints import store
from jaxvid.train import loop
from tests.faults.kill_resume import compare
from tests.train.test_loop import asking_at, config  # noqa: F401

pytestmark = pytest.mark.long


def kinds(state):
    return {leaf.sharding.memory_kind for leaf in jax.tree.leaves(state)}


def test_it_goes_on_bit_for_bit(config, tmp_path, monkeypatch):  # noqa: F811
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    config.offload, config.epochs, config.log_every = "optimizer", 1.0, 1
    main.train(config, whole)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "interruptible", asking_at(3))
        with pytest.raises(loop.Interrupted, match="stopped at step 3 and saved"):
            main.train(config, stopped)
    assert compare(whole, stopped)  # which finds something where there is something

    restore, restored = store.Store.restore, []

    def remembered(self, step, like):
        state, meta = restore(self, step, like)
        restored.append((step, kinds(state.opt_state), kinds(state.params)))
        return state, meta

    monkeypatch.setattr(store.Store, "restore", remembered)
    main.train(config, stopped)
    assert restored == [(3, {"pinned_host"}, {"device"})]
    assert compare(whole, stopped) == []
