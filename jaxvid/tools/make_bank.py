"""Make the feature banks of a data set, for the training of a model that needs them.

    python -m jaxvid.tools.make_bank --config lfb_ava21 --checkpoint slowonly_r50_4x16_ava21

A detector computes the features of all proposals of the key frames. The features of a split are
written to the folder that its option `bank` names (`data/annotations/feature_bank.py`). Training
with the same config reads them, and the checkpoints record the detector. A bank that has become
stale because the annotations or the proposals have changed is an error in training, and this
command makes it again.
"""

import argparse
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from jaxvid import cli, files
from jaxvid.data import sources
from jaxvid.data.annotations import feature_bank, lists
from jaxvid.data.annotations.key_frames import KeyFrames
from jaxvid.data.dataset import read_class_names
from jaxvid.data.loading import loader
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError
from jaxvid.inference.feature_bank import BoxFeatures
from jaxvid.inference.model import load
from jaxvid.train.evaluate import batch_size


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.make_bank", __doc__, with_config=True)
    add = parser.add_argument
    add("--checkpoint", required=True, help="detector: a workdir, a file or a name of the zoo")
    add("--splits", default="train,val", help="splits, separated by commas (%(default)s)")
    add("--least", type=float, default=0.9, help="minimum score of a box (%(default)s)")
    args, changes = parser.parse_known_args(argv)
    return cli.guard(lambda: make(cli.config(args.config, changes), args))


def make(config: Any, args: argparse.Namespace):
    """Write the banks of all splits.

    Raises:
      UserError: A split has no option `bank`, the checkpoint is no detector without a bank, or a
        video cannot be read.
    """
    root = os.path.expanduser(config.data.root)
    canvas = config.data.recipe.get("canvas", ())
    model = load(args.checkpoint, "val", recipe={"canvas": canvas})
    compute = BoxFeatures(model)
    # A name of the zoo is stored as it is, and a local path as an absolute path.
    local = Path(args.checkpoint)
    backbone = str(local.resolve()) if local.exists() else args.checkpoint
    for split in args.splits.split(","):
        spec = dict(config.data.get(split) or {})
        if not spec.get("bank"):
            raise UserError(f"config.data.{split}.bank is missing: the folder of the bank to write")
        folder = Path(root, lists.of_split(spec["bank"], split))
        files.probe(folder)
        changes = dict(bank="", least=args.least, proposals=spec.get("proposals") or "true")
        names = read_class_names(root, config.data.names) if config.data.get("names") else ()
        known: dict[str, Any] = dict(root=root, names=names, num_classes=config.data.num_classes)
        source: Any = sources.read(spec | changes, split, **known)
        rows = features(compute, source, config)
        first = next(rows)
        made = dict(backbone=backbone, weights=model.identity, channels=first.shape[1])
        feature_bank.write(
            folder,
            itertools.chain([first], rows),
            source.videos,
            source.video,
            source.time,
            source.proposals.ends,
            made | dict(least=args.least),
            source.made_from,
        )
        count = int(source.proposals.ends[-1])
        print(f"{folder}: {count:,} people in {len(source):,} key frames of {split}")


def features(compute: BoxFeatures, source: KeyFrames, config: Any) -> Iterator[np.ndarray]:
    """Yield the features of the proposals of each key frame, (boxes, channels)."""
    model, options = compute.model, config.loader
    batches = loader.eval_batches(
        source,
        model.pipeline,
        batch=batch_size(config, model.mesh),
        workers=options.workers,
        on_error=options.eval_on_error,
    )
    counts = np.diff(source.proposals.ends, prepend=0)
    ready = loader.Prefetch(batches, lambda batch: (batch["mask"], _put(model.mesh, batch)))
    done = 0
    with closing(ready):
        for mask, batch in track(ready, "features", len(source), transient=True):
            for own, real in zip(compute(batch), mask, strict=True):
                if done < len(source):
                    yield own[: counts[done]] * real
                done += 1


def _put(mesh, batch):
    return meshes.put_batch(mesh, batch)


if __name__ == "__main__":
    sys.exit(main())
