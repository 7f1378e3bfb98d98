"""Text on pictures: where it stands, and that no script becomes question marks."""

import numpy as np
import pytest

from jaxvid.draw import text


def canvas(height=40, width=300):
    return np.full((height, width, 3), 40, np.uint8)


def test_a_line_stands_where_it_should():
    picture = canvas()
    text.write(picture, "Handstand", (50, 10), 16, (250, 0, 0))
    y, x = np.nonzero((picture != 40).any(-1))
    assert 48 <= x.min() < 56 and x.max() < 50 + text.width("Handstand", 16)
    assert y.min() >= 10 and y.max() < 10 + text.line(16)
    assert (picture.reshape(-1, 3) == (250, 0, 0)).all(-1).any()


@pytest.mark.parametrize("at", [(-20, 10), (280, 10), (10, -8), (10, 34), (400, 10), (10, -90)])
def test_what_leaves_the_picture_is_cut_off(at):
    picture = canvas()
    text.write(picture, "Handstand", at, 16, (250, 0, 0))
    large = np.full((240, 700, 3), 40, np.uint8)
    text.write(large, "Handstand", (at[0] + 200, at[1] + 100), 16, (250, 0, 0))
    np.testing.assert_array_equal(picture, large[100:140, 200:500])


def test_text_is_cut_to_a_width():
    long = "playing the accordion in a train"
    assert text.fit(long, 14, 1000) == long
    shown = text.fit(long, 14, 120)
    assert shown.startswith("playing") and shown.endswith("...") and text.width(shown, 14) <= 120
    assert text.fit(long, 14, 3) == "" and text.fit("", 14, 0) == ""


def test_lines_and_tabs_are_spaces():
    np.testing.assert_array_equal(text.letters("a\tb\nc", 14), text.letters("a b c", 14))


@pytest.mark.parametrize("word", ["é", "ü", "ñ", "中文", "العربية", "ж", "\U0001f642"])
def test_no_character_becomes_a_question_mark(word, capsys):
    """It is drawn, or becomes its base letter or a box, and then that is reported."""
    text.reported.clear()
    text.letters.cache_clear()
    shown, asked = text.letters(word, 20), text.letters("?" * len(word), 20)
    assert shown.max() > 128 and (shown.shape != asked.shape or (shown != asked).any())
    font = next((name for name in text.font_files() if text.has(name, word[0])), None)
    assert (font is None) == ("JAXVID_FONT" in capsys.readouterr().err)


def test_a_number_before_arabic_stays_on_the_left():
    alef, beh = "\u0627", "\u0628"
    if text.font_for(alef) is None:
        pytest.skip("no font of this machine has Arabic")
    one, two = (text.letters(f"1111 {letter}", 20) for letter in (alef, beh))
    np.testing.assert_array_equal(one[:, :20], two[:, :20])
    assert one[:, :20].max() == 255 and one[:, 20:].max() == 255


def test_without_fonts_accents_are_left_out_and_said_once(monkeypatch, capsys):
    for cached in (text.letters, text.font_for, text.has):
        cached.cache_clear()
    monkeypatch.setattr(text, "font_files", lambda: (text.BUILT_IN,))
    monkeypatch.setattr(text, "reported", set())
    np.testing.assert_array_equal(text.letters("Zoë", 20), text.letters("Zoe", 20))
    box = text.letters("中", 20)
    np.testing.assert_array_equal(box, text.letters("文", 20))
    assert box.max() == 255
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "has 'ë'" in err and "JAXVID_FONT" in err
    text.font_for.cache_clear()
    text.letters.cache_clear()


def test_a_font_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXVID_FONT", f"{tmp_path}/own.ttf")
    assert text.font_files.__wrapped__()[0] == f"{tmp_path}/own.ttf"
