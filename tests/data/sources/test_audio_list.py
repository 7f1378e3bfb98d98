"""Lists of sounds in MMAction2's layout, and sounds in class folders."""

import numpy as np
import pytest

from jaxvid.data import source_checks
from jaxvid.data.recipes import audio
from jaxvid.data.sources import audio_list, user_clips
from jaxvid.data.transforms.audio import Load
from jaxvid.errors import UserError
from tests.conftest import logs
from tests.data import sounds


def write(root, text, *names):
    (root / "train.txt").write_text(text)
    for name in names:
        np.save(root / name, np.ones((9, 80), np.float32))
    return dict(root=str(root), file="{split}.txt", suffix=".npy")


def test_a_line_is_a_path_the_frames_of_its_video_and_a_label(tmp_path):
    given = write(tmp_path, "a 163 1\nb.wav 122 0\n# none\n")
    source = audio_list.build("train", **given)
    assert source[0] == {"path": str(tmp_path / "a.npy"), "label": 1, "total": 163}
    assert source[1] == {"path": str(tmp_path / "b.wav"), "label": 0, "total": 122}
    assert source.where(1) == f"{tmp_path / 'train.txt'}:2"


@pytest.mark.parametrize(
    "line,message",
    [
        ("a 163", 'expected "path frames label"'),
        ("a 0 1", '"0" is not a number of frames'),
        ("a x 1", '"x" is not a number of frames'),
        ("a 163 1 2", "several labels need"),
        ("", "the list is empty"),
    ],
)
def test_a_wrong_line_is_named(line, message, tmp_path):
    with pytest.raises(UserError, match=rf"train\.txt(:1)?: .*{message}"):
        audio_list.build("train", **write(tmp_path, line))


def test_missing_files_are_errors_or_count_as_silence(tmp_path):
    given = write(tmp_path, "a 163 1\nb 122 0\nc 9 0\n", "a.npy")
    source = audio_list.build("train", **given)
    problems = list(source_checks.check_missing({"train": source}, 2, ()))
    assert [p.split(": ")[0] for p in problems] == [f"{tmp_path}/train.txt:{n}" for n in (2, 3)]
    with logs("2 of 3 sounds are missing and count as silence, such as .*b.npy"):
        source = audio_list.build("train", **given, missing="silence")
    assert not list(source_checks.check_missing({"train": source}, 2, ()))
    assert source.total.tolist() == [163, 122, 9]
    for settings in ({}, {"bins": 40, "hop": 160}):  # silence has the size of the recipe's features
        transforms = audio.build("val", rows=16, **settings)
        rng, sample = np.random.default_rng(0), source[1]
        for transform in transforms:
            sample = transform(sample, rng)
        assert sample["audio"].shape == (1, 16, settings.get("bins", 80), 1)
        assert not sample["audio"].any()
    assert Load()(source[0], rng)["audio"].all()
    with pytest.raises(UserError, match=r"none of its files exists, such as .*a\.npy"):
        (tmp_path / "a.npy").unlink()
        audio_list.build("train", **given, missing="silence")


def test_class_folders_may_hold_sounds(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for k in range(5):
            sounds.write_pcm(tmp_path / name / f"{k}.WAV", sounds.sine(0.01))
        np.save(tmp_path / name / "features.npy", np.zeros((9, 80)))
        (tmp_path / name / "clip.mp4").touch()
        (tmp_path / name / "photo.jpg").touch()
    with logs(r"left out 2 files without the ending of a video or a sound: \.jpg \(2\)"):
        splits = [user_clips.build(s, root=str(tmp_path), sounds=True) for s in ("train", "val")]
    assert list(map(len, splits)) == [12, 2]
    with logs(r"\.wav \(10\)"):
        assert len(user_clips.build("train", root=str(tmp_path), train_share=1.0)) == 2
