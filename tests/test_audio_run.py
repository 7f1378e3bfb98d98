"""Runs of models of sounds, from files to predictions, and fusion with a model of frames."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs import audio_own, finetune
from jaxvid import main, predict
from jaxvid.data.audio import waveform
from jaxvid.data.synthetic import sounds as synthetic
from jaxvid.errors import UserError
from jaxvid.inference import model as inference
from jaxvid.tools import fuse
from tests.conftest import logs
from tests.data import sounds, video_files

pytestmark = pytest.mark.long

CLASSES = {"high": 2000, "low": 300}


def small(config, root):
    config.update(dict(dtype="float32", batch=8, epochs=1.0, log_every=1))
    config.loader.workers = 0
    config.data.root = str(root)
    config.model.variant = "test-audio" if "audio" in config.model.variant else "test"
    return config


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Videos with sound in two class folders."""
    root = tmp_path_factory.mktemp("clips")
    for split, count in (("train", 4), ("val", 2)):
        for name, hz in CLASSES.items():
            (root / split / name).mkdir(parents=True)
            for k in range(count):
                path = root / split / name / f"{k}.mkv"
                sounds.video_with_sound(path, sounds.sine(1.0, hz + 10 * k))
    return root


@pytest.fixture(scope="module")
def run(clips, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "audio"
    main.train(small(audio_own.get_config("mini"), clips), workdir)
    return workdir


def test_files_videos_bytes_and_samples_can_be_predicted(run, clips, tmp_path, capsys):
    model = inference.load(run)
    assert model.names == ("high", "low")
    video = clips / "val" / "low" / "0.mkv"
    sound = waveform.read(video)
    wav = sounds.write_pcm(tmp_path / "a.wav", sound)
    want = model.scores(video)
    assert want.shape == (2,) and want.sum() == pytest.approx(1, abs=1e-5)
    for other in (wav, wav.read_bytes(), {"waveform": sound, "rate": 16000}):
        np.testing.assert_allclose(model.scores(other), want, atol=1e-3)
    assert model.features(video).shape[0] == 2  # clips

    assert predict.main([str(wav), f"--checkpoint={run}", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["labels"]) == {"high", "low"}
    assert predict.main([str(wav), f"--checkpoint={run}", f"--out={tmp_path}/x.mp4"]) == 1
    assert "no video stream (audio only)" in capsys.readouterr().err
    silent = video_files.encode(tmp_path / "silent.mp4", 3)
    with pytest.raises(UserError, match=r"silent\.mp4: no sound \(video only\)"):
        model.predict(silent)
    with pytest.raises(UserError, match="the model hears sounds"):
        model.predict(np.zeros((4, 32, 32, 3), np.uint8))
    if data := os.environ.get("JAXVID_DATA"):
        for name in ("test.wav", "videos/test.avi"):
            assert set(model.predict(Path(data, name)).labels) == {"high", "low"}


def test_evaluations_of_sound_and_frames_are_fused(run, clips, tmp_path, capsys):
    frames = small(finetune.get_config("tsn_r50"), clips)
    frames.init.weights = ""
    frames.data.recipe.update(frames=2, test_frames=2, crops=1, size=32, short_side=32)
    main.train(frames, tmp_path / "frames")
    dumps = []
    for workdir in (run, tmp_path / "frames"):
        main.evaluate(None, workdir, workdir)
        dumps.append(str(workdir / "eval" / "predictions.npz"))
    capsys.readouterr()
    assert fuse.main(dumps) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:] if line]
    assert names[:3] == [*dumps, "fused"]


def test_videos_without_sound_are_replaced_and_counted(clips, tmp_path):
    root = tmp_path / "mixed"
    for split in ("train", "val"):
        for name, hz in CLASSES.items():
            (root / split / name).mkdir(parents=True)
            for k in range(4):
                sounds.write_pcm(root / split / name / f"{k}.wav", sounds.sine(0.5, hz))
    video_files.encode(root / "train" / "low" / "silent.mp4", 3)
    config = small(audio_own.get_config("mini"), root)
    with logs(r"unreadable video replaced by another \(1 so far\): .*silent\.mp4: no sound"):
        main.train(config, tmp_path / "run")


@pytest.mark.slow
def test_it_learns_generated_sounds(tmp_path):
    """Chance is 12.5 %; docs/own_data.md has the accuracy of a longer run."""
    synthetic.generate(tmp_path / "sounds", train=320, val=80)
    command = ["-m", "jaxvid.main", "--config=audio_own:mini", f"--workdir={tmp_path / 'run'}"]
    keys = {"data.root": tmp_path / "sounds", "epochs": 6.0, "eval_every": 6.0}
    flags = [f"--config.{key}={value}" for key, value in keys.items()]
    env = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    subprocess.run([sys.executable, *command, *flags], env=env, check=True)
    lines = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert [line["val/top1"] for line in lines if "val/top1" in line][-1] > 0.5
