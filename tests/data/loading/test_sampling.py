"""Which row comes when: shares of classes and parts, the same from any start, worker or process."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from jaxvid.data.annotations.labels import ragged
from jaxvid.data.loading import loader, sampling
from jaxvid.data.sources import concat, video_list
from jaxvid.errors import UserError
from tests.data.loading.test_loader import Numbers, assert_equal, draw, indices, take, train

SIZES = (60, 25, 10, 5)  # of classes


def source(labels=None, repeats=None) -> Any:
    """Rows that hold their number; classes are scattered over the list."""
    scattered = np.random.default_rng(0).permutation(np.repeat(np.arange(4), SIZES))
    labels = scattered if labels is None else labels
    made: Any = Numbers(len(labels))
    made.labels, made.repeats = labels, repeats
    return made


def epochs(of, count: int, balance=0.0, seed=3, first=0) -> list[np.ndarray]:
    """The rows of some epochs."""
    rows, length = sampling.build(of, balance, seed), sampling.length(of, balance)
    return [
        np.array([rows[e * length + i] for i in range(length)]) for e in range(first, first + count)
    ]


# Classes


def test_without_balance_every_row_comes_once():
    assert sampling.wanted(source()) is None
    for rows in epochs(source(), 3):
        assert sorted(rows) == list(range(100))


def test_rows_wanted_once_come_once_whichever_way_that_is_said():
    for rows in epochs(source(repeats=np.ones(100)), 20):
        assert sorted(rows) == list(range(100))


@pytest.mark.parametrize(
    "balance,expected",
    [
        (1.0, [25, 25, 25, 25]),
        (0.5, 100 * np.sqrt(SIZES) / np.sqrt(SIZES).sum()),
        (1e-9, SIZES),
    ],
)
def test_each_epoch_has_the_share_of_each_class(balance, expected):
    of = source()
    for rows in epochs(of, 10, balance):
        assert len(rows) == 100
        found = np.bincount(of.labels[rows], minlength=4)
        assert (np.abs(found - expected) < 1).all()


def test_rows_of_a_class_come_equally_often():
    of = source()
    each = np.stack([np.bincount(rows, minlength=100) for rows in epochs(of, 30, 1.0)])
    expected = np.array([25 / size for size in SIZES])[of.labels]
    assert (np.abs(each - expected) < 1).all(), "rounded up or down in every epoch"
    assert (np.abs(each.sum(0) - 30 * expected) < 3).all()


def test_order_within_an_epoch_is_random():
    of = source()
    one, two = epochs(of, 2, 1.0)
    assert (of.labels[one] == of.labels[two]).mean() < 0.5
    halves = np.bincount(of.labels[one[:50]], minlength=4)
    assert halves.min() > 4, "no class waits for the end"
    assert len({tuple(r) for r in (one, two, *epochs(of, 2, 1.0, seed=4))}) == 4


def test_an_epoch_far_off_is_as_any():
    of = source()
    for rows in epochs(of, 3, 1.0, first=10**10):
        assert np.bincount(of.labels[rows]).tolist() == [25, 25, 25, 25]


def test_several_labels_count_by_the_rarest():
    rows = [[3]] * 80 + [[1, 3]] * 16 + [[0, 1]] * 4 + [[]] * 20
    wanted = sampling.wanted(source(labels=ragged(rows, 4)), 1.0)
    assert wanted is not None and wanted.sum() == pytest.approx(120)
    first, second, third, none = wanted[0], wanted[80], wanted[96], wanted[119]
    assert second / first == pytest.approx(96 / 20) and third / first == pytest.approx(96 / 4)
    assert none == first
    dense = np.array(list(ragged(rows, 4)))
    np.testing.assert_array_equal(sampling.wanted(source(labels=dense), 1.0), wanted)


@pytest.mark.parametrize("balance", [-0.1, 1.5])
def test_balance_has_bounds(balance):
    with pytest.raises(UserError, match=rf"config\.loader\.balance={balance}: expected 0"):
        train(Numbers(10), balance=balance)


# Weights


def test_weights_of_rows():
    weights = np.random.default_rng(1).gamma(1.0, size=100)
    weights[7] = 0
    of = source(repeats=weights / weights.mean())
    runs = epochs(of, 50)
    count = np.bincount(np.concatenate(runs), minlength=100)
    assert len(runs[0]) == 100 and count[7] == 0
    assert (np.abs(count - 50 * of.repeats) < 3).all()
    assert all((np.abs(np.bincount(r, minlength=100) - of.repeats) < 1).all() for r in runs)


def test_a_list_with_weights(tmp_path):
    (tmp_path / "list.txt").write_text("a.mp4 0\n\nb.mp4 0\nc.mp4 1\n")
    (tmp_path / "weights.txt").write_text("3\n0.5\n2.5\n")
    listed: Any = dict(root=str(tmp_path), file="list.txt", weights="weights.txt")
    repeats: Any = video_list.build("train", **listed).repeats
    assert repeats.tolist() == [1.5, 0.25, 1.25]


@pytest.mark.parametrize(
    "text,message",
    [
        ("1\n2\n", r"weights\.txt: 2 weights for 3 videos"),
        ("1\n-2\n3\n", r'weights\.txt:2: "-2" is not a weight'),
        ("1\n2\nx\n", r'weights\.txt:3: "x" is not a weight'),
        ("1\n2\ninf\n", r'weights\.txt:3: "inf" is not a weight'),
        ("0\n0\n0\n", r"weights\.txt: no weight above 0"),
        (None, r"weights\.txt: no such file of weights"),
    ],
)
def test_weights_that_are_none(tmp_path, text, message):
    (tmp_path / "list.txt").write_text("a.mp4 0\nb.mp4 0\nc.mp4 1\n")
    if text:
        (tmp_path / "weights.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        video_list.build("train", root=str(tmp_path), file="list.txt", weights="weights.txt")


def test_a_length_that_is_not_whole_is_rounded_for_all_alike():
    of = source(labels=np.zeros(7, int), repeats=np.full(7, 1.5))
    assert sampling.length(of) == 10
    count = np.bincount(np.concatenate(epochs(of, 70)), minlength=7)
    assert (np.abs(count - 100) < 3).all()


def test_a_reading_where_a_row_begins_is_of_that_row():
    draw = sampling.Draw(np.array([0.0, 1.0, 1.0, 2.0]), np.arange(4), start=0)
    assert [draw(0, 0), draw(1, 1)] == [1, 3], "rows 0 and 2 are not wanted"


# Parts


def parts(folder, sizes, **options) -> Any:
    """A concat of lists; `options` are keys of the parts' specs, {key: {part: value}}."""
    specs = {}
    for name, size in sizes.items():
        (folder / f"{name}.txt").write_text(
            "".join(f"{name}{i}.mp4 {i % 2}\n" for i in range(size))
        )
        specs[name] = dict(name="video_list", file=f"{name}.txt")
        specs[name] |= {key: values[name] for key, values in options.items() if name in values}
    return concat.build("train", root=str(folder), **specs)


