"""Data of one's own for every task: what a folder may hold, test sets, weights to start from."""

import json
import pickle
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.config import loading
from jaxvid.data import dataset
from jaxvid.data.sources import user_captions, user_clips, user_skeletons
from jaxvid.data.transforms.text import Tokenize
from jaxvid.errors import UserError
from jaxvid.metrics.prompted import PromptedAccuracy, class_scores
from jaxvid.models.clip import Matched
from jaxvid.tasks.prompted import Prompted
from jaxvid.tools import split
from jaxvid.weights import resolve, zoo

OWN = [
    "audio_own",
    "skeleton_own",
    "retrieval_own",
    "multi_label_own",
    "actionclip_own",
    "xclip_own",
]


def annotations(*labels: int) -> list[dict[str, Any]]:
    point = np.ones((1, 4, 17, 2), np.float32) * 5
    score = np.ones((1, 4, 17), np.float32)
    about = dict(total_frames=4, img_shape=(10, 10), keypoint=point, keypoint_score=score)
    return [dict(frame_dir=f"s{i}", label=label, **about) for i, label in enumerate(labels)]


def dump(path, content):
    path.write_bytes(pickle.dumps(content))


# Configs


@pytest.mark.parametrize("name", OWN)
def test_mini_starts_from_random_values_and_others_from_published_ones(name):
    (row,) = (row for row in loading.shipped() if row.name == name)
    assert "mini" in row.variants
    for variant in row.variants:
        config = loading.load(f"{name}:{variant}")
        found = resolve.resolve(config.init.weights, config.model.to_dict())
        assert bool(found) == (variant != "mini"), variant
        if found:
            published = zoo.get(found)
            assert published.model["name"] == config.model.name
            assert published.model["variant"] == config.model.variant
            if published.kind == "skeleton":
                assert tuple(published.recipe["streams"]) == config.data.recipe.streams
                assert published.recipe["layout"] == config.data.recipe.layout


# Skeletons


def test_skeletons_in_a_file_for_each_split(tmp_path):
    dump(tmp_path / "train.pkl", annotations(0, 1, 1))
    dump(tmp_path / "val.pickle", annotations(1))
    (tmp_path / "classes.txt").write_text("wave\nsit\n")
    data = loading.load("skeleton_own:mini").data.to_dict()
    data |= dict(root=str(tmp_path), checks=("labels", "empty"))
    found = dataset.for_training(data)
    assert found.names == ("wave", "sit")
    assert found.splits["train"].labels.tolist() == [0, 1, 1]
    assert not user_skeletons.holds(str(tmp_path), "test")


def test_skeletons_in_one_file_with_splits(tmp_path):
    splits = {"train": ["s0", "s2"], "val": ["s1"]}
    dump(tmp_path / "skeletons.pkl", {"split": splits, "annotations": annotations(0, 1, 2)})
    for name, labels in (("train", [0, 2]), ("val", [1])):
        found = user_skeletons.build(name, root=str(tmp_path))
        assert found.labels.tolist() == labels
    dump(tmp_path / "train.pkl", annotations(0))
    with pytest.raises(UserError, match=r"has skeletons\.pkl and files of splits"):
        user_skeletons.build("train", root=str(tmp_path))


@pytest.mark.parametrize("source", [user_captions, user_skeletons])
def test_a_folder_that_lacks_a_file(source, tmp_path):
    with pytest.raises(UserError, match=r"set --config\.data\.root to the folder of your"):
        source.build("train", root="")
    with pytest.raises(UserError, match="no such folder"):
        source.build("train", root=str(tmp_path / "none"))
    with pytest.raises(UserError, match=rf"there is no train\{source.ENDINGS[0]} or"):
        source.build("train", root=str(tmp_path))


# Captions and test sets


@pytest.mark.parametrize(
    "ending,text",
    [
        (".json", json.dumps({"a.mp4": ["a man sings"]})),
        (".csv", "video,caption\na.mp4,a man sings\n"),
        (".txt", "a.mp4 a man sings\n"),
    ],
)
def test_captions_in_any_format(ending, text, tmp_path):
    (tmp_path / f"val{ending}").write_text(text)
    found = user_captions.build("val", root=str(tmp_path))
    assert found[0]["captions"] == ("a man sings",)
    assert found[0]["path"] == str(tmp_path / "videos/a.mp4")
    assert user_captions.holds(str(tmp_path), "val")
    assert not user_captions.holds(str(tmp_path), "test")


