"""The sound of videos as files of features, in a run that can be interrupted."""

import wave
from dataclasses import asdict

import numpy as np
import pytest

from jaxvid import provenance
from jaxvid.data.audio import waveform
from jaxvid.data.audio.extracted import SETTINGS
from jaxvid.data.audio.log_mel import LogMel
from jaxvid.data.sources import audio_list
from jaxvid.data.transforms.audio import Load
from jaxvid.data.video.containers import VideoError
from jaxvid.errors import UserError
from jaxvid.tools import extract_audio
from jaxvid.tools.extract_audio import Job
from tests.data import sounds, video_files


@pytest.fixture
def originals(tmp_path):
    folder = tmp_path / "videos"
    (folder / "sub").mkdir(parents=True)
    sounds.write_pcm(folder / "a.wav", sounds.sine(1.0))
    sounds.video_with_sound(folder / "sub" / "b.mkv", sounds.sine(1.0, 880), frames=24)
    return folder


def extract(source, target, kind="mel", features=None, **options):
    made = dict(renew=True, count=False) | options
    return extract_audio.extract(Job(source, target, kind, features or LogMel(), **made))


def test_features_are_those_of_the_sound(originals, tmp_path):
    target = tmp_path / "new" / "b.npy"
    assert extract(originals / "sub" / "b.mkv", target, count=True) == (24, True)
    want = LogMel()(waveform.read(originals / "sub" / "b.mkv"))
    found = np.load(target)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, want)
    assert extract(originals / "a.wav", target, count=True, renew=False) == (30, False)
    assert extract(originals / "a.wav", tmp_path / "a.wav", "wav", LogMel(rate=22050)) == (30, True)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (22050, 1, 22050)
    np.testing.assert_allclose(
        waveform.read(tmp_path / "a.wav")[100:-100], sounds.sine()[100:-100], atol=1e-3
    )


def test_a_video_without_sound_is_an_error(tmp_path):
    video = video_files.encode(tmp_path / "a.mp4", 3)
    with pytest.raises(VideoError, match=r"a\.mp4: no sound \(video only\)"):
        extract(video, tmp_path / "a.npy")
    assert not (tmp_path / "a.npy").exists()


@pytest.mark.long
def test_a_folder_is_extracted_and_goes_on(originals, tmp_path, capsys):
    target, listed = tmp_path / "new", tmp_path / "train.txt"
    listed.write_text("a.wav 1\nsub/b.mkv 0\nsilent.mp4 0\n")
    video_files.encode(originals / "silent.mp4", 3)
    arguments = [str(originals), str(target), "--workers=1", f"--list={listed}", "--hop=256"]
    assert extract_audio.main(arguments) == 1
    printed = capsys.readouterr().err
    assert f"failed: {originals}/silent.mp4: no sound (video only)" in printed
    assert "wrote the sound of 2 files; 0 were there, 1 failed" in printed
    assert "train.txt:3: nothing was extracted from silent.mp4" in printed
    assert (target / "train_audio.txt").read_text() == "a.npy 30 1\nsub/b.npy 24 0\n"
    source = audio_list.build("train", root=str(target), file="train_audio.txt")
    assert Load(LogMel(hop=256))(source[1], np.random.default_rng(0))["audio"].shape == (63, 80)

    (originals / "silent.mp4").unlink()
    sounds.write_pcm(originals / "a.wav", sounds.sine(2.0))
    assert extract_audio.main(arguments) == 0
    assert "wrote the sound of 1 files; 1 were there, 0 failed" in capsys.readouterr().err
    assert (target / "train_audio.txt").read_text() == "a.npy 60 1\nsub/b.npy 24 0\n"
    assert extract_audio.main([*arguments[:-1], "--hop=320"]) == 1
    assert "hop: 256 there, 320 now" in capsys.readouterr().err


@pytest.mark.long
def test_a_sound_stands_in_for_its_silent_video(originals, tmp_path, capsys):
    video_files.encode(originals / "a.mp4", 3)
    arguments = [str(originals), str(tmp_path / "new"), "--workers=1"]
    assert extract_audio.main(arguments) == 0
    printed = capsys.readouterr().err
    assert f"left out: {originals}/a.mp4 has no audio, a.wav is used instead" in printed
    np.testing.assert_array_equal(
        np.load(tmp_path / "new" / "a.npy"), LogMel()(waveform.read(originals / "a.wav"))
    )


def test_mistakes(originals, tmp_path, capsys):
    assert extract_audio.main([str(originals), str(tmp_path / "x"), "--fmax=9000"]) == 1
    assert "fmax must be above fmin and at most 8000" in capsys.readouterr().err
    assert extract_audio.main([str(originals), str(tmp_path / "x"), "--list=none.txt"]) == 1
    assert "none.txt: no such list of videos" in capsys.readouterr().err
    assert extract_audio.main([str(originals), str(originals)]) == 1
    assert "write to another folder" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_features_are_read_with_the_settings_of_their_folder(originals, tmp_path):
    """Also from a folder above; other settings would be other numbers without an error."""
    features, file = LogMel(window=1024, hop=256), tmp_path / "mel" / "sub" / "a.npy"
    extract(originals / "a.wav", file, features=features)
    provenance.claim(tmp_path / "mel" / SETTINGS, {"kind": "mel", **asdict(features)})
    rng, sample = np.random.default_rng(0), {"path": str(file)}
    assert Load(features)(sample, rng)["audio"].shape[1] == 80
    with pytest.raises(UserError, match="window: 1024 there, 1280 now") as error:
        Load(LogMel())(sample, rng)
    assert "hop: 256 there, 320 now" in str(error.value)
    other = tmp_path / "other" / file.name
    other.parent.mkdir()
    other.write_bytes(file.read_bytes())
    (tmp_path / "other/audio.json").write_text('["of another program"]')
    assert Load(LogMel())({"path": str(other)}, rng)["audio"].shape[1] == 80