def drawn(of, rows) -> Counter:
    return Counter(of.id(int(row)).rpartition("/")[2][0] for row in rows)


def test_parts_without_more_are_all_of_their_rows(tmp_path):
    of = parts(tmp_path, dict(a=5, b=3))
    assert of.repeats is None and sampling.length(of) == 8


def test_ratios_hold_whatever_the_sizes(tmp_path):
    """OmniSource: its own videos as often as two of the web's sources."""
    of = parts(tmp_path, dict(a=40, b=300, c=55), ratio=dict(a=2.0, b=1.0, c=1.0))
    assert sampling.length(of) == 80, "then the first of them is through"
    runs = epochs(of, 15)
    for rows in runs:
        assert drawn(of, rows) == {"a": 40, "b": 20, "c": 20}
        assert len({row for row in rows if row < 40}) == 40
    # In 15 epochs the largest is through, too.
    count = np.bincount(np.concatenate(runs), minlength=395)
    assert count[:40].tolist() == [15] * 40 and count[40:340].sum() == 300
    assert count[40:340].max() <= 3 and (count[40:340] > 0).mean() > 0.7


def test_parts_are_repeated(tmp_path):
    of = parts(tmp_path, dict(a=10, b=20, c=8), repeat=dict(a=3, b=0.25))
    assert sampling.length(of) == 43
    for rows in epochs(of, 8):
        assert drawn(of, rows) == {"a": 30, "b": 5, "c": 8}
        assert Counter(row for row in rows if row < 10) == dict.fromkeys(range(10), 3)


