"""Search a folder of videos by text.

    python -m jaxvid.tools.retrieve "a dog catches a ball" DIR --checkpoint MODEL [--topk 5]

The command prints the videos of DIR with their cosine similarity, the most similar first. The
features of the videos are stored in the cache of jaxvid, or in the file --index. Only new or
changed videos are read again. X-CLIP, whose texts see the videos, reads all of them each time.
Videos that cannot be read are reported, and the exit code is 1.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track

from jaxvid import cli, files, provenance
from jaxvid.data.video.decode import VideoError
from jaxvid.data.video.video_files import numpy_reason
from jaxvid.errors import UserError
from jaxvid.inference.model import Model, load
from jaxvid.tools import jobs


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.retrieve", __doc__)
    add = parser.add_argument
    add("query", help="description of the videos to search")
    add("videos", type=Path, help="a folder, or one video")
    add("--checkpoint", required=True, help="workdir, file or name of the zoo")
    add("--topk", type=int, default=5, help="number of videos to print (%(default)s)")
    add("--index", type=Path, help="file of the features of the videos (in the cache)")
    args = parser.parse_args(argv)
    return cli.guard(lambda: retrieve(args))


def retrieve(args: argparse.Namespace):
    """Print the most similar videos.

    Raises:
      UserError: the model does not support texts, or some videos cannot be read.
    """
    model = load(args.checkpoint)
    if not args.query.strip():
        raise UserError("the query is empty")
    (query,) = model.texts(captions=(args.query,))
    videos, bad = jobs.videos_below(args.videos), []
    if model.texts_see_videos:
        score, found = compared(model, query, videos, bad)
    else:
        file = args.index or default_index(args.videos, model.identity)
        files.probe(file.parent)
        feature, found = index(model, videos, file, bad)
        score = feature @ query if found else np.zeros(0)
    for i in np.argsort(-score, kind="stable")[: args.topk]:
        print(f"{score[i]:.3f}  {found[i]}")
    if bad:
        raise UserError("\n  ".join([f"{len(bad)} videos cannot be read:", *bad]))


def compared(
    model: Model, query: np.ndarray, videos: Sequence[Path], bad: list[str]
) -> tuple[np.ndarray, list[str]]:
    """Return the cosines (n,) of a text that sees the videos, and the paths of readable videos.

    Args:
      query: features of the text, as `Model.texts` returns them.
      bad: list to which the errors of the other videos are added.
    """
    score, found = [], []
    for path in track(videos, "videos", transient=True, console=Console(stderr=True)):
        try:
            batch = model.batch(path)
        except VideoError as error:
            bad.append(str(error))
            continue
        preds = model.step(model.variables, batch | {"text": jnp.asarray(query)[None, None]})
        score.append(float(preds["cosine"][0, 0]))
        found.append(str(path))
    return np.array(score), found


def index(
    model: Model, videos: Sequence[Path], file: Path, bad: list[str]
) -> tuple[np.ndarray, list[str]]:
    """Return the features (n, f) of the readable videos, and their paths. Store them in `file`.

    Args:
      bad: list to which the errors of the other videos are added.
    """
    stamps = {str(path): _stamp(path) for path in videos}
    known = _read(file, model)
    kept = {key: known[key] for key, stamp in stamps.items() if known.get(key, ("",))[0] == stamp}
    new = [path for path in stamps if path not in kept]
    for path in track(new, "videos", transient=True, console=Console(stderr=True)):
        try:
            batch = model.batch(path)
        except VideoError as error:
            bad.append(str(error))
            continue
        preds = model.step(model.variables, batch)
        kept[path] = stamps[path], np.asarray(preds["video"][0])
    paths = [path for path in stamps if path in kept]
    if not paths:
        return np.zeros((0, 0), np.float32), []
    feature = np.stack([kept[path][1] for path in paths])
    if new or kept.keys() != known.keys():
        stamped = [kept[path][0] for path in paths]
        with files.explained(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            with files.replacing(file) as part, part.open("wb") as out:
                np.savez(
                    out,
                    paths=paths,
                    stamps=stamped,
                    feature=feature,
                    model=model.identity,
                    source=str(model.source),
                )
    return feature, paths


def default_index(videos: Path, model: str) -> Path:
    """Return the file in the cache for a folder and a model, which is given by its identity."""
    name = hashlib.sha256(json.dumps([str(videos.resolve()), model]).encode()).hexdigest()
    return files.cache_root() / "retrieve" / f"{name[:16]}.npz"


def _stamp(path: Path) -> str:
    about = provenance.describe(path)
    return f"{about['size']} {about['modified']}"


def _read(file: Path, model: Model) -> dict[str, tuple[str, np.ndarray]]:
    """Return {path: (stamp, features)} from an index, which must be of the same weights."""
    if not file.exists():
        return {}
    try:
        with np.load(file) as stored:
            if str(stored["model"]) != model.identity:
                old = stored.get("source", "an older jaxvid")
                raise UserError(
                    f"{file}: an index of other weights ({stored['model']} of {old}), not of"
                    f" {model.identity} of {model.source}; delete it, or name another --index"
                )
            rows = zip(stored["stamps"].tolist(), stored["feature"], strict=True)
            return dict(zip(stored["paths"].tolist(), rows, strict=True))
    except (ValueError, KeyError, OSError) as error:
        raise UserError(
            f"{file}: this is not an index of videos ({numpy_reason(error)}); delete it"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
