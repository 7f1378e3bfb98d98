"""Which videos of a folder are extracted where several have the same name."""

import logging

import pytest

from jaxvid import provenance
from jaxvid.errors import UserError
from jaxvid.tools import extraction
from tests.data import sounds, video_files


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a file of each kind under the name "a", and a damaged "b"."""
    video_files.encode(tmp_path / "a.mp4", 3)
    sounds.write_pcm(tmp_path / "a.wav", sounds.sine(0.1))
    sounds.video_with_sound(tmp_path / "a.mkv", sounds.sine(0.1), frames=3)
    (tmp_path / "b.mp4").touch()
    (tmp_path / "b.webm").touch()
    return tmp_path


def kept(folder, stream, *names):
    videos = [folder / name for name in names]
    left = extraction.with_stream(videos, stream, lambda path: path.with_suffix(".npy"))
    return [path.name for path in left]


def test_a_file_without_the_stream_makes_room_for_one_that_has_it(folder, caplog):
    with caplog.at_level(logging.INFO):
        assert kept(folder, "audio", "a.mp4", "a.wav") == ["a.wav"]
        assert kept(folder, "video", "a.mp4", "a.wav") == ["a.mp4"]
    assert caplog.messages == [
        f"left out: {folder}/a.mp4 has no audio, a.wav is used instead",
        f"left out: {folder}/a.wav has no video, a.mp4 is used instead",
    ]
    assert kept(folder, "audio", "a.mp4", "a.mkv", "b.mp4") == ["a.mkv", "b.mp4"]
    assert kept(folder, "audio", "a.mp4", "b.mp4", "b.webm") == [
        "a.mp4",
        "b.mp4",
    ]  # which will be reported


@pytest.mark.parametrize(
    "stream,names",
    [("audio", ["a.wav", "a.mkv"]), ("video", ["a.mp4", "a.mkv"])],
)
def test_files_that_are_equally_good_are_an_error(folder, stream, names):
    assert kept(folder, stream, *names) == names
    with pytest.raises(UserError, match="would both be written to"):
        provenance.outputs(
            folder,
            folder / "new",
            [folder / n for n in names],
            lambda path: path.with_suffix(".npy"),
        )