def test_parts_within_parts_keep_their_ratios(tmp_path):
    parts(tmp_path, dict(a=30, b=10, c=10))
    listed = {name: dict(name="video_list", file=f"{name}.txt") for name in "abc"}
    inner = dict(name="concat", a=listed["a"] | {"ratio": 1.0}, b=listed["b"] | {"ratio": 2.0})
    of = concat.build(
        "train", root=str(tmp_path), inner=inner | {"ratio": 3.0}, c=listed["c"] | {"ratio": 1.0}
    )
    (rows,) = epochs(of, 1)
    assert drawn(of, rows) == {"a": 5, "b": 10, "c": 5}


def test_balance_acts_on_the_mixture(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"a{i}.mp4 {i // 30}\n" for i in range(40)))
    (tmp_path / "b.txt").write_text("".join(f"b{i}.mp4 1\n" for i in range(10)))
    spec: Any = dict(name="video_list")
    of = concat.build(
        "train",
        root=str(tmp_path),
        a=spec | dict(file="a.txt"),
        b=spec | dict(file="b.txt", repeat=2),
    )
    (rows,) = epochs(of, 1, 1.0)
    classes = Counter(of.labels[rows].tolist())
    assert classes == {0: 30, 1: 30}
    found = drawn(of, [row for row in rows if of.labels[row] == 1])
    assert found == {"a": 10, "b": 20}, "within a class the parts keep their proportions"


@pytest.mark.parametrize(
    "options,message",
    [
        (dict(ratio=dict(a=1.0)), "give a ratio to all sources of a concat or to none"),
        (dict(ratio=dict(a=1.0, b=2.0), repeat=dict(a=2)), "to none; do not combine"),
        (dict(ratio=dict(a=1.0, b=0.0)), r"config\.data\.train\.b\.ratio=0\.0: it must be above 0"),
        (dict(repeat=dict(a=-1)), r"config\.data\.train\.a\.repeat=-1: it must be above 0"),
    ],
)
def test_shares_that_mean_nothing(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        parts(tmp_path, dict(a=2, b=2), **options)


# The stream


@pytest.fixture(scope="module")
def reference():
    return take(train(source(), 8, balance=1.0, stop=30))


@pytest.mark.parametrize("workers,start", [(0, 1), (0, 13), (1, 4), (2, 0), (2, 17)])
def test_the_stream_is_the_same_for_any_start_and_workers(reference, workers, start):
    got = take(train(source(), 8, balance=1.0, stop=30, start=start, workers=workers))
    assert_equal(got, reference[start:])


def test_processes_share_each_batch(reference):
    """Rows of two processes, side by side, are those of one: none is lost, none is there twice."""
    of = [take(train(source(), 8, balance=1.0, stop=30, process=(p, 2))) for p in range(2)]
    for whole, one, two in zip(reference, *of, strict=True):
        assert len(one["index"]) == len(two["index"]) == 4
        assert_equal([{k: np.concatenate([one[k], two[k]]) for k in one}], [whole])


def test_the_stream_is_that_of_the_order(reference):
    rows = sampling.build(source(), 1.0, 7)
    assert indices(reference) == [rows[k] for k in range(240)]


def test_no_step_is_far():
    of = source()
    batches = train(of, 4, balance=0.5, start=10**12, stop=10**12 + 1)
    assert len(indices(take(batches))) == 4 and of.reads == 4


def test_another_length_of_the_epoch_is_said(said):
    options: Any = dict(batch=4, seed=0, workers=0, stop=1)
    loader.train_batches(source(), [draw], **options)
    assert said == []
    loader.train_batches(source(repeats=np.full(100, 1.5)), [draw], **options)
    assert said == ["an epoch draws 150 clips from 100 videos"]
