"""Checkpoints of a run, with Orbax: asynchronous and atomic; the newest and the best are kept.

    WORKDIR/config.json            the resolved config the run was started with
    WORKDIR/checkpoints/STEP/      state (arrays) and meta (json: config, class names, metrics ...)

A folder whose name is not a step is an unfinished save and is ignored.
"""

import json
import logging
import re
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from flax.traverse_util import unflatten_dict
from orbax.checkpoint.checkpoint_managers import preservation_policy as policies

from jaxvid import errors, param_rules
from jaxvid.checkpoints import integrity
from jaxvid.checkpoints.former_names import saved_names
from jaxvid.errors import UserError, did_you_mean
from jaxvid.files import write_text

# Orbax warns of files that it does not need, and logs errors with a traceback before raising them.
logging.getLogger("absl").setLevel(logging.CRITICAL)

FORMAT = 1  # version of the layout above; newer versions are refused


class Store:
    """The checkpoints of a run.

    Args:
      workdir: folder of the run.
      keep: number of the newest checkpoints to keep.
      best: metric, such as "val/top1"; the checkpoint with its largest value is also kept.
    """

    def __init__(self, workdir: str | Path, keep: int = 3, best: str = ""):
        self.folder = Path(workdir).absolute() / "checkpoints"
        keepers: list[policies.PreservationPolicy] = [policies.LatestN(keep)]
        if best:
            top = policies.BestN(
                get_metric_fn=lambda m: m[best], n=1, keep_checkpoints_without_metrics=False
            )
            keepers.append(top)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy(keepers),
            step_format_fixed_length=8,
            enable_async_checkpointing=True,
            cleanup_tmp_directories=True,
        )
        self._best = best
        self._over = threading.Event()
        self._sealing: threading.Thread | None = None
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=options,
            item_handlers={
                "state": ocp.PyTreeCheckpointHandler(),
                "meta": ocp.JsonCheckpointHandler(),
            },
        )

    def latest(self) -> int | None:
        return self._manager.latest_step()

    def save(self, step: int, state: Any, meta: Mapping, metrics: Mapping[str, float]):
        """Start to save a checkpoint. Returns when the arrays are copied from the devices.

        Args:
          step: step of the run.
          state: tree of arrays.
          meta: data that JSON can represent, saved with the state.
          metrics: metrics by name, which decide which checkpoint is the best.

        Raises:
          UserError: this save or the one before it failed, such as on a full disk. Older
            checkpoints are intact.
        """
        if step == self.latest():
            return
        self.wait()  # so that a failure of the save before is reported as such
        need, free = bytes_here(state), shutil.disk_usage(self.folder).free
        if need > free:
            raise self._failed(f"{need:,} bytes are needed, {free:,} are free on the disk")
        args = ocp.args.Composite(
            state=ocp.args.PyTreeSave(state),
            meta=ocp.args.JsonSave(dict(meta, format=FORMAT, step=step, metrics=dict(metrics))),
        )
        try:
            ranked = dict(metrics) if self._best in metrics else None
            self._manager.save(step, args=args, metrics=ranked, force=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise self._failed(error) from error
        if jax.process_index() == 0:
            self._over.clear()
            self._sealing = threading.Thread(target=self._seal, args=(step,), daemon=True)
            self._sealing.start()

    def replace(self, step: int, state: Any, meta: Mapping, metrics: Mapping[str, float]):
        """Save a checkpoint in place of the one of the same step, which is deleted before."""
        self.wait()
        self._manager.delete(step)
        self.save(step, state, meta, metrics)

    def add_metrics(self, step: int, metrics: Mapping[str, float]):
        """Add the metrics of a checkpoint that was saved before its evaluation."""
        folder = self.folder / f"{step:08d}"
        if jax.process_index() == 0:
            meta = dict(read_meta(folder), metrics=dict(metrics), eval_due=False)
            (folder / integrity.SEAL).unlink(missing_ok=True)  # if killed here, it is not damaged
            write_text(folder / "meta" / "metadata", json.dumps(meta))
            if self._best in metrics:
                (folder / "metrics").mkdir(exist_ok=True)
                write_text(folder / "metrics" / "metrics", json.dumps(dict(metrics)))
            integrity.seal(folder)
        self._manager.reload()

    def wait(self):
        """Wait until the last save is on disk. Raises UserError if it failed."""
        try:
            self._manager.wait_until_finished()
        except (OSError, ValueError, RuntimeError) as error:
            raise self._failed(error) from error
        finally:
            self._join()

    def restore(self, step: int, state: Any) -> tuple[Any, dict]:
        """Return the state of `step`, and its meta.

        Args:
          step: step of a checkpoint.
          state: tree of shapes with shardings, which the restored arrays get.
        """
        folder = self.folder / f"{step:08d}"
        check_fits(folder, state)
        wanted, back = named_as_saved(folder, state)
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.PyTreeRestore(
                    wanted, restore_args=ocp.checkpoint_utils.construct_restore_args(wanted)
                ),
                meta=ocp.args.JsonRestore(),
            ),
        )
        return back(restored["state"]), restored["meta"]

    def close(self):
        """Wait for the last save and end the threads. Raises UserError if the save failed."""
        try:
            self.wait()
        finally:
            self._manager.close()

    def _seal(self, step: int):
        """Seal a checkpoint, in a thread, when it is complete; not if its save fails."""
        folder = self.folder / f"{step:08d}"
        while not folder.exists():
            if self._over.wait(0.05) and not folder.exists():
                return
        with suppress(OSError):  # it may be deleted when there is a newer one
            integrity.seal(folder)

    def _join(self):
        self._over.set()
        if self._sealing:
            self._sealing.join()
        self._sealing = None

    def _failed(self, error) -> UserError:
        steps = all_steps(self.folder)
        left = f"the last complete one is step {steps[-1]}" if steps else "there is no complete one"
        full = "No space left on device"
        reason = full if full in str(error) else str(error).splitlines()[0][:300]
        return UserError(f"saving a checkpoint to {self.folder} failed: {reason}; {left}")


