"""Random access must equal sequential decoding bit for bit, on every kind of file we can make."""

import gc
import os
import pickle
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from jaxvid.data.video.decode import VideoError, VideoReader
from jaxvid.data.video.encode import write_video
from jaxvid.data.video.packets import Demuxed, Direct
from jaxvid.errors import UserError
from tests.data import video_files as make


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def video(folder):
    """A function from a name in the tables above to a file, made once."""

    def get(name: str) -> Path:
        path = folder / name
        if path.exists():
            return path
        if name in make.MADE:
            source, how = make.MADE[name]
            how(get(source), path)
            return path
        if make.ENCODED[name].get("codec", "libx264") not in av.codecs_available:
            pytest.skip(f"PyAV was built without the encoder of {name}")
        return make.encode(path, **make.ENCODED[name])

    return get


@pytest.fixture(params=["index kept", "no index"])
def path_of(request, video, tmp_path, monkeypatch):
    """`video`, for files whose index is kept or cannot be."""
    if request.param == "no index":
        (tmp_path / "file").touch()
        monkeypatch.setenv("JAXVID_CACHE", str(tmp_path / "file"))
        return video

    def opened(name: str) -> Path:
        with VideoReader(video(name)):
            return video(name)

    return opened


@pytest.mark.parametrize("name", [*make.ENCODED, *make.MADE])
def test_any_order_equals_sequential(path_of, name):
    path = path_of(name)
    expected = make.sequential(path)
    n, rng = len(expected), np.random.default_rng(0)
    with VideoReader(path) as reader:
        assert (reader.frames, reader.height, reader.width) == expected.shape[:3]
        assert len(reader.times) == n and reader.times[0] == 0 and (np.diff(reader.times) > 0).all()
        requests = [
            np.arange(n)[::-1],
            [n - 1, 0, n - 1],
            np.arange(n)[5:20],
            np.arange(n)[20:36:2],  # goes on from there
            *(np.sort(rng.integers(0, n, 8)) for _ in range(4)),
            *(rng.integers(0, n, 8) for _ in range(4)),
            *([index] for index in rng.integers(0, n, 4)),
        ]
        for request in requests:
            np.testing.assert_array_equal(reader.read(request), expected[request])
    for index in (1, 2, 3, 4, 5, n // 2, n - 2):  # before anything is known of how the file behaves
        with VideoReader(path) as reader:
            np.testing.assert_array_equal(reader.read([index])[0], expected[index])
    if name in make.SHOWN or n == 60:
        assert make.numbers(expected) == list(make.SHOWN.get(name, range(60)))


def test_cut_between_keyframes_shows_what_decodes(video):
    """Where ffmpeg's copy starts differs by version; what matters is that no number is missing."""
    for name in ("edit_open.mp4", "edit_hevc.mp4"):
        with VideoReader(video(name)) as reader:
            stamps = make.numbers(reader.read(range(reader.frames)))
        assert stamps == list(range(stamps[0], 60)) and stamps[0] > 0


@pytest.mark.parametrize("name", ["long.mp4", "hevc.mp4", "vp9.webm", "av1.mp4", "mpeg4.avi"])
def test_more_threads_and_bytes_give_the_same(path_of, name):
    path = path_of(name)
    content = path.read_bytes()
    with (
        VideoReader(path) as one,
        VideoReader(content, threads=2) as two,
        VideoReader(path, threads=2) as three,
    ):
        for request in ([40, 3, 17], range(10, 30), [55, 56, 1]):
            np.testing.assert_array_equal(one.read(request), two.read(request))
            np.testing.assert_array_equal(one.read(request), three.read(request))
        assert two.path == f"<{len(content)} bytes>"


@pytest.fixture
def fed(monkeypatch):
    """A list that grows by every packet put into a decoder."""
    packets = []

    def watch(source):
        original = source.start

        def spy(self, *request):
            for item in original(self, *request):
                packets.append(item)
                yield item

        monkeypatch.setattr(source, "start", spy)

    watch(Demuxed)
    watch(Direct)
    return packets


@pytest.mark.parametrize(("name", "most"), [("b.mp4", 12), ("b.mkv", 12), ("no_b.mp4", 12)])
def test_seeking_decodes_one_group_of_pictures(path_of, fed, name, most):
    with VideoReader(path_of(name)) as reader:
        fed.clear()
        reader.read([59])
        assert 0 < len(fed) <= most


@pytest.mark.parametrize(("wanted", "most"), [([16], 5), ([4, 16, 40], 15), ([14], 4)])
def test_nothing_is_decoded_beyond_what_is_wanted(path_of, fed, wanted, most):
    """Packets of a group of 12 in b.mp4 show the frames 0 4 2 1 3 8 6 5 7 11 9 10."""
    with VideoReader(path_of("b.mp4")) as reader:
        fed.clear()
        assert make.numbers(reader.read(wanted)) == wanted
        assert len(fed) <= most


@pytest.mark.parametrize("step", [1, 2, 5])
@pytest.mark.parametrize("name", ["long.mp4", "mpeg4.avi"])
def test_reading_on_decodes_nothing_twice(path_of, fed, name, step):
    with VideoReader(path_of(name)) as reader:
        fed.clear()
        frames = list(reader.read_on(range(0, reader.frames, step)))
        assert make.numbers(frames) == list(range(0, reader.frames, step))
        assert len(fed) <= reader.frames + 1  # one flushes the decoder


@pytest.mark.parametrize("step", [1, 2, 5])
@pytest.mark.parametrize("name", ["long.mp4", "mpeg4.avi"])
def test_reads_in_a_row_decode_twice_only_what_the_first_one_has(path_of, fed, name, step):
    with VideoReader(path_of(name)) as reader:
        fed.clear()
        counts = []
        for start in range(0, reader.frames, 7):
            request = range(start, min(start + 7, reader.frames), step)
            assert make.numbers(reader.read(request)) == list(request)
            counts.append(len(fed))
        assert counts[0] <= 10 and counts[-1] <= reader.frames + 1 + counts[0]


def test_unwanted_b_frames_are_not_decoded(path_of, fed, monkeypatch):
    out, original = [], VideoReader._decode
    monkeypatch.setattr(
        VideoReader, "_decode", lambda self, k: (out.append(f) or f for f in original(self, k))
    )
    with VideoReader(path_of("long.mp4")) as reader:
        reader.read([3, 190])
    assert len(fed) > 190 and len(out) < 120  # two frames in four are there to be left out


def test_times_and_rates(video):
    with VideoReader(video("vfr.mp4")) as reader:
        np.testing.assert_allclose(reader.times, np.array(make.VFR) / 1000, atol=1e-4)
        assert reader.fps == pytest.approx(59 / (make.VFR[-1] / 1000), rel=1e-3)
        assert [reader.index_at(t) for t in reader.times] == list(range(60))
        assert reader.index_at(reader.times[20] - 0.01) == 19  # in the long gap before it
        assert (reader.index_at(-1), reader.index_at(100)) == (0, 59)
    for name in ("b.mp4", "b.mkv", "b.ts", "mpeg4.avi", "edit.mp4", "long_header.mp4"):
        with VideoReader(video(name)) as reader:
            assert reader.fps == 30
            np.testing.assert_allclose(reader.times, np.arange(reader.frames) / 30, atol=1e-3)


@pytest.mark.parametrize(
    "matrix",
    [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0)],
    ids=["right", "half", "left", "mirrored", "flipped", "transposed"],
)
def test_frames_come_out_upright(video, folder, matrix):
    """As the ffmpeg program shows them; on paper, pixel (x, y) goes to (a x + c y, b x + d y)."""
    path = make.with_matrix(video("b.mp4"), folder / f"turned{matrix}.mp4", *matrix)
    a, b, c, d = matrix
    stored = make.sequential(path)[7]
    y, x = np.mgrid[: stored.shape[0], : stored.shape[1]]
    to_x, to_y = a * x + c * y, b * x + d * y
    shown = np.empty((np.ptp(to_y) + 1, np.ptp(to_x) + 1, 3), np.uint8)
    shown[to_y - to_y.min(), to_x - to_x.min()] = stored
    with VideoReader(path) as reader:
        assert (reader.height, reader.width) == shown.shape[:2]
        np.testing.assert_array_equal(reader.read([7])[0], shown)
    raw = make.ffmpeg("-i", path, "-frames:v", "8", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    program = np.frombuffer(raw, np.uint8).reshape(8, *shown.shape)[7]
    # Chroma is upsampled before or after the turn: single levels differ, a wrong turn by dozens.
    assert np.abs(program.astype(int) - shown).mean() < 4


@pytest.mark.parametrize("order", [("b.ts", "small.ts"), ("small.ts", "b.ts")])
def test_frames_of_another_size_are_resized_to_the_first(video, folder, order):
    path = folder / f"change_{order[0]}"
    path.write_bytes(video(order[0]).read_bytes() + video(order[1]).read_bytes())
    expected = make.sequential(path)
    with VideoReader(path) as reader:
        np.testing.assert_array_equal(reader.read(range(120)), expected)
        np.testing.assert_array_equal(reader.read([119, 2]), expected[[119, 2]])


def test_odd_file_names(video, folder, monkeypatch):
    monkeypatch.chdir(folder)
    for name in ("a:b.mp4", "http:x.mp4", "%03d ?#é.mp4"):
        Path(name).write_bytes(video("b.mp4").read_bytes())
        with VideoReader(name) as reader:
            assert make.numbers(reader.read([3, 1])) == [3, 1]


def test_titles_in_other_encodings(video, folder):
    path = folder / "title.mkv"
    make.ffmpeg("-i", video("b.mkv"), "-c", "copy", "-metadata", "title=Titel_mit_Umlaut", path)
    path.write_bytes(path.read_bytes().replace(b"Titel_mit", b"Titel\xe4mit"))
    with VideoReader(path) as reader:
        assert reader.frames == 60


# Errors


def failure(source) -> str:
    with pytest.raises(VideoError) as caught, VideoReader(source) as reader:
        reader.read(range(reader.frames))
    assert isinstance(caught.value, UserError)
    path, reason = str(caught.value).split(": ", 1)
    assert path == (f"<{len(source)} bytes>" if isinstance(source, bytes) else str(source))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return reason


def test_files_that_are_no_videos(tmp_path):
    (tmp_path / "zero.mp4").write_bytes(b"")
    assert failure(tmp_path / "zero.mp4") == failure(b"") == "zero-byte file"
    (tmp_path / "text.mp4").write_text("not a video\n" * 40)
    (tmp_path / "text.txt").write_text("not a video\n" * 40)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    for name in ("text.mp4", "text.txt", "noise.mp4"):
        assert failure(tmp_path / name).startswith("not a video file")
    assert failure(tmp_path / "absent.mp4") == "no such file"
    assert failure(tmp_path) == "is a directory"
    assert failure(tmp_path / "text.mp4" / "x.mp4")  # a file where a folder should be


@pytest.mark.parametrize(("name", "codec"), [("tone.wav", "pcm_s16le"), ("tone.m4a", "aac")])
def test_sound_is_no_video(tmp_path, name, codec):
    assert failure(make.tone(tmp_path / name, codec)) == "no video stream (audio only)"


def test_truncated_mp4(video, tmp_path):
    assert "moov" in failure(make.cut(video("b.mp4"), tmp_path / "tail_gone.mp4", end=0.6))
    front = tmp_path / "front.mp4"
    make.ffmpeg("-i", video("b.mp4"), "-c", "copy", "-movflags", "faststart", front)
    path = make.cut(front, tmp_path / "data_gone.mp4", end=0.6)
    with av.open(str(path)) as container:
        whole = sum(p.size > 0 and not p.is_corrupt for p in container.demux(video=0))
    assert 20 < whole < 50
    assert failure(path) == f"truncated: {whole} of 60 frames decode"


@pytest.mark.parametrize("name", ["b.mp4", "open.mp4", "b.mkv", "vp9.webm", "av1.mp4"])
def test_damage_is_an_error_only_where_it_is(video, tmp_path, name):
    path = make.damage(video(name), tmp_path / name, packet=25)
    expected = make.sequential(video(name))
    with VideoReader(path) as reader:
        np.testing.assert_array_equal(reader.read([50, 3]), expected[[50, 3]])
        with pytest.raises(VideoError, match=r"damaged: \d\d of 60 frames decode"):
            reader.read(range(60))
        np.testing.assert_array_equal(reader.read([50, 2]), expected[[50, 2]])


@pytest.mark.parametrize("name", ["b.mp4", "no_b.mp4"])
def test_frames_are_not_decoded_across_a_lost_keyframe(path_of, video, tmp_path, name):
    path = make.damage(video(name), tmp_path / name, packet=24, spared=0)
    expected = make.sequential(video(name))
    for wanted in ([30], [26, 33], [10, 30]):
        with pytest.raises(VideoError, match="damaged"), VideoReader(path) as reader:
            reader.read(wanted)
    with VideoReader(path) as reader:
        np.testing.assert_array_equal(reader.read([3, 58]), expected[[3, 58]])


@pytest.mark.parametrize("threads", [1, 2])
def test_intra_refresh_needs_no_second_attempt(path_of, fed, threads):
    """The frames between the keyframes of refresh.mp4 are whole only if decoded from the first."""
    path = path_of("refresh.mp4")
    expected = make.sequential(path)
    counts = []
    for _ in range(2):
        with VideoReader(path, threads) as reader:
            fed.clear()
            np.testing.assert_array_equal(reader.read([50]), expected[[50]])
        counts.append(len(fed))
    is_kept = os.path.isdir(os.environ["JAXVID_CACHE"])
    assert counts[1] <= 52 if is_kept else counts[1] == counts[0] < 120


def test_damage_without_timestamps(video, tmp_path):
    path = make.damage(video("mpeg4.avi"), tmp_path / "a.avi", packet=24)
    expected = make.sequential(video("mpeg4.avi"))
    with VideoReader(path) as reader:
        np.testing.assert_array_equal(reader.read([20, 3]), expected[[20, 3]])
        with pytest.raises(VideoError, match=r"damaged: \d\d of 60 frames decode"):
            reader.read(range(60))


def test_indices_are_checked(video):
    with VideoReader(video("b.mp4")) as reader:
        for index in (60, -1):
            with pytest.raises(VideoError, match=f"no frame {index}, it has 60"):
                reader.read([0, index])
        with pytest.raises(TypeError):
            reader.read(np.array([1.5]))
        assert reader.read([]).shape == (0, *make.SIZE, 3)
    reader.close()
    with pytest.raises(VideoError, match="closed"):
        reader.read([0])


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_nothing_leaks(video, tmp_path, capfd):
    good, fallback = video("b.mp4"), video("mpeg4.avi")
    bad = make.cut(good, tmp_path / "bad.mp4", end=0.6)
    worse = make.damage(good, tmp_path / "worse.mp4", packet=25)
    sound = make.tone(tmp_path / "tone.wav", "pcm_s16le")

    def count() -> tuple[int, int]:
        gc.collect()  # readers of earlier tests that an exception still refers to
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    before = count()
    for k in range(500):
        with VideoReader((good, fallback)[k % 2]) as reader:
            if k % 50 == 0:
                reader.read([50, 3])
        for path in (bad, sound) + (worse,) * (k % 50 == 0):
            with pytest.raises(VideoError), VideoReader(path) as reader:
                reader.read(range(60))
    # Fewer are no leak: a thread of an earlier test may end meanwhile.
    assert all(now <= then for now, then in zip(count(), before, strict=True))
    assert capfd.readouterr() == ("", "")  # FFmpeg's own complaints stay unseen


def test_import_is_light():
    code = """
import sys, av
before = av.logging.get_level()
import jaxvid.data.video.decode
assert av.logging.get_level() == before
assert not {"jax", "cv2", "grain", "flax"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# Writing


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("out.mp4", "libx264", {"crf": 18}),
        ("out.mkv", "mpeg4", {}),
        ("out.webm", "libvpx-vp9", {"cpu-used": 8}),
        ("out.gif", "gif", {}),
    ],
)
@pytest.mark.parametrize("size", [(80, 128), (79, 121)])
def test_write_then_read(tmp_path, name, codec, options, size):
    frames = np.stack([make.picture(k, size) for k in range(12)])
    write_video(tmp_path / name, frames, 25, codec, **options)
    with VideoReader(tmp_path / name) as reader:
        odd = 0 if codec == "gif" else 1  # a gif has no chroma planes to halve
        assert reader.height == size[0] + odd * (size[0] % 2)
        assert reader.width == size[1] + odd * (size[1] % 2)
        assert reader.fps == pytest.approx(25)
        read = reader.read(range(12))[:, : size[0], : size[1]]
    assert make.numbers(read) == list(range(12))
    if codec == "libx264":
        assert np.abs(read.astype(int) - frames).mean() < 6
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_write_takes_an_iterator_and_fractional_rates(tmp_path):
    write_video(tmp_path / "a.mp4", (make.picture(k) for k in range(30)), 30000 / 1001)
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert (reader.frames, reader.fps) == (30, pytest.approx(30000 / 1001))


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("a.xyz", {}, "output format"),
        ("none/a.mp4", {}, "no folder"),
        ("a.mp4", {"codec": "libx999"}, 'no video encoder "libx999"'),
        ("a.mp4", {"codec": "aac"}, 'no video encoder "aac"'),
        ("a.webm", {}, "webm"),
        ("a.mp4", {"crff": 18}, 'libx264 has no option "crff"'),
        ("a.mp4", {"fps": 0}, "fps must lie in"),
        ("a.mp4", {"frames": []}, "no frames"),
        ("a.mp4", {"frames": [make.picture(0), make.picture(1)[1:]]}, "frame 1 to write"),
        ("a.mp4", {"frames": [make.picture(0) / 255]}, "float64"),
    ],
)
def test_write_errors_leave_the_old_file(tmp_path, name, change, match):
    old = tmp_path / Path(name).name
    old.write_text("old")
    arguments = {"frames": [make.picture(0)], "fps": 25} | change
    with pytest.raises(VideoError, match=match):
        write_video(tmp_path / name, **arguments)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_an_error_of_the_caller_stays_his_own(tmp_path):
    def frames():
        yield make.picture(0)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        write_video(tmp_path / "a.mp4", frames(), 25)
    assert not list(tmp_path.iterdir())


# Real files


@pytest.mark.parametrize(
    ("name", "frames", "first", "last"),
    [  # means of the first and last frame, from decord 0.6
        ("test.mp4", 300, 116.467, 115.184),
        ("test.avi", 164, 87.12, 82.62),
        ("part_0.mp4", 32, None, None),
        ("arm_wrestling_k400.mp4", 280, None, None),
    ],
)
def test_real_videos(name, frames, first, last):
    if "JAXVID_DATA" not in os.environ:
        pytest.skip("JAXVID_DATA does not name the folder of real videos")
    path = Path(os.environ["JAXVID_DATA"]) / "videos" / name
    with VideoReader(path) as reader:
        assert reader.frames == frames
        expected = make.sequential(path)
        request = np.random.default_rng(0).integers(0, frames, 6)
        np.testing.assert_array_equal(reader.read(request), expected[request])
        if first is not None:
            means = reader.read([frames - 1, 0]).mean(axis=(1, 2, 3))
            np.testing.assert_allclose(means, [last, first], atol=0.5)
