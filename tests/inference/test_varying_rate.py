"""What models say of a video whose rate varies lies at the times of the video, in and out."""

from types import SimpleNamespace

import numpy as np
import pytest

from jaxvid.data.transforms.sampling import SampleClips
from jaxvid.data.transforms.video import Decode, Open
from jaxvid.data.video.decode import VideoReader
from jaxvid.data.video.encode import write_video
from jaxvid.distributed import mesh
from jaxvid.inference import detect
from jaxvid.inference import draw as drawing
from jaxvid.inference.features import Extractor
from tests.data import video_files as make

# A picture a second for 8 seconds, then 25 a second for 2, then one that stays for 5.
EDGES = np.array([*range(8), *(8 + k / 25 for k in range(50)), 15.0])


def on_screen(second: float) -> int:
    return int(np.flatnonzero(EDGES[:-1] <= second + 2e-3)[-1])


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("rate") / "v.mp4"
    write_video(path, map(make.picture, range(58)), 57 / EDGES[-2], times=EDGES, crf=12)
    return path


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_an_annotated_video_keeps_the_times_of_its_source(video, tmp_path, ending):
    path, asked = tmp_path / f"out.{ending}", []

    class Watched:
        """A result that writes down which frames it is drawn on."""

    @drawing.on_frame.register
    def _(_: Watched, frame, time):
        asked.append((make.number(frame), time))
        return frame

    drawing.write(video, Watched(), path)
    assert [number for number, _ in asked] == list(range(58))
    np.testing.assert_allclose([time for _, time in asked], EDGES[:-1], atol=1e-4)
    with VideoReader(path) as out:
        np.testing.assert_allclose(out.edges, EDGES, atol=1e-3)
        assert make.numbers(out[:]) == list(range(58))


def test_a_detector_sees_what_is_on_screen(video):
    seen = []

    def detector(frame):
        seen.append(make.number(frame))
        return [[0, 0, 10, 10]]

    times = [time for time, _ in detect.run(detector, video, every=2.0)]
    assert times == [1, 3, 5, 7, 9, 11, 13]
    assert seen == [on_screen(time) for time in times]
    with VideoReader(video) as reader:
        assert len(detect.moments(reader, 1e-3)) == round(15 * reader.fps)  # no more than frames
        assert detect.moments(reader, 99.0) == [pytest.approx(EDGES[-2])]


def test_rows_of_features_are_evenly_spaced_in_time(tmp_path):
    """A stand-in for a backbone, whose feature is the brightness of the middle frame."""
    path = tmp_path / "v.mp4"
    levels = [np.full((32, 32, 3), 20 + 3 * k, np.uint8) for k in range(58)]
    write_video(path, levels, 57 / EDGES[-2], times=EDGES, crf=1)
    model = SimpleNamespace(
        pipeline=[Open(), SampleClips(1, 1), Decode()],
        mesh=mesh.build(data=-1, model=1),
        variables={},
        source="a test",
        maps=lambda _, batch: batch["video"][:, 0],
    )
    for fps, every in ((0.0, 4), (8.0, 4), (10.0, 5)):
        feature, rate = Extractor(model, 1, 1, every, fps, rows=8)({"path": str(path)})
        assert rate == pytest.approx(fps or 57 / EDGES[-2])
        assert len(feature) * every / rate == pytest.approx(15, abs=every / rate)
        seconds = (np.arange(len(feature)) * every + every // 2) / rate
        want = [20 + 3 * on_screen(second) for second in seconds]
        np.testing.assert_allclose(feature.mean(1), want, atol=2)
