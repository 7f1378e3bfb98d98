"""What predictions look like: in the terminal, on frames and as a picture."""

import numpy as np
import pytest

from jaxvid.data.audio import waveform
from jaxvid.draw import frames
from jaxvid.errors import UserError
from jaxvid.inference import draw
from jaxvid.results import Detected, Localized, Moments, Recognized

FOUND = Localized(
    labels=("jump", "run", "jump"),
    scores=(0.8, 0.5, 0.2),
    segments=((2.0, 5.0), (4.0, 6.0), (8.0, 10.0)),
    duration=10.0,
)
FRAME = np.full((240, 320, 3), 90, np.uint8)


def test_lines():
    assert list(Recognized(("wave", "run"), (0.75, 0.2)).lines()) == [" 75.0%  wave", " 20.0%  run"]
    assert next(FOUND.lines()) == " 80.0%      2.00 s to     5.00 s  jump"
    assert len(list(FOUND.lines())) == 3


def test_drawing_leaves_the_frame_alone():
    drawn = draw.on_frame(Recognized(("wave",), (0.75,)), FRAME, 0.0)
    assert (FRAME == 90).all()
    assert (drawn != FRAME).any()
    assert (drawn[120:] == FRAME[120:]).all()  # in a corner


def test_a_bar_shows_segments_and_now():
    bar = draw.on_frame(FOUND, FRAME, 7.0)[-1].astype(int)
    assert (draw.on_frame(FOUND, FRAME, 7.0)[:200] == FRAME[:200]).all()  # nothing goes on
    red = bar[:, 0]
    assert red[[32, 220, 300]].tolist()[:2] == [32, 32]  # dark where there is nothing
    assert red[80] == red[150] > red[170] > red[300] > 32  # brighter with the score
    assert bar[224].tolist() == [255, 255, 255]
    assert draw.on_frame(FOUND, FRAME, 10.0)[-1, -1].tolist() == [255, 255, 255]


def test_what_goes_on_is_written():
    one, two = draw.on_frame(FOUND, FRAME, 2.5), draw.on_frame(FOUND, FRAME, 4.5)
    assert (one[5:20, :100] != FRAME[5:20, :100]).any()
    assert (two[25:34] != one[25:34]).any()  # a second line


def test_a_picture_hides_no_segment():
    picture = draw.timeline(FOUND, width=640)
    assert picture.shape == (26 * 3, 640, 3)  # two rows and the axis
    assert draw.in_rows(FOUND.segments) == [0, 1, 0]
    assert draw.in_rows([(0, 4), (1, 2), (2, 3), (1, 3), (4, 5)]) == [0, 1, 1, 2, 0]
    brightest = picture[26 + 4 :, :, 0].max(0)
    assert brightest.max() > 32
    assert draw.timeline(Localized((), (), (), 3.0)).shape[1] == 960  # nothing found


def throwing(*segments):
    return Localized(("throwing darts",) * len(segments), (1.0,) * len(segments), segments, 60.0)


def test_texts_of_short_segments_are_whole():
    def width(*segments):
        picture = draw.timeline(throwing(*segments), 640)
        return np.ptp((picture[..., 2] > 200).nonzero()[1])  # white is also blue, orange is not

    long = width((5.0, 40.0))
    assert long > 80
    assert width((5.0, 5.1)) == pytest.approx(long, abs=1)
    assert width((59.9, 60.0)) == pytest.approx(long, abs=1)
    assert (
        draw.timeline(throwing((5.0, 5.1), (6.0, 6.1)), 640).shape[0] == 26 * 3
    )  # one below the other
    assert draw.timeline(throwing((5.0, 5.1), (36.0, 36.1)), 640).shape[0] == 26 * 2


# Boxes

ROWS = [("stand", 0.9), ("wave", 0.4)]


def seen(*boxes, time=0.0):
    count = len(boxes)
    return Detected((("stand", "wave"),) * count, ((0.9, 0.4),) * count, boxes, time)


