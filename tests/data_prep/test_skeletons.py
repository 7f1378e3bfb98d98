"""NTU's own files to the published pickle, and pickles to ArrayRecord."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from data_prep import build
from data_prep.skeletons import babel, ntu
from jaxvid.data.annotations import skeleton_files
from jaxvid.data.sources import skeleton
from jaxvid.data.sources import tfds as source
from jaxvid.errors import UserError
from tests.conftest import logs


def write_skeleton(path: Path, frames: list[list[np.ndarray]]) -> None:
    """A `.skeleton` file of frames, each with the (25 3) joints of the bodies in it."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for number, joints in enumerate(bodies):
            lines += [f"7205759403793{number} 0 1 1 1 1 0 0.02 -0.3 2", str(len(joints))]
            lines += [
                f"{x} {y} {z} 277.1 191.3 1036.2 519.6 -0.2 0.05 0.95 -0.1 2" for x, y, z in joints
            ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def moving(t: int, amount: float, seed: int = 0) -> np.ndarray:
    """(t 25 3): a body that moves so much."""
    rng = np.random.default_rng(seed)
    return (2 + amount * rng.standard_normal((t, 25, 3))).round(6)


def by_hand(bodies: np.ndarray) -> np.ndarray:
    """The two that move most, by the words of the README and plain loops."""
    energies = []
    for body in bodies:
        seen = [frame for frame in body if frame.sum() != 0]
        values = [np.std([frame[:, c] for frame in seen]) for c in range(3)] if seen else [0]
        energies.append(sum(values))
    order = sorted(range(len(bodies)), key=lambda m: energies[m])[::-1][:2]
    return np.array([bodies[m] for m in order if bodies[m].sum() != 0]).reshape(
        -1, *bodies.shape[1:]
    )


def test_the_two_bodies_that_move_most(tmp_path):
    t, amounts = 6, (0.1, 0.5, 0.0, 0.3, 9.0)  # the fifth is beyond the four that are read
    bodies = [moving(t, amount, seed) for seed, amount in enumerate(amounts)]
    path = tmp_path / "S001C002P003R002A013.skeleton"
    write_skeleton(path, [[body[i] for body in bodies] for i in range(t)])
    found = ntu.annotate(path)
    assert (found["frame_dir"], found["label"], found["total_frames"]) == (path.stem, 12, t)
    assert found["keypoint"].dtype == np.float16
    np.testing.assert_array_equal(
        found["keypoint"], np.stack([bodies[1], bodies[3]]).astype(np.float16)
    )


def test_bodies_that_come_and_go(tmp_path):
    """A body is its place in the list of each frame; frames without it count for nothing."""
    one, two = moving(5, 0.2, 1), moving(5, 0.2, 2) + 3
    frames = [[one[0]], [one[1], two[1]], [], [one[3], two[3]], [two[4]]]
    path = tmp_path / "S001C002P003R002A001.skeleton"
    write_skeleton(path, frames)
    bodies = ntu.bodies(path)
    assert bodies.shape == (4, 5, 25, 3)
    np.testing.assert_array_equal(bodies[0], [one[0], one[1], one[2] * 0, one[3], two[4]])
    np.testing.assert_array_equal(bodies[1], [0 * two[0], two[1], two[2] * 0, two[3], 0 * two[4]])
    np.testing.assert_array_equal(ntu.people(bodies), by_hand(bodies))


def test_people_by_hand():
    rng = np.random.default_rng(0)
    for _ in range(20):
        bodies = rng.standard_normal((4, 7, 25, 3)) * rng.random((4, 1, 1, 1))
        bodies[:, rng.random(7) < 0.3] = 0
        bodies[rng.random(4) < 0.4] = 0
        np.testing.assert_array_equal(ntu.people(bodies), by_hand(bodies))


NAMES = (
    "S001C001P001R001A001",  # of subject 1: training
    "S001C002P003R002A060",  # of subject 3: validation; cameras 2 and 3: training
    "S017C003P008R001A031",
    "S018C001P103R001A120",  # only in 120; an even setup: training
    "S031C001P101R001A007",
)
INCOMPLETE = "S001C002P005R002A008"


@pytest.fixture
def raw(tmp_path) -> Path:
    for seed, name in enumerate((*NAMES, INCOMPLETE)):
        write_skeleton(tmp_path / f"raw/{name}.skeleton", [[b] for b in moving(3, 1.0, seed)])
    return tmp_path / "raw"


@pytest.mark.parametrize(
    "classes,splits",
    [
        (60, {"xsub_train": [0, 2], "xsub_val": [1], "xview_train": [1, 2], "xview_val": [0]}),
        (
            120,
            {
                "xsub_train": [0, 2, 3],
                "xsub_val": [1, 4],
                "xset_train": [3],
                "xset_val": [0, 1, 2, 4],
            },
        ),
    ],
)
def test_the_pickle_of_a_folder(raw, tmp_path, capsys, classes, splits):
    out = tmp_path / f"ntu{classes}_3d.pkl"
    ntu.main(["--source", str(raw), "--out", str(out), "--classes", str(classes)])
    assert "1 left out as incomplete" in capsys.readouterr().out
    content = skeleton_files.load(out)
    assert {
        key: [NAMES.index(n) for n in names] for key, names in content["split"].items()
    } == splits
    for annotation in content["annotations"]:
        seed = NAMES.index(annotation["frame_dir"])
        np.testing.assert_array_equal(
            annotation["keypoint"], moving(3, 1.0, seed)[None].astype(np.float16)
        )
    train = skeleton.build("train", root=str(tmp_path), file=out.name, subset="xsub_train")
    assert [train.id(i) for i in range(len(train))] == [NAMES[i] for i in splits["xsub_train"]]
    assert train.labels.tolist() == [int(NAMES[i][-3:]) - 1 for i in splits["xsub_train"]]


def test_the_list_of_incomplete_samples_is_the_authors(data_folder):
    ours = set(ntu.MISSING.read_text().split())
    for file, classes in (("NTU_RGBD", 60), ("NTU_RGBD120", 120)):
        path = data_folder / f"skeleton/{file}_samples_with_missing_skeletons.txt"
        assert {n for n in ours if ntu.belongs(n, classes)} == set(path.read_text().split())


@pytest.mark.parametrize(
    "content,message",
    [
        ("3\n1\n", "truncated, or not a .skeleton file"),
        ("", "truncated, or not a .skeleton file"),
        ("hello", "truncated, or not a .skeleton file"),
        ("2\n0\n0\n", "there is nobody in it"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, message):
    path = tmp_path / "S001C002P003R002A013.skeleton"
    path.write_text(content)
    with pytest.raises(UserError, match=rf"A013\.skeleton: {message}"):
        ntu.annotate(path)
    out = tmp_path / "x.pkl"
    with pytest.raises(UserError, match=rf"some files cannot be used:\n  {path}: {message}"):
        ntu.convert(tmp_path, out, 60)
    assert not out.exists()
    with pytest.raises(UserError, match="this is an input"):
        ntu.convert(tmp_path, path, 60)
    path.rename(tmp_path / "clip.skeleton")
    with pytest.raises(UserError, match=r"clip\.skeleton: names are like"):
        ntu.convert(tmp_path, out, 60)
    with pytest.raises(UserError, match=r"no \.skeleton files of NTU RGB\+D 60"):
        ntu.convert(tmp_path / "nowhere", out, 60)


# Pickles to ArrayRecord


def same(name: str, raw: Path, split: str, **options):
    """Builds `name`; asserts that its split reads as the pickle does."""
    build.main([f"skeletons/{name}", "--data-dir", str(raw / "data"), "--source", str(raw)])
    stored = source.build(
        "train", root=str(raw / "data"), dataset=f"skeletons/{name}", subset=split
    )
    direct = skeleton.build("train", root=str(raw), file=f"{name}.pkl", subset=split, **options)
    rows = {direct.id(i): direct[i] for i in range(len(direct))}
    assert sorted(rows) == sorted(stored.id(i) for i in range(len(stored)))
    for i in range(len(stored)):
        sample, expected = stored[i], rows[stored.id(i)]
        assert set(sample) == set(expected) - {"path"}
        for key in sample:
            np.testing.assert_array_equal(sample[key], expected[key])
        assert stored.labels[i] == sample["label"]


def test_three_dimensions(raw):
    ntu.convert(raw, raw / "ntu60_3d.pkl", 60)
    same("ntu60_3d", raw, "xsub_train")


def annotation(name: str, label: int, people: int, t: int) -> dict:
    rng = np.random.default_rng(label)
    return {
        "frame_dir": name,
        "label": label,
        "img_shape": (1080, 1920),
        "original_shape": (1080, 1920),
        "total_frames": t,
        "keypoint": (1000 * rng.random((people, t, 17, 2))).astype(np.float16),
        "keypoint_score": rng.random((people, t, 17)).astype(np.float16),
    }


def test_two_dimensions(tmp_path, capsys):
    content = {
        "split": {"train": ["a", "b", "gone"], "val": ["c"]},
        "annotations": [
            annotation("a", 0, 1, 3),
            annotation("b", 98, 2, 5),
            annotation("c", 7, 1, 4),
        ],
    }
    (tmp_path / "gym_2d.pkl").write_bytes(pickle.dumps(content))
    with logs("1 of 3 samples"):
        same("gym_2d", tmp_path, "train")
    assert "1 missing, such as gone" in capsys.readouterr().out


def test_kinetics_with_a_file_for_each_sample(tmp_path, data_folder):
    """The real table, with made-up key points for two of its samples."""
    (tmp_path / "k400_2d.pkl").write_bytes((data_folder / "annotations/sample.pkl").read_bytes())
    (tmp_path / "kpfiles").mkdir()
    rng = np.random.default_rng(0)
    table = skeleton_files.load(tmp_path / "k400_2d.pkl")["annotations"]
    for row in table[:2]:
        points = rng.random((len(row["frame_inds"]), 17, 3)).astype(np.float16)
        (tmp_path / f"kpfiles/{row['frame_dir']}.pkl").write_bytes(
            pickle.dumps({"keypoint": points})
        )
    build.main(
        ["skeletons/k400_2d", "--data-dir", str(tmp_path / "data"), "--source", str(tmp_path)]
    )
    stored = source.build("train", root=str(tmp_path / "data"), dataset="skeletons/k400_2d")
    assert len(stored) == 2
    for i in range(2):
        (row,) = (row for row in table if row["frame_dir"] == stored.id(i))
        points = skeleton_files.load(tmp_path / f"kpfiles/{stored.id(i)}.pkl")["keypoint"]
        np.testing.assert_array_equal(stored[i]["keypoint"], points)
        np.testing.assert_array_equal(stored[i]["frame_inds"], row["frame_inds"])
        assert tuple(stored[i]["size"]) == row["img_shape"] and stored[i]["label"] == row["label"]


# BABEL and Jester


def write_babel(folder: Path, classes: int, frames: int = 6) -> dict[str, np.ndarray]:
    """Write the features of both splits as their authors name them, and return the joints."""
    found = {}
    for split, count in (("train", 3), ("val", 2)):
        points = np.random.default_rng(count).normal(size=(count, 3, frames, 25, 1))
        np.save(folder / f"{split}_ntu_sk_{classes}.npy", points)
        ids = [f"{split}{i}" for i in range(count)]
        rest = ([i + 7 for i in range(count)], [100 + i for i in range(count)], [0] * count, ids)
        (folder / f"{split}_label_{classes}.pkl").write_bytes(pickle.dumps((ids, rest)))
        found[split] = points
    return found


def test_babel(tmp_path, capsys):
    points = write_babel(tmp_path, 60)
    babel.main(["--source", str(tmp_path), "--out", str(tmp_path / "babel60_3d.pkl")])
    assert "3 for train, 2 for val" in capsys.readouterr().out
    content = skeleton_files.load(tmp_path / "babel60_3d.pkl")
    assert content["split"]["val"] == ["val0_100_0_val0", "val1_101_0_val1"]
    last = content["annotations"][-1]
    assert last["label"] == 8 and last["total_frames"] == 6
    moved = np.moveaxis(points["val"][1], 0, -1)  # (t j m c)
    np.testing.assert_array_equal(last["keypoint"][0], moved[:, :, 0].astype(np.float16))
    same("babel60_3d", tmp_path, "val")


def test_files_that_are_not_babels_are_named(tmp_path):
    out = tmp_path / "out.pkl"
    with pytest.raises(UserError, match=r"train_ntu_sk_120\.npy: no such file of BABEL-120"):
        babel.convert(tmp_path, out, 120)
    write_babel(tmp_path, 60)
    table, points = tmp_path / "val_label_60.pkl", tmp_path / "val_ntu_sk_60.npy"
    ids, rest = skeleton_files.load(table)
    for content, message in (
        ((ids, ([7, 60], *rest[1:])), "sample 1: label 60 is outside 0..59"),
        ((ids[:1], rest), "a column has 1 entries, but the joints have 2"),
        ((ids, rest[:3]), r"expected a pair \(ids, "),
    ):
        table.write_bytes(pickle.dumps(content))
        with pytest.raises(UserError, match=f"^{table}: {message}"):
            babel.convert(tmp_path, out, 60)
    np.save(points, np.zeros((2, 3, 6, 17, 1)))
    with pytest.raises(UserError, match=rf"^{points}: has shape \(2, 3, 6, 17, 1\)"):
        babel.convert(tmp_path, out, 60)
    points.write_bytes(b"text")
    with pytest.raises(UserError, match=rf"^{points}: not a \.npy file"):
        babel.convert(tmp_path, out, 60)
    assert not out.exists()


def test_hands_of_jester(tmp_path):
    rows = [annotation(name, label, 1, 4) for label, name in enumerate(("12", "7", "30"))]
    for row in rows:
        row["keypoint"] = np.ones((1, 4, 21, 2), np.float32) * row["label"] + 2
        row["keypoint_score"] = np.ones((1, 4, 21), np.float32)
    content = {"split": {"train": ["12", "7"], "val": ["30"]}, "annotations": rows}
    (tmp_path / "jester.pkl").write_bytes(pickle.dumps(content))
    same("jester", tmp_path, "train")
