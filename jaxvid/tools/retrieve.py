"""Search a folder of videos by text.

    python -m jaxvid.tools.retrieve "a dog catches a ball" DIR --checkpoint MODEL [--topk 5]

The command prints the videos of DIR with their cosine similarity, the most similar first. The
features of the videos are stored in the cache of jaxvid, or in the folder --index, which several
folders of videos can share. Each video is stored as soon as it has been read, so an interrupted
command continues where it was. Only new or changed videos are read again. X-CLIP, whose texts see
the videos, reads all of them each time. Videos that cannot be read are reported, and the exit code
is 1.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track

from jaxvid import cli, files, provenance
from jaxvid.data.video.decode import VideoError
from jaxvid.errors import UserError
from jaxvid.inference.model import Model, load
from jaxvid.inference.video_index import Video, VideoIndex
from jaxvid.tools import jobs


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.retrieve", __doc__)
    add = parser.add_argument
    add("query", help="description of the videos to search")
    add("videos", type=Path, help="a folder, or one video")
    add("--checkpoint", required=True, help="workdir, file or name of the zoo")
    add("--topk", type=int, default=5, help="number of videos to print (%(default)s)")
    add("--index", type=Path, help="folder of the features of the videos (in the cache)")
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
        folder = args.index or default_index(args.videos, model.identity)
        index = VideoIndex(folder, model.identity, str(model.source))
        if new := index.missing(videos):
            index.extend(features(model, new, bad))
        unread = set(index.missing(new))  # also videos that could be read before they changed
        found, score = index.search(query, [path for path in videos if path not in unread])
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


def features(model: Model, videos: Sequence[Path], bad: list[str]) -> Iterator[Video]:
    """Yield the features of the readable videos.

    Args:
      bad: list to which the errors of the other videos are added.
    """
    for path in track(videos, "videos", transient=True, console=Console(stderr=True)):
        about = provenance.describe(path)
        try:
            batch = model.batch(path)
        except VideoError as error:
            bad.append(str(error))
            continue
        preds = model.step(model.variables, batch)
        yield Video(path, about, np.asarray(preds["video"][0]))


def default_index(videos: Path, model: str) -> Path:
    """Return the folder in the cache for a folder of videos and the identity of a model."""
    name = hashlib.sha256(json.dumps([str(videos.resolve()), model]).encode()).hexdigest()
    return files.cache_root() / "retrieve" / name[:16]


if __name__ == "__main__":
    sys.exit(main())