def clips(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_evaluation_takes_the_test_list_that_split_writes(tmp_path):
    clips(tmp_path, *(f"{name}/{i}.mp4" for name in ("run", "sit") for i in range(10)))
    data = loading.load("finetune:mini").data.to_dict() | dict(root=str(tmp_path))
    names = dataset.for_training(data).names
    assert dataset.for_evaluation(data, names).origin == str(tmp_path)
    split.run(tmp_path, val=0.2, test=0.3)
    found = dataset.for_evaluation(data, names)
    assert found.origin == str(tmp_path / "test.csv") and len(found) == 6
    assert len(dataset.for_training(data).splits) == 2
    data["test"] = data["val"] | dict(name="video_list", file="val.csv")
    del data["test"]["train_share"]
    assert len(dataset.for_evaluation(data, names)) == 4  # a config that names one keeps it


SEGMENTS = {"v": {"duration": 9.0, "annotations": [{"segment": [1.0, 4.5], "label": "jump"}]}}
LISTS = {
    "bmn_own": (".json", json.dumps(SEGMENTS)),
    "fast_rcnn_own": (".csv", "v.mp4,1.5,0.1,0.1,0.5,0.5,jump\n"),
    "skeleton_own": (".pkl", pickle.dumps(annotations(0))),
    "retrieval_own": (".csv", "video,caption\nv.mp4,he jumps\n"),
    "multi_label_own": (".csv", "path,label\nv.mp4,jump\n"),
    "actionclip_own": (".csv", "path,label\nv.mp4,jump\n"),
    "xclip_own": (".csv", "path,label\nv.mp4,jump\n"),
    "finetune": (".csv", "path,label\nv.mp4,jump\n"),
}


@pytest.mark.parametrize("name", LISTS)
def test_every_task_evaluates_on_a_test_list_if_there_is_one(name, tmp_path):
    ending, content = LISTS[name]
    content = content if isinstance(content, bytes) else content.encode()
    data = loading.load(f"{name}:mini").data.to_dict() | dict(root=str(tmp_path), checks=())
    for part in ("train", "val"):
        (tmp_path / f"{part}{ending}").write_bytes(content)
    assert "test" not in dataset.with_test(data)
    (tmp_path / f"test{ending}").write_bytes(content)
    source = dataset.build(splits=("test",), **{**dataset.with_test(data), "recipe": {}})
    assert source.splits["test"].origin == str(tmp_path / f"test{ending}")


def test_a_class_may_be_called_test(tmp_path):
    clips(tmp_path, "test/a.mp4", "test/b.mp4", "run/a.mp4", "run/b.mp4")
    assert not user_clips.holds(str(tmp_path), "test")
    clips(tmp_path, "all/train/run/a.mp4", "all/val/run/a.mp4", "all/test/run/a.mp4")
    assert user_clips.holds(str(tmp_path / "all"), "test")


# Classes by their names


def test_samples_have_the_names_of_their_classes(tmp_path):
    clips(tmp_path, "a run/a.mp4", "a run/b.mp4", "sit/a.mp4", "sit/b.mp4")
    found = user_clips.build("train", root=str(tmp_path), texts=True)
    assert [found[i]["labels"] for i in range(len(found))] == [("a run",)] * 2 + [("sit",)] * 2
    every = user_clips.build("train", root=str(tmp_path), all_texts=True)
    assert [every[i]["labels"] for i in range(len(every))] == [("a run", "sit")] * 4
    (tmp_path / "train.csv").write_text("sit/a.mp4,sit\n")
    assert user_clips.build("train", root=str(tmp_path), texts=True)[0]["labels"] == ("sit",)
    (tmp_path / "train.csv").write_text("sit/a.mp4,0\n")
    with pytest.raises(UserError, match=r"classes need names as texts; write them to classes\.txt"):
        user_clips.build("train", root=str(tmp_path), texts=True)


def test_templates_of_a_label():
    def texts(use, seed=0):
        step = Tokenize(templates=("{}", "a {}", "the {} again"), use=use)
        return step({"labels": ("dog",)}, np.random.default_rng(seed))["text"]

    every = texts("all")
    assert len(every) == 3
    np.testing.assert_array_equal(texts("first"), every[:1])
    drawn = [texts("random", seed) for seed in range(20)]
    assert {len(text) for text in drawn} == {1}
    assert {text.tobytes() for text in drawn} == {row[None].tobytes() for row in every}


def units(*shape, seed):
    x = np.random.default_rng(seed).standard_normal(shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def test_the_loss_takes_all_of_a_class_for_right():
    """Against plain loops; a skipped sample is neither a row nor a candidate."""
    label, mask = np.array([2, 0, 2, 0]), np.array([1, 1, 1, 0])
    video, text = units(4, 6, seed=0), units(4, 1, 6, seed=1)
    out = Matched(jnp.array(video), jnp.array(text), jnp.array(3.0))
    batch = dict(label=jnp.array(label), mask=jnp.array(mask, jnp.float32))
    loss, aside = Prompted(num_classes=3).loss(out, batch)
    score, known = 3.0 * video[:3] @ text[:3, 0].T, label[:3]
    each = []
    for rows in (score, score.T):
        for i, row in enumerate(rows.astype(np.float64)):
            likely = row - np.log(np.exp(row).sum())
            each.append(-likely[known == known[i]].mean())
    assert loss == pytest.approx(np.mean(each), rel=1e-5)
    assert aside["v2t_r1"] == pytest.approx((known[score.argmax(1)] == known).mean())


def test_accuracy_compares_with_the_texts_of_all_classes():
    texts = units(4, 2, 64, seed=0)  # of four classes, of which class 3 has no sample
    label = np.array([0, 1, 2, 1, 0])
    video = texts[label].mean(1)
    video[4] = texts[2].mean(0)  # taken for class 2
    video = (video / np.linalg.norm(video, axis=1, keepdims=True)).astype(np.float32)
    metric = PromptedAccuracy(4, temperature=100.0)
    preds = dict(video=video, text=texts[label], label=label)
    for rows in (slice(0, 3), slice(3, 5)):
        part = {key: value[rows] for key, value in preds.items()}
        padded = {key: np.concatenate([value, value[:1]]) for key, value in part.items()}
        metric.update(padded | dict(mask=np.append(np.ones(len(part["label"])), 0)))
    assert metric.compute()["top1"] == pytest.approx(0.8)
    score = class_scores(video, texts[label], label, 4, 100.0)
    assert score.argmax(1).tolist() == [0, 1, 2, 1, 2]
    assert (score[:, 3] == 0).all()
    np.testing.assert_allclose(score.sum(1), 1, rtol=1e-5)
