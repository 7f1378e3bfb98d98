"""The index of videos: it stays on the disk, continues after a stop, and refuses other weights."""

import numpy as np
import pytest

from jaxvid import provenance
from jaxvid.errors import UserError
from jaxvid.inference import video_index
from jaxvid.inference.video_index import Video, VideoIndex

FEATURES = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
QUERY = np.array([0.5, -1.0, 2.0], np.float32)


@pytest.fixture
def videos(tmp_path):
    paths = [tmp_path / f"{i}.mp4" for i in range(5)]
    for i, path in enumerate(paths):
        path.write_bytes(b"x" * (i + 1))
    return paths


def rows(paths, features=FEATURES):
    for path, feature in zip(paths, features, strict=False):
        yield Video(path, provenance.describe(path), feature)


def open_index(tmp_path, weights="abc"):
    return VideoIndex(tmp_path / "index", weights, "runs/clip")


def test_a_new_process_reads_what_was_stored(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(video_index, "BLOCK", 2)
    open_index(tmp_path).extend(rows(videos))
    index = open_index(tmp_path)
    assert index.missing(videos) == []
    found, score = index.search(QUERY, videos[::-1])
    assert found == videos[::-1]
    np.testing.assert_allclose(score, (FEATURES @ QUERY)[::-1], rtol=1e-6)
    assert open_index(tmp_path / "elsewhere").search(QUERY, videos)[0] == []


def test_an_interrupted_run_continues(videos, tmp_path):
    def stopped():
        yield from rows(videos[:3])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_index(tmp_path).extend(stopped())
    index = open_index(tmp_path)
    assert index.missing(videos) == videos[3:]
    index.extend(rows(videos[3:], FEATURES[3:]))
    np.testing.assert_allclose(open_index(tmp_path).search(QUERY, videos)[1], FEATURES @ QUERY)


@pytest.mark.parametrize("file", [video_index.FEATURES, video_index.VIDEOS])
def test_what_was_written_in_part_is_written_again(videos, tmp_path, file):
    open_index(tmp_path).extend(rows(videos))
    path = tmp_path / "index" / file
    path.write_bytes(path.read_bytes()[:-3])
    index = open_index(tmp_path)
    assert index.missing(videos) == videos[4:]
    index.extend(rows(videos[4:], FEATURES[4:]))
    np.testing.assert_allclose(open_index(tmp_path).search(QUERY, videos)[1], FEATURES @ QUERY)


def test_a_video_that_changes_is_read_again(videos, tmp_path):
    index = open_index(tmp_path)
    index.extend(rows(videos))
    videos[1].write_bytes(b"another")
    assert index.missing(videos) == [videos[1]]
    index.extend(rows(videos[1:2], FEATURES[4:]))
    want = (FEATURES @ QUERY)[[0, 4, 2, 3, 4]]
    np.testing.assert_allclose(open_index(tmp_path).search(QUERY, videos)[1], want)


def test_other_weights_and_other_files_are_refused(videos, tmp_path):
    open_index(tmp_path).extend(rows(videos))
    with pytest.raises(UserError, match=r"index: an index of other weights \(abc of runs/clip\)"):
        open_index(tmp_path, "def")
    path = tmp_path / "index" / video_index.VIDEOS
    path.write_text("nothing\n" + path.read_text())
    with pytest.raises(UserError, match=r"videos\.jsonl:1: not a line of an index; delete .*index"):
        open_index(tmp_path)
