"""The commands as users type them, on a tiny run: train, evaluate, predict, interrupt, mistype."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import jaxvid
from jaxvid.checkpoints import store
from jaxvid.data.synthetic import motion
from jaxvid.data.video.decode import VideoReader
from jaxvid.errors import UserError
from jaxvid.models import swin
from jaxvid.param_rules import flatten
from jaxvid.weights.convert import export
from tests.weights.pickle_bytes import write_tensors

ENV = dict(os.environ, XLA_FLAGS="--xla_backend_optimization_level=0", JAX_PLATFORMS="cpu")
TINY = (
    "--config=configs/quickstart.py",
    "--config.model.variant=test",
    "--config.batch=8",
    "--config.data.train.train=96",
    "--config.data.train.val=40",
    "--config.data.val.train=96",
    "--config.data.val.val=40",
    "--config.epochs=3",
    "--config.eval_every=1",
    "--config.eval_batch=16",
    "--config.save_every=0",
    "--config.log_every=6",
    "--config.keep=1",
    "--config.ema=0.5",
    "--config.data.recipe.clips=2",
    "--config.loader.workers=1",
)


def run(*command, ok=True, module="jaxvid.main", timeout=120):
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, command)],
        env=dict(ENV, JAXVID_CACHE=os.environ["JAXVID_CACHE"]),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="session")
def workdir(cache, tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("run") / "w"
    done = run(*TINY, f"--workdir={folder}")
    (folder / "stdout.txt").write_text(done.stdout)
    return folder


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def video(cache, k=0):
    return next(Path(os.environ["JAXVID_CACHE"]).glob("motion-*/val")) / f"{k:06d}.mp4"


# Training


def test_metrics_have_the_names_that_tools_rely_on(workdir):
    train = [line for line in lines(workdir) if "train/loss" in line]
    val = [line for line in lines(workdir) if "val/top1" in line]
    assert [line["step"] for line in train] == [6, 12, 18, 24, 30, 36]
    assert [line["step"] for line in val] == [12, 24, 36]
    want = {"step", "epoch", "time", "train/loss", "train/lr", "train/top1", "train/clips_per_s"}
    assert want | {"train/step_time", "train/data_wait"} <= train[0].keys()
    assert {"val/top1", "val/top5", "val/mean_class", "val/n"} <= val[0].keys()
    assert val[0]["val/n"] == 40
    assert 0 <= train[0]["train/data_wait"] <= 1
    assert train[-1]["train/recompiles"] == 0
    assert list((workdir / "tensorboard").glob("events*"))


def test_the_terminal_says_what_is_going_on(workdir):
    text = (workdir / "stdout.txt").read_text()
    for part in (
        "1 x cpu in 1 process",
        "train: 96 videos, 8 classes of 12 each",
        "mesh: data 1 x model 1",
        "parameters (0.0 M)",
        "compiled train_step in",
        "one step takes",
        "eta",
        "data wait",
    ):
        assert part in text


def test_the_last_and_the_best_checkpoint_are_kept(workdir):
    best = max(
        (x for x in lines(workdir) if "val/top1" in x), key=lambda x: (x["val/top1"], x["step"])
    )
    assert set(store.all_steps(workdir / "checkpoints")) == {best["step"], 36}
    assert store.best_checkpoint(workdir).name == f"{best['step']:08d}"
    meta = store.read_meta(store.best_checkpoint(workdir))
    assert meta["names"] == list(motion.CLASSES)
    assert meta["config"]["data"]["recipe"]["size"] == 32
    assert meta["metrics"]["val/top1"] == best["val/top1"]


def test_a_finished_run_has_nothing_to_do(workdir):
    before = (workdir / "metrics.jsonl").read_bytes()
    assert "nothing to do" in run(*TINY, f"--workdir={workdir}").stdout
    assert (workdir / "metrics.jsonl").read_bytes() == before


def test_another_config_in_the_same_workdir_is_refused(workdir):
    done = run(*TINY, f"--workdir={workdir}", "--config.optim.lr=0.5", ok=False)
    assert "use another --workdir:\n  config.optim.lr: " in done.stderr
    assert "config.optim.lr: 0.0015 there, 0.5 now" in done.stderr


def test_ctrl_c_saves_and_the_same_command_goes_on(cache, tmp_path):
    command = [*TINY, f"--workdir={tmp_path}/w", "--config.epochs=400", "--config.eval_every=0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "jaxvid.main", *command],
        env=ENV,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    path = tmp_path / "w" / "metrics.jsonl"
    while not (path.exists() and path.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does: workers get it too
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err + out
    step = store.all_steps(tmp_path / "w" / "checkpoints")[-1]
    assert f"stopped at step {step} and saved" in err
    # At the end of the schedule already, if it were 3 epochs; the workdir refuses that change.
    done = run(*TINY, f"--workdir={tmp_path}/w", ok=False)
    assert "config.epochs: 400.0 there, 3.0 now" in done.stderr


def test_a_signal_to_all_processes_ends_an_evaluation_in_one_line(workdir, tmp_path):
    copy = tmp_path / "w"
    shutil.copytree(workdir, copy)
    process = subprocess.Popen(
        [sys.executable, "-m", "jaxvid.main", "--mode=eval", f"--workdir={copy}"],
        env=ENV,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:  # type: ignore[union-attr]
        if "loaded" in line:
            break
    time.sleep(1)  # workers are starting
    os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert err.splitlines()[-1] == "stopped by SIGTERM" and "Traceback" not in err + out
    assert not list(Path("/dev/shm").glob(f"jaxvid_*_{process.pid}_*"))


# Evaluation and prediction


@pytest.fixture(scope="session")
def dump(workdir):
    done = run("--mode=eval", f"--workdir={workdir}")
    assert "loaded EMA parameters of" in done.stdout
    return np.load(workdir / "eval" / "predictions.npz")


def test_an_evaluation_overrides_the_config_of_the_checkpoint(workdir, tmp_path):
    """Where data moved, and with other frames, which it says; other inputs it refuses."""
    copy = tmp_path / "w"
    shutil.copytree(workdir, copy)
    few = "--config.data.val.val=8", "--config.data.val.train=96"
    done = run("--mode=eval", f"--workdir={copy}", *few, "--config.data.recipe.frames=4")
    assert "config.data.recipe.frames: 8 there, 4 here" in " ".join(done.stdout.split())
    assert len(np.load(copy / "eval" / "predictions.npz")["id"]) == 8
    wrong = run("--mode=eval", f"--workdir={copy}", *few, "--config.task.std=(1.,1.,1.)", ok=False)
    assert "trained on other inputs" in wrong.stderr and "config.task.std" in wrong.stderr
    wrong = run("--mode=eval", f"--workdir={copy}", "--config.data.rot=x", ok=False)
    assert 'no config key "data.rot". Did you mean "root"' in wrong.stderr


def test_eval_mode_dumps_every_sample_once(workdir, dump):
    assert len(set(dump["id"].tolist())) == 40
    assert dump["score"].shape == (40, 8)
    assert int(dump["views"]) == 2
    np.testing.assert_allclose(dump["score"].sum(1), 1, rtol=1e-5)
    top1 = float((dump["score"].argmax(1) == dump["label"]).mean())
    last = lines(workdir)[-1]
    assert last["test/top1"] == pytest.approx(top1)
    with (workdir / "eval" / "report.csv").open() as file:
        assert [row["name"] for row in csv.DictReader(file)] == list(motion.CLASSES)
    manifest = json.loads((workdir / "eval" / "manifest.json").read_text())
    assert (manifest["videos"], manifest["evaluated"]) == (40, 40)


def test_predict_gives_what_evaluation_gave(workdir, dump):
    model = jaxvid.load(workdir)
    for k in (0, 17, 39):
        np.testing.assert_allclose(model.scores(str(dump["id"][k])), dump["score"][k], rtol=1e-5)


def test_predict_takes_paths_arrays_and_lists(workdir, dump):
    model = jaxvid.load(workdir)
    path = str(dump["id"][0])
    with VideoReader(path) as reader:
        array = reader.read(range(reader.frames))
    one, many = model.predict(path, topk=3), model.predict([path, array], topk=3)
    assert many == [one, one]
    assert len(one.labels) == 3
    assert set(one.labels) <= set(motion.CLASSES)
    assert one.scores == tuple(sorted(one.scores, reverse=True))
    assert model.features(path).shape == (2, 4, 4, 4, 16)  # views, t, h, w, channels
    content = Path(path).read_bytes()
    assert model.predict([content, bytearray(content)], topk=3) == many
    np.testing.assert_array_equal(model.features(content), model.features(path))
    with pytest.raises(UserError, match="uint8"):
        model.predict(array.astype(np.float32))
    with pytest.raises(UserError, match=r"a video is a path, the bytes .* not a int"):
        model.predict(7)
    with pytest.raises(UserError, match=r"^<8 bytes>: not a video file"):
        model.predict(b"no video")


def test_predict_command(workdir, dump, tmp_path):
    path, out = str(dump["id"][3]), tmp_path / "annotated.mp4"
    done = run(
        path, "--checkpoint", workdir, "--topk", 2, "--json", "--out", out, module="jaxvid.predict"
    )
    found = json.loads(done.stdout)
    assert found["video"] == path
    assert found["scores"] == pytest.approx(np.sort(dump["score"][3])[::-1][:2].tolist(), rel=1e-4)
    with VideoReader(path) as a, VideoReader(out) as b:
        # A video of 64 x 64 is enlarged, and the text stands below it.
        assert (a.frames, a.height, a.width) == (b.frames, 64, 64)
        assert b.width == 5 * 64 and b.height > 5 * 64 + 2 * 13
        large = a.read([0])[0].repeat(5, 0).repeat(5, 1).astype(int)
        drawn = b.read([0])[0]
        assert np.abs(large - drawn[: 5 * 64]).mean() < 8
        assert drawn[5 * 64 :].max() > 150  # letters


def test_export_and_predict_from_the_file(workdir, dump, tmp_path):
    """The file has the published names; alone it predicts what the run predicts."""
    out = tmp_path / "mine.safetensors"
    run(workdir, "--to", "mmaction", "--out", out, module="jaxvid.tools.export_weights")
    model = jaxvid.load(out)
    np.testing.assert_allclose(model.scores(str(dump["id"][5])), dump["score"][5], rtol=1e-5)
    done = run(workdir, "--to", "mmactoin", module="jaxvid.tools.export_weights", ok=False)
    assert 'Did you mean "mmaction"' in done.stderr


def test_a_finished_run_names_its_test(workdir):
    last = (workdir / "stdout.txt").read_text().splitlines()[-1]
    command = f"python -m jaxvid.main --mode eval --workdir {workdir}"
    assert last == f"to test the best checkpoint: {command}"


def test_a_script_that_evaluates_needs_a_main_guard(workdir, tmp_path):
    """Its workers import it while it holds the lock of the evaluation."""
    path = tmp_path / "mine.py"
    path.write_text(f"import jaxvid\njaxvid.evaluate({str(workdir)!r}, {str(tmp_path)!r})\n")
    done = subprocess.run(
        [sys.executable, path], env=dict(ENV, PYTHONPATH="."), capture_output=True, text=True
    )
    assert "each worker process imports your script" in done.stderr.splitlines()[-1]
    assert "in use" not in done.stderr


@pytest.mark.slow
def test_time_control_command(workdir):
    done = run("--workdir", workdir, module="jaxvid.tools.time_control")
    assert [line.split()[0] for line in done.stdout.splitlines()[:4]] == [
        "forward",
        "reverse",
        "shuffle",
        "freeze",
    ]
    assert "are called the opposite" in done.stdout
    assert done.stderr.count("loaded") == 1


# A user's own clips, from a pretrained run, with files that are broken


@pytest.fixture(scope="session")
def clips(cache, workdir, tmp_path_factory):
    """Two classes of four clips in folders, as a user would have them."""
    root = tmp_path_factory.mktemp("clips")
    for k in range(16):
        label = motion.draw("train", k)[1]
        if label < 2:
            folder = root / motion.CLASSES[label]
            folder.mkdir(exist_ok=True)
    for label in range(2):
        folder = root / motion.CLASSES[label]
        for k in range(4):
            source = video(cache, k)
            (folder / f"clip {k}.mp4").write_bytes(source.read_bytes())
    return root


FINETUNE = (
    "--config=configs/finetune.py:test",
    "--config.batch=2",
    "--config.epochs=2",
    "--config.data.recipe.size=32",
    "--config.data.recipe.frames=4",
    "--config.dtype=float32",
    "--config.data.recipe.clips=1",
    "--config.data.recipe.crops=1",
    "--config.log_every=1",
    "--config.data.train.train_share=0.75",
    "--config.data.val.train_share=0.75",
    "--config.loader.workers=0",
)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["run", "published file"])
def test_finetuning_on_other_classes(clips, workdir, tmp_path, kind):
    """From a workdir, and from a .pth with the published names: all but the head is taken over."""
    start = workdir
    if kind != "run":
        model = jaxvid.load(workdir)
        tensors = export(model.variables, swin.WEIGHTS["mmaction"], model.net)
        start = write_tensors(tmp_path / "swin.pth", {"state_dict": tensors}, meta={"epoch": 3})
    done = run(
        *FINETUNE,
        f"--config.data.root={clips}",
        f"--workdir={tmp_path}/w",
        f"--config.init.weights={start}",
        "--config.optim.lr=0.0",
    )
    said = " ".join(done.stdout.split())
    assert "2 classes of 3 each" in said
    assert "the head starts fresh" in said
    tuned = jaxvid.load(tmp_path / "w")
    assert tuned.names == ("left", "right")
    theirs = flatten(jaxvid.load(workdir).variables["params"]["backbone"])
    ours = flatten(tuned.variables["params"]["backbone"])
    for key, leaf in theirs.items():
        np.testing.assert_array_equal(leaf, ours[key], err_msg=key)


def test_unknown_weights_are_named_before_anything_compiles(clips, tmp_path):
    done = run(
        *FINETUNE,
        f"--config.data.root={clips}",
        f"--workdir={tmp_path}/w",
        "--config.init.weights=swin2d_tinny_in1k",
        ok=False,
    )
    assert "swin2d_tiny_in1k" in done.stderr
    assert "compiled" not in done.stdout


@pytest.mark.long
def test_broken_videos_are_replaced_in_training_and_stop_evaluation(clips, tmp_path):
    (clips / "left" / "broken.mp4").write_bytes(b"")
    (clips / "right" / "broken too.mp4").write_bytes(b"no video at all")
    try:
        arguments = [*FINETUNE, f"--config.data.root={clips}", "--config.epochs=6"]
        done = run(*arguments, f"--workdir={tmp_path}/a", "--config.loader.eval_on_error=skip")
        assert "replaced by another" in done.stdout or "skipped" in done.stdout
        share = ["--config.data.train.train_share=0.4", "--config.data.val.train_share=0.4"]
        done = run(*arguments, *share, f"--workdir={tmp_path}/b", ok=False)
        assert "broken.mp4: zero-byte file" in done.stderr or "too.mp4: not a video" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    finally:
        (clips / "left" / "broken.mp4").unlink()
        (clips / "right" / "broken too.mp4").unlink()


# Mistakes


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--confg=x"], 'no flag "--confg". Did you mean "config"'),
        ([], "--config is needed"),
        (["--config=configs/quickstrat.py"], 'Did you mean "quickstart"'),
        (["--config=configs/swin_k400.py:huge"], 'no variant "huge"'),
        (["--config=configs/quickstart.py", "--config.optim.lrr=1"], 'Did you mean "lr"'),
        (["--config=quickstart", "--config.task.augment.mixp=1"], 'Did you mean "mixup"'),
        (["--config=quickstart", "--config.task.mixup=1"], "is now --config.task.augment.mixup=1"),
        (["--config=configs/quickstart.py", "--config.batch=many"], "an integer of at least 1"),
        (["--config=configs/swin_k400.py", "--config.data.root=/none"], "/none: no such folder"),
        (["--mode=eval", "--workdir=/none"], "no such workdir, checkpoint or file"),
        (["--config=quickstart", "--epochs=3"], "Did you mean --config.epochs?"),
        (["--config=quickstart", "--data.root=x"], "Did you mean --config.data.root?"),
        (["--config=quickstart", "--data.train.val=x"], "Did you mean --config.data.train.val?"),
        (["--config=configs/quickstart.py", "extra"], 'unexpected argument "extra"'),
        (["--config=configs/quickstart.py", "--config.model.variant=tinny"], 'Did you mean "tiny"'),
        (["--config=configs/quickstart.py", "--config.batch=7", "--config.accumulate=2"], "divide"),
    ],
)
def test_mistakes_are_one_line(arguments, message, tmp_path):
    workdir = [] if any("workdir" in a for a in arguments) else [f"--workdir={tmp_path}/w"]
    done = run(*arguments, *workdir, ok=False)
    assert message in done.stderr
    assert done.stderr.startswith("error: ")


def test_a_checkpoint_of_another_model_is_named(workdir):
    done = run(
        "--mode=eval", *TINY, "--config.model.variant=mini", f"--workdir={workdir}", ok=False
    )
    assert "holds another model" in done.stderr
    assert "in the checkpoint" in done.stderr


def test_doctor():
    done = run(module="jaxvid.tools.doctor")
    assert "all well" in done.stdout


def test_help_shows_how_to_call_it():
    text = run("--help").stdout
    assert "python -m jaxvid.main --config" in text
    assert "--workdir: Folder of the run" in text
