"""A manifest tells every source of video files what is known without opening them."""

import numpy as np
import pytest

from jaxvid.data.annotations import manifests
from jaxvid.data.sources import class_folders, user_clips, video_list
from jaxvid.data.transforms.video import Open
from jaxvid.data.video.decode import VideoError

FILES = ("jump/a.mp4", "jump/b.mp4", "run/c.mp4", "run/d.mp4")


@pytest.fixture
def root(tmp_path):
    """Four clips, of which one is bad and one was never scanned."""
    for file in FILES:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    (tmp_path / "train.txt").write_text("".join(f"{f} {i // 2}\n" for i, f in enumerate(FILES)))
    known = [
        manifests.Row("jump/a.mp4", "ok", frames=30),
        manifests.Row("jump/b.mp4", "bad", reason="truncated"),
        manifests.Row("run/c.mp4", "ok", frames=12),
    ]
    manifests.write(tmp_path / "manifest.jsonl", known)
    return tmp_path


def listed(root, **options):
    return video_list.build("train", root=str(root), file="train.txt", **options)


def in_folders(root, **options):
    return class_folders.build("train", root=str(root), **options)


def clips(root, **options):
    (root / "train.txt").unlink()
    return user_clips.build("train", root=str(root), train_share=1.0, **options)


def clips_of_a_list(root, **options):
    return user_clips.build("train", root=str(root), **options)


@pytest.mark.parametrize("build", [listed, in_folders, clips, clips_of_a_list])
def test_what_is_known_of_each_video(build, root):
    source = build(root, manifest="manifest.jsonl")
    rows = {source[i]["path"].removeprefix(f"{root}/"): source[i] for i in range(len(source))}
    assert {file: row.get("total") for file, row in rows.items()} == dict(
        zip(FILES, (30, None, 12, None), strict=True)
    )
    assert [file for file, row in rows.items() if "problem" in row] == ["jump/b.mp4"]
    with pytest.raises(VideoError, match=r"jump/b\.mp4: truncated \(says manifest\.jsonl\)"):
        Open()(rows["jump/b.mp4"], np.random.default_rng(0))


@pytest.mark.parametrize("build", [listed, in_folders, clips, clips_of_a_list])
def test_without_one_nothing_is_known(build, root):
    source = build(root)
    assert all(source[i].keys() == {"path", "label"} for i in range(len(source)))
