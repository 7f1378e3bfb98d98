"""Clips as pictures: frames in order, under their text."""

import numpy as np

from jaxvid.draw import sheets

LEVEL = 60


def views(count: int, frames: int, size=(60, 100)):
    """View k is of brightness k + 1, and its frame t has t in the blue."""
    for k in range(count):
        clip = np.full((frames, *size, 3), LEVEL + k, np.uint8)
        clip[..., 2] = np.arange(frames)[:, None, None]
        yield sheets.View(f"view {k}", clip)


def test_a_sheet_has_a_row_a_view_and_frames_in_order():
    sheet = sheets.contact_sheet(list(views(3, 20)))
    assert sheet.shape == (3 * (60 + sheets.LINE + sheets.GAP), 8 * (100 + sheets.GAP), 3)
    for row in range(3):
        middle = row * (60 + sheets.LINE + sheets.GAP) + sheets.LINE + 30
        seen = sheet[middle, 50 :: 100 + sheets.GAP]
        assert (seen[:, 0] == LEVEL + row).all()
        assert seen[:, 2].tolist() == [0, 3, 5, 8, 11, 14, 16, 19]
        text = sheet[middle - 30 - sheets.LINE : middle - 30]
        assert (text == sheets.TEXT).all(-1).any()  # a pixel that a letter covers
    wide = sheets.contact_sheet(list(views(1, 8, size=(400, 800))))
    assert wide.shape[1] < sheets.WIDTH + 8 * sheets.GAP + 8


def test_a_mosaic_plays_all_views_side_by_side():
    frames = list(sheets.mosaic(list(views(5, 6))))
    h, w = 60 + sheets.LINE + sheets.GAP, 100 + sheets.GAP
    assert len(frames) == 6 and frames[0].shape == (2 * h, 3 * w, 3)
    for t, frame in enumerate(frames):
        for k in range(5):
            pixel = frame[k // 3 * h + sheets.LINE + 5, k % 3 * w + 5]
            assert pixel.tolist() == [LEVEL + k, LEVEL + k, t]


def test_small_frames_are_enlarged_so_that_text_fits():
    sheet = sheets.contact_sheet(list(views(1, 8, size=(20, 32))))
    assert sheet.shape == (60 + sheets.LINE + sheets.GAP, 8 * (96 + sheets.GAP), 3)
    frame = next(sheets.mosaic(list(views(1, 2, size=(20, 32)))))
    assert frame.shape == (60 + sheets.LINE + sheets.GAP, 96 + sheets.GAP, 3)


def test_texts_of_several_lines_and_clips_of_several_sizes():
    clips = [
        sheets.View("one\ntwo", np.zeros((3, 60, 100, 3), np.uint8)),
        *views(1, 2, size=(50, 120)),
    ]
    sheet = sheets.contact_sheet(clips, columns=4)
    high = 60 + 2 * sheets.LINE + 50 + sheets.LINE + 2 * sheets.GAP
    assert sheet.shape == (high, 3 * (100 + sheets.GAP), 3)
    assert (sheet[-10, 2 * (120 + sheets.GAP) :] == sheets.BACK).all()


def test_text_is_cut_where_it_does_not_fit():
    image = np.zeros((1, 20, 60, 3), np.uint8)
    tile = sheets.tile("a very long text " * 3, image)
    assert tile.shape == (20 + sheets.LINE + sheets.GAP, 64, 3)


def test_notes_are_below_and_wrapped_and_all_tiles_are_as_high():
    note = sheets.Note("a rather long text about it", (220, 40, 40))
    clips = [sheets.View("a", np.zeros((2, 60, 100, 3), np.uint8), [note]), *views(1, 2)]
    (frame, _) = sheets.mosaic(clips)
    lines = sheets.wrapped([note], 100)
    assert " ".join(line.text for line in lines) == note.text and len(lines) > 1
    assert frame.shape[0] == 60 + sheets.LINE * (1 + len(lines)) + sheets.GAP
    assert (frame[sheets.LINE + 60 + 5, : sheets.BAR] == note.shade).all()
    assert (frame[sheets.LINE + 60 :, 104:] == sheets.BACK).all()
