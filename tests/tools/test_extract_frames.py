"""Frames and flow written as images read back as what the video shows."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from jaxvid.data.sources import frame_folders
from jaxvid.data.video.decode import VideoError, VideoReader
from jaxvid.data.video.encode import write_video
from jaxvid.data.video.readers import FrameFolder
from jaxvid.errors import UserError
from jaxvid.tools import extract_frames
from jaxvid.tools.extract_frames import Job, Settings
from tests.data import video_files as make

FLOW = extract_frames.TEMPLATES["flow"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    (folder / "sub").mkdir()
    make.encode(folder / "a.mp4", frames=12, **make.B_FRAMES)
    make.encode(folder / "sub" / "b c.avi", codec="mpeg4", frames=7)
    (folder / "zero.mp4").touch()
    return folder


def extract(source: Path, target: Path, **settings) -> tuple[int, bool]:
    return extract_frames.extract(Job(source, target, Settings(**settings)))


def test_a_folder_is_extracted_and_goes_on(videos, tmp_path, capsys):
    target = tmp_path / "frames"
    (tmp_path / "train.csv").write_text("path,label\na.mp4,run\nzero.mp4,run\nsub/b c.avi,sit\n")
    arguments = [
        str(videos),
        str(target),
        "--template",
        "{:03}.png",
        "--workers",
        "2",
        "--list",
        str(tmp_path / "train.csv"),
    ]
    assert extract_frames.main(arguments) == 1  # one failed
    printed = capsys.readouterr().err.splitlines()
    assert printed == [
        f"failed: {videos}/zero.mp4: zero-byte file",
        f"{target}: wrote rgb of 2 videos; 0 were there, 1 failed",
        f"{tmp_path}/train.csv:3: nothing was extracted from zero.mp4",
        f"{target}/train_rgb.csv: 2 folders",
    ]
    for name in ("a.mp4", "sub/b c.avi"):
        with VideoReader(videos / name) as video:
            folder = FrameFolder((target / name).with_suffix(""), "{:03}.png")
            np.testing.assert_array_equal(folder[:], video[:])
    listed = frame_folders.build(
        "train", root=str(target), file="train_rgb.csv", template="{:03}.png"
    )
    assert [listed[i]["total"] for i in range(2)] == [12, 7]
    assert listed.names == ("run", "sit") and listed[1]["path"] == f"{target}/sub/b c"

    first = target / "a" / "001.png"
    modified = os.stat(first).st_mtime_ns
    (target / "sub" / "b c" / "007.png").unlink()  # killed before the last one was in place
    assert extract_frames.main(arguments) == 1
    assert "wrote rgb of 1 videos; 1 were there, 1 failed" in capsys.readouterr().err
    assert os.stat(first).st_mtime_ns == modified
    assert FrameFolder(target / "sub" / "b c", "{:03}.png").frames == 7
    assert not list(target.rglob("*.part"))
    assert extract_frames.main([*arguments, "--fps", "5"]) == 1
    assert (
        "rgb.json: other settings; write to another folder:\n  fps: 0.0 there, 5.0 now"
        in capsys.readouterr().err
    )
    arguments = [str(videos), str(tmp_path / "other"), "--list", str(tmp_path / "none.txt")]
    assert extract_frames.main(arguments) == 1
    assert "none.txt: no such list of videos" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()  # nothing was begun


def test_a_replaced_video_is_extracted_again(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    source, target = make.encode(tmp_path / "in" / "a.mp4", frames=9), tmp_path / "frames"
    run = [str(source.parent), str(target), "--workers", "1"]
    for kind in ("rgb", "flow"):
        assert extract_frames.main([*run, "--kind", kind]) == 0
    before = (target / "a" / "img_00001.jpg").read_bytes()
    make.encode(source, frames=4, first=50)
    assert extract_frames.main(run) == 0
    assert "wrote rgb of 1 videos" in capsys.readouterr().err
    assert FrameFolder(target / "a", "img_{:05}.jpg").frames == 4  # none of the longer one is left
    assert (target / "a" / "img_00001.jpg").read_bytes() != before
    assert FrameFolder(target / "a", FLOW).frames == 8  # another kind, which is stale still
    assert extract_frames.main([*run, "--kind", "flow"]) == 0
    assert FrameFolder(target / "a", FLOW).frames == 3
    capsys.readouterr()
    assert extract_frames.main(run) == 0
    assert "wrote rgb of 0 videos; 1 were there" in capsys.readouterr().err


def test_settings_of_frames(videos, tmp_path):
    with VideoReader(videos / "a.mp4", short_side=40) as video:
        assert extract(videos / "a.mp4", tmp_path / "a", short_side=40, fps=10, first=0) == (
            4,
            True,
        )
        folder = FrameFolder(tmp_path / "a", "img_{:05}.jpg", first=0)
        assert folder.frames == 4
        shown = [0, 3, 6, 9]
        assert np.abs(folder[:].astype(int) - video[shown]).mean() < 6
    size = os.stat(tmp_path / "a" / "img_00001.jpg").st_size
    extract(videos / "a.mp4", tmp_path / "b", short_side=40, quality=10)
    assert os.stat(tmp_path / "b" / "img_00001.jpg").st_size < size / 2


def moving(shift: tuple[int, int], frames: int = 4) -> np.ndarray:
    """Pictures of a texture that moves by `shift` = (x, y) pixels a frame."""
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    texture = cv2.GaussianBlur(noise, (0, 0), 3)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    x, y = shift
    corners = [(40 - k * x, 40 - k * y) for k in range(frames)]
    return np.stack([texture[top : top + 80, left : left + 80] for left, top in corners])


@pytest.mark.parametrize("shift", [(3, 0), (0, -2), (-4, 1)])
def test_flow_says_how_far_things_move(tmp_path, shift):
    source = tmp_path / "a.mp4"
    write_video(source, moving(shift), 10, crf=5)
    assert extract(source, tmp_path / "a", kind="flow", template=FLOW, bound=10) == (3, True)
    flow = FrameFolder(tmp_path / "a", FLOW)
    assert flow.frames == 3
    found = flow[:][:, 20:-20, 20:-20].astype(float) / 255 * 20 - 10
    np.testing.assert_allclose(np.median(found, (0, 1, 2)), shift, atol=0.4)


def test_flow_lies_beside_frames(videos, tmp_path):
    for kind, template in extract_frames.TEMPLATES.items():
        extract(videos / "a.mp4", tmp_path / "a", kind=kind, template=template)
    assert FrameFolder(tmp_path / "a", "img_{:05}.jpg").frames == 12
    assert FrameFolder(tmp_path / "a", FLOW).frames == 11
    assert len(list((tmp_path / "a").iterdir())) == 12 + 2 * 11
    assert extract(videos / "a.mp4", tmp_path / "a", kind="flow", template=FLOW) == (11, False)


def test_quantized_flow():
    """As DenseFlow writes it: cvRound(255 (v + bound) / (2 bound)), which rounds halves to even."""
    flow = np.array([0, -20, 20, -30, 50, 10, 0.1])
    assert extract_frames.quantize(flow, 20).tolist() == [128, 0, 255, 0, 255, 191, 128]


def test_no_flow(videos, tmp_path, monkeypatch, capsys):
    make.encode(tmp_path / "one.mp4", frames=1)
    with pytest.raises(VideoError, match="it has one frame, and so no flow"):
        extract(tmp_path / "one.mp4", tmp_path / "one", kind="flow", template=FLOW)
    monkeypatch.delattr(cv2, "optflow", raising=False)
    arguments = [str(videos), str(tmp_path / "x"), "--kind", "flow", "--method", "tvl1"]
    assert extract_frames.main(arguments) == 1
    assert "pip install opencv-contrib-python-headless" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_tvl1_where_opencv_has_it(monkeypatch):
    class Optflow:
        createOptFlow_DualTVL1 = staticmethod(lambda: "tvl1")

    monkeypatch.setattr(cv2, "optflow", Optflow, raising=False)
    assert extract_frames.make_flow("tvl1") == "tvl1"


def test_mistakes(videos, tmp_path, capsys):
    with pytest.raises(UserError, match=r'"img\.jpg" is no template'):
        extract_frames.run(videos, tmp_path / "x", Settings(template="img.jpg"))
    both = tmp_path / "both"
    both.mkdir()
    for name in ("a.mp4", "a.avi"):
        shutil.copy(videos / "a.mp4", both / name)
    assert extract_frames.main([str(both), str(tmp_path / "x")]) == 1
    assert f"would both be written to {tmp_path}/x/a" in capsys.readouterr().err
    with pytest.raises(VideoError, match=r"00001\.xyz: OpenCV cannot write this image"):
        extract(videos / "a.mp4", tmp_path / "a", template="{:05}.xyz")
    assert not (tmp_path / "a").exists()