def bytes_here(state: Any) -> int:
    """Return the number of bytes of a state that this process writes."""
    leaves = [x for x in jax.tree.leaves(state) if isinstance(x, jax.Array)]
    shards = [s for x in leaves for s in x.addressable_shards if s.replica_id == 0]
    return sum(s.data.nbytes for s in shards)


def all_steps(folder: Path) -> list[int]:
    """Return the steps of the complete checkpoints in WORKDIR/checkpoints, oldest first."""
    return sorted(int(d.name) for d in folder.glob("*") if d.name.isdigit())


def read_meta(folder: Path) -> dict:
    """Return the meta of a checkpoint, from its folder."""
    try:
        meta = json.loads((folder / "meta" / "metadata").read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: not a jaxvid checkpoint ({error})") from None
    if meta.get("format", 0) > FORMAT:
        raise UserError(f"{folder}: written by a newer jaxvid (format {meta['format']})")
    return meta


def is_run(path: Path) -> bool:
    """Return whether a folder is a workdir, its folder of checkpoints, or one checkpoint."""
    return path.name == "checkpoints" or any((path / n).is_dir() for n in ("checkpoints", "meta"))


def best_checkpoint(spec: str | Path) -> Path:
    """Return the folder of the best checkpoint of a workdir, or of its latest if none is best.

    Args:
      spec: a workdir, its folder of checkpoints, or the folder of one checkpoint.

    Raises:
      UserError: there is no checkpoint.
    """
    path = Path(spec)
    if (path / "meta").is_dir():
        return path
    path = path.parent if path.name == "checkpoints" else path
    steps = all_steps(path / "checkpoints")
    if not steps:
        raise UserError(
            f"{spec}: no checkpoint there (no {path / 'checkpoints'}/STEP), and no file of weights"
        )

    def rank(step):
        meta = read_meta(path / "checkpoints" / f"{step:08d}")
        return meta["metrics"].get(meta.get("best"), float("-inf")), step

    return path / "checkpoints" / f"{max(steps, key=rank):08d}"


def runs_beside(path: Path) -> list[str]:
    """Return the names of the workdirs in the parent folder of `path`, which need not exist."""
    try:
        return [run.name for run in path.parent.iterdir() if (run / "checkpoints").is_dir()]
    except OSError:  # the folder does not exist or cannot be read
        return []


def load_variables(folder: Path, like: Mapping, skip: tuple[str, ...] = ()) -> tuple[dict, str]:
    """Return the variables of a checkpoint, with the moving average of parameters if it has one.

    Args:
      folder: folder of one checkpoint.
      like: variables as shapes with shardings, which the arrays get.
      skip: patterns of paths below a collection. The checkpoint may have additional arrays that
        match one of them.

    Returns:
      {"params": ..., other collections}, and the kind of the parameters, "EMA" or "trained".
    """
    kind = "ema" if any(k.startswith("ema/") for k in saved_shapes(folder)) else "params"
    state = {kind: like["params"], "model_state": {k: v for k, v in like.items() if k != "params"}}
    check_fits(folder, state, skip, collections=(kind, "model_state"))
    wanted, back = named_as_saved(folder, state)
    restored = ocp.Checkpointer(ocp.PyTreeCheckpointHandler()).restore(
        folder.absolute() / "state",
        args=ocp.args.PyTreeRestore(
            wanted,
            restore_args=ocp.checkpoint_utils.construct_restore_args(wanted),
            partial_restore=True,
        ),
    )
    state = back(restored)
    variables = {"params": state[kind], **state["model_state"]}
    return variables, "EMA" if kind == "ema" else "trained"


def load_into(variables: Mapping, folder: Path, skip: tuple[str, ...] = ()) -> dict:
    """Return `variables` with all but the skipped ones replaced by those of a checkpoint.

    Args:
      variables: parameters and running statistics. The result keeps their shardings.
      folder: folder of one checkpoint.
      skip: patterns of paths below a collection that are not replaced, such as the head for other
        classes.
    """
    flat = param_rules.flatten(variables)
    wanted = unflatten_dict({k: v for k, v in flat.items() if not skipped(k, skip)}, sep="/")
    loaded, _ = load_variables(folder, wanted, skip)
    return unflatten_dict(flat | param_rules.flatten(loaded), sep="/")


def skipped(key: str, skip: tuple[str, ...]) -> bool:
    """Return whether a pattern matches a path such as "params/head/fc/bias", without "params/"."""
    return any(re.fullmatch(pattern, key.partition("/")[2]) for pattern in skip)


def saved_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return {path: shape} of the arrays in a checkpoint by current names. Reads no arrays."""
    arrays = {
        k: v for k, v in param_rules.flatten(_saved_tree(folder)).items() if hasattr(v, "shape")
    }
    return {name: tuple(arrays[saved].shape) for name, saved in saved_names(arrays).items()}


def named_as_saved(folder: Path, state: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return a state, or a part of one, with the names of a checkpoint, and the inverse function.

    The names in checkpoints of earlier versions differ from the current ones.
    """
    tree = _saved_tree(folder)
    names = saved_names(param_rules.flatten(tree))
    if all(name == saved for name, saved in names.items()):
        return state, lambda restored: restored
    flat = {names[name]: leaf for name, leaf in param_rules.flatten(state).items()}
    if len(flat) == len(names):  # if the state is complete, Orbax needs its empty parts, too
        wanted = jax.tree_util.tree_map_with_path(
            lambda path, _: flat[param_rules.name(path)], tree
        )
    else:
        wanted = unflatten_dict(flat, sep="/")

    def back(restored):
        leaves = param_rules.flatten(restored)
        return jax.tree.unflatten(jax.tree.structure(state), [leaves[saved] for saved in flat])

    return wanted, back


def _saved_tree(folder: Path) -> Any:
    """Return the tree of a checkpoint by its own names, with shapes instead of arrays."""
    handler = ocp.Checkpointer(ocp.PyTreeCheckpointHandler())
    metadata: Any = handler.metadata(folder.absolute() / "state")
    return metadata.item_metadata.tree


def check_fits(
    folder: Path, state: Any, skip: tuple[str, ...] = (), collections: tuple[str, ...] = ()
):
    """Raise a UserError that lists the arrays in which a checkpoint and `state` differ.

    Args:
      folder: folder of one checkpoint.
      state: tree of arrays or shapes.
      skip: patterns of paths below a collection. The checkpoint may have additional arrays that
        match one of them.
      collections: collections of the checkpoint to compare; () compares all.
    """
    saved = saved_shapes(folder)
    want = {k: tuple(v.shape) for k, v in param_rules.flatten(state).items()}
    problems = []
    for key, shape in want.items():
        if key not in saved:
            problems.append(f"{key} {shape} is not in the checkpoint.{did_you_mean(key, saved)}")
        elif saved[key] != shape:
            problems.append(f"{key} is {saved[key]} in the checkpoint, {shape} in the model")
    beside = [
        key
        for key in saved.keys() - want.keys()
        if not collections or key.partition("/")[0] in collections
    ]
    # Below model_state comes the name of a collection, as in "model_state/batch_stats/...".
    beside = [key for key in beside if not skipped(key.removeprefix("model_state/"), skip)]
    problems += [f"{key} {saved[key]} is only in the checkpoint" for key in sorted(beside)]
    if problems:
        raise errors.problems(f"{folder} holds another model:", problems, 5)