def dark(frame):
    """Where the ground of text is."""
    return (frame == 90 // 3).all(-1)


def test_boxes_are_drawn_with_their_classes():
    drawn = draw.on_frame(seen((100, 60, 300, 200)), FRAME, 0.0)
    assert (drawn[60:200, [100, 299]] == frames.ORANGE).all(-1).mean() > 0.6  # but for the text
    assert (drawn[150, 110:290] == 90).all()  # what is in a box stays
    y, x = np.nonzero(dark(drawn))
    wide, high = frames.extent(ROWS, 13)
    place = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
    assert np.abs(place - [102, 60, 100 + wide, 60 + high]).max() <= 1  # lines of the box are there
    assert (drawn[60 : 60 + high, 100:102] == frames.ORANGE).all()
    assert (
        draw.on_frame(seen((400, 300, 500, 400)), FRAME, 0.0)[:150] == 90
    ).all()  # out of the picture


def test_text_fits_its_ground_and_the_picture():
    one = draw.on_frame(seen((0, 0, 50, 50)), FRAME, 0.0)
    for box in ((300, 0, 320, 50), (0, 230, 50, 240)):
        moved = draw.on_frame(seen(box), FRAME, 0.0)
        assert abs(int(dark(moved).sum()) - int(dark(one).sum())) < 60  # all of it is in sight
    wide, _ = frames.extent(ROWS, 13)
    assert (one[5:20, wide:] == 90).all()
    letters = np.nonzero((one[:40] > 120).all(-1))[1]
    assert wide - 13 < letters.max() < wide


def test_no_text_hides_another():
    places = []
    for place in ((0, 0, 50, 20), (30, 10, 80, 30), (10, 5, 60, 25), (60, 0, 90, 10)):
        places.append(frames.below(places, place))
    assert places == [(0, 0, 50, 20), (30, 20, 80, 40), (10, 40, 60, 60), (60, 0, 90, 10)]
    assert frames.below(places[:2], (10, 5, 40, 15)) == (10, 40, 40, 50)  # past both, in turn
    assert frames.below([(0, 0, 9, 20), (0, 20, 9, 40)], (0, 5, 9, 15)) == (0, 40, 9, 50)
    one, both = (draw.on_frame(seen(*[(40, 40, 90, 90)] * n), FRAME, 0.0) for n in (1, 2))
    assert abs(int(dark(both).sum()) - 2 * int(dark(one).sum())) < 60
    _, high = frames.extent(ROWS, 13)
    assert (both[40 + high : 40 + 2 * high, 40:42] == frames.SHADES[1]).all()  # of the other box


def test_each_moment_stands_for_the_frames_near_it():
    moments = Moments((seen((10, 10, 60, 60), time=1.0), seen((200, 100, 260, 160), time=3.0)))
    for time, shown in ((0.0, 0), (1.9, 0), (2.1, 1), (9.0, 1)):
        want = draw.on_frame(moments.moments[shown], FRAME, time)
        np.testing.assert_array_equal(draw.on_frame(moments, FRAME, time), want)
    assert len(list(moments.lines())) == 2
    assert (draw.on_frame(Moments(()), FRAME, 0.0) == FRAME).all()


# Small frames


@pytest.mark.parametrize(
    "found",
    [
        Recognized(
            ("wave", "run", "a very long name of a class that is wider than the frame") * 2,
            (0.5, 0.2, 0.1) * 2,
        ),
        FOUND,
        Moments((seen((1, 1, 16, 30), time=1.0), seen((1, 1, 9, 30), (9, 1, 30, 30), time=3.0))),
    ],
)
def test_text_stands_below_small_frames(found):
    """The whole frame is in sight, and all frames of a video become equally large."""
    small = np.random.default_rng(0).integers(40, 200, (24, 32, 3), np.uint8)
    drawn = [draw.on_frame(found, small, time) for time in (0.0, 2.5, 4.5, 9.0)]
    assert {picture.shape for picture in drawn} == {drawn[0].shape}
    assert drawn[0].shape[1] == 320 and drawn[0].shape[0] > 240 + 13
    for picture in drawn:
        inside = picture[:240].reshape(24, 10, 32, 10, 3)[:, 2:8, :, 2:8]  # not the lines of boxes
        assert ((inside == small[:, None, :, None]).all(-1)).mean() > 0.9
    assert any((picture[244:] > 200).all(-1).any() for picture in drawn)  # letters


def test_many_lines_stand_below_the_frame():
    many = draw.on_frame(Recognized(("wave",) * 20, (0.05,) * 20), FRAME, 0.0)
    assert (many[:240] == FRAME).all() and len(many) >= 240 + 20 * 13
    flat = draw.on_frame(Recognized(("wave",) * 5, (0.2,) * 5), FRAME[:60], 0.0)
    assert (flat[:60] == FRAME[:60]).all() and len(flat) > 60 + 5 * 13


def test_marks_of_an_axis():
    marks = {seconds: draw.tick(seconds) for seconds in (0.4, 1, 7, 25, 60, 133, 900)}
    assert {k: round(float(v), 6) for k, v in marks.items()} == {
        0.4: 0.05,
        1: 0.1,
        7: 1,
        25: 5,
        60: 10,
        133: 20,
        900: 100,
    }


def test_a_sound_cannot_be_drawn_on(tmp_path):
    waveform.write_wav(tmp_path / "tone.wav", np.zeros(1600, np.float32), 16000)
    result = Recognized(("run",), (1.0,))
    with pytest.raises(UserError, match=r"--out=.*out.mp4 is a copy of the video.*audio only"):
        draw.write(tmp_path / "tone.wav", result, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
