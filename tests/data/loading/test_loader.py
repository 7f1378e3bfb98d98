"""The stream: order and content from (seed, step) alone, bad files, workers that leave no trace."""

import itertools
import threading
import time
from typing import Any

import numpy as np
import pytest

from jaxvid import plug
from jaxvid.data.loading import loader
from jaxvid.data.sample import Source
from jaxvid.data.sources import video_list
from jaxvid.data.video.decode import VideoError
from jaxvid.data.video.encode import write_video
from jaxvid.errors import UserError
from tests.data import video_files as make


class Numbers(Source):
    """Rows that hold their own number; those in `bad` cannot be read."""

    names, origin = (), "memory"

    def __init__(self, count: int, bad=()):
        self.labels, self.bad, self.reads = np.arange(count, dtype=np.int32), frozenset(bad), 0

    def __getitem__(self, index):
        self.reads += 1
        if index in self.bad:
            raise VideoError(self.id(index), "damaged")
        return {"label": self.labels[index], "video": np.full(5000, index, np.int32)}

    def id(self, index):
        return f"{index}.mp4"

    def where(self, index):
        return f"list.txt:{index + 1}"


def draw(sample, rng):
    """A transform that shows which random numbers a row gets."""
    return sample | {"random": rng.random(2)}


def broken(sample, rng):
    return sample | {"video": sample["video"][int(sample["label"]) == 3]["x"]}


def train(source, batch=4, seed=7, workers=0, **options):
    return loader.train_batches(source, [draw], batch=batch, seed=seed, workers=workers, **options)


def test(source, batch=4, workers=0, transforms=(draw,), **options):
    return loader.eval_batches(source, transforms, batch=batch, workers=workers, **options)


test.__test__ = False  # type: ignore[attr-defined]


def take(batches, count=None):
    """Batches as plain arrays: those of workers lie in shared memory until they are dropped."""
    taken = itertools.islice(batches, count)
    return [{k: np.array(v) for k, v in batch.items()} for batch in taken]


def indices(batches) -> list[int]:
    return [int(i) for batch in batches for i in batch["index"]]


def assert_equal(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


# Order and content


@pytest.fixture(scope="module")
def reference():
    """12 batches of 4 from 10 samples: almost five epochs, whose borders lie inside batches."""
    return take(train(Numbers(10), stop=12))


def test_what_a_batch_holds(reference):
    for batch in reference:
        assert batch.keys() == {"label", "video", "random", "index", "mask"}
        assert batch["mask"].dtype == np.float32 and batch["mask"].tolist() == [1] * 4
        assert batch["index"].dtype == batch["label"].dtype == np.int32
        np.testing.assert_array_equal(batch["index"], batch["label"])
        assert batch["video"].shape == (4, 5000)


@pytest.mark.parametrize(
    "workers,start", [(0, 0), (0, 1), (0, 5), (0, 11), (0, 12), (1, 3), (2, 0), (2, 5), (2, 11)]
)
def test_a_stream_is_the_tail_of_the_stream_from_0(reference, workers, start):
    got = take(train(Numbers(10), start=start, stop=12, workers=workers))
    assert_equal(got, reference[start:])


def test_an_endless_stream_is_the_same(reference):
    assert_equal(take(train(Numbers(10)), 12), reference)


@pytest.mark.parametrize("start", [0, 3])
def test_processes_take_contiguous_rows(reference, start):
    parts = [take(train(Numbers(10), start=start, stop=12, process=(p, 2))) for p in range(2)]
    joined = [{k: np.concatenate([a[k], b[k]]) for k in a} for a, b in zip(*parts, strict=True)]
    assert_equal(joined, reference[start:])


def test_a_batch_divides_over_processes():
    with pytest.raises(UserError, match=r"batch of 4 is not divisible by 3.*config\.eval_batch"):
        train(Numbers(10), process=(0, 3))


def test_an_epoch_is_a_permutation_and_the_next_another():
    order = indices(take(train(Numbers(50), batch=8, stop=25)))
    epochs = [order[i : i + 50] for i in range(0, 200, 50)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    for a, b in itertools.combinations([*epochs, list(range(50))], 2):
        assert sum(x == y for x, y in zip(a, b, strict=True)) < 10


def test_randomness_is_of_the_seed_and_the_position(reference):
    values = np.concatenate([batch["random"] for batch in reference])
    assert len(np.unique(values)) == values.size, "no two rows draw the same, in no epoch"
    other = take(train(Numbers(10), seed=8, stop=12))
    assert indices(other) != indices(reference)
    assert not np.isin(values, [b["random"] for b in other]).any()


def test_no_step_is_far():
    source = Numbers(1000)
    (batch,) = take(train(source, batch=8, start=10**12, stop=10**12 + 1))
    assert source.reads == 8 and len(set(batch["index"])) == 8


def test_a_batch_can_be_larger_than_the_set():
    (batch,) = take(train(Numbers(3), batch=7, stop=1))
    assert sorted(batch["index"][:3]) == sorted(batch["index"][3:6]) == [0, 1, 2]


def test_batches_of_one_sample_are_those_of_larger_batches(reference):
    """Also one sample of each process."""
    ones = take(train(Numbers(10), batch=1), 8)
    assert indices(ones) == indices(reference[:2])
    second = take(train(Numbers(10), batch=2, process=(1, 2)), 4)
    assert indices(second) == indices(reference[:2])[1::2]


def test_nothing_gives_nothing():
    assert take(test(Numbers(0))) == take(train(Numbers(0), stop=3)) == []


# Evaluation


@pytest.mark.parametrize("batch", [1, 3, 5, 10, 16])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_every_sample_counts_once_in_evaluation(batch, count):
    parts = [take(test(Numbers(10), batch * count, process=(p, count))) for p in range(count)]
    assert len({len(part) for part in parts}) == 1, "processes must make as many steps"
    kept, padding = [], 0
    for row in zip(*parts, strict=True):
        mask = np.concatenate([part["mask"] for part in row])
        assert len(mask) == batch * count
        kept += np.concatenate([part["index"] for part in row])[mask > 0].tolist()
        padding += int((mask == 0).sum())
    assert kept == list(range(10))
    assert padding < batch * count


def test_evaluation_is_the_same_with_workers():
    assert_equal(take(test(Numbers(10), workers=2)), take(test(Numbers(10))))


# Bad files


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A list of eight: good and short videos, and one of each kind that cannot be read."""
    folder = tmp_path_factory.mktemp("clips")
    frames = np.random.default_rng(0).integers(0, 256, (12, 32, 48, 3), np.uint8)
    write_video(folder / "good.mp4", frames, 10)
    write_video(folder / "short.mp4", frames[:2], 10)
    (folder / "zero.mp4").touch()
    (folder / "text.mp4").write_text("this is no video\n" * 10)
    make.cut(folder / "good.mp4", folder / "cut.mp4", end=0.5)
    make.tone(folder / "sound.mp4", "aac")
    rows = ["good", "zero", "text", "cut", "sound", "none", "short", "good"]
    lines = [f"{name}.mp4 {label}" for label, name in enumerate(rows)]
    (folder / "list.txt").write_text("# clips\n" + "\n".join(lines) + "\n")
    return video_list.build("val", root=str(folder), file="list.txt")


GOOD, BAD = [0, 6, 7], [1, 2, 3, 4, 5]
REASONS = {
    1: "zero.mp4: zero-byte file",
    2: "text.mp4: not a video file",
    3: "cut.mp4: truncated",
    4: "sound.mp4: no video stream (audio only)",
    5: "none.mp4: no such file",
}


@pytest.fixture
def pipeline():
    recipe = dict(name="clip", frames=8, stride=2, size=16, short_side=20)
    return plug.load("data.recipes", recipe, split="val")


def check_reports(batches, said, word):
    """Every bad file once, with its reason."""
    assert sorted(batches.unreadable) == BAD
    for row, reason in REASONS.items():
        assert reason in batches.unreadable[row]
        (line,) = [line for line in said if reason in line]
        assert f"unreadable video {word}" in line
    assert len(said) == len(BAD)
    assert any("(5 so far)" in line for line in said)


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_videos_are_masked(clips, pipeline, workers, said):
    # Three further tries find one of the good videos in this order of evaluation.
    batches = test(clips, 3, workers, pipeline, on_error="skip")
    got = take(batches)
    rows = {k: np.concatenate([b[k] for b in got])[:8] for k in got[0]}
    assert rows["index"].tolist() == list(range(8))
    assert rows["mask"].tolist() == [float(i in GOOD) for i in range(8)]
    assert rows["label"][GOOD].tolist() == GOOD and not rows["label"][BAD].any()
    assert rows["video"].shape == (8, 1, 8, 16, 16, 3), "also of the one with two frames"
    assert rows["video"][GOOD].any((1, 2, 3, 4, 5)).all() and not rows["video"][BAD].any()
    check_reports(batches, said, "skipped")


def test_replaced_videos_leave_no_gap(clips, pipeline, said):
    # More good ones than bad, or four draws in a row hit bad ones before long.
    source: Any = video_list.Videos(
        [*clips.paths, *[clips.paths[0]] * 24], np.arange(32, dtype=np.int32), (), clips.origin
    )
    batches = loader.train_batches(source, pipeline, batch=4, seed=0, stop=16, workers=0)
    got = take(batches)
    assert all(batch["mask"].tolist() == [1] * 4 for batch in got)
    assert set(indices(got)) <= {*GOOD, *range(8, 32)}
    assert all((batch["index"] == batch["label"]).all() for batch in got)
    assert all(batch["video"].any((1, 2, 3, 4, 5)).all() for batch in got)
    check_reports(batches, said, "replaced by another")


def test_an_unreadable_video_ends_evaluation_and_names_its_line(clips, pipeline):
    with pytest.raises(UserError) as caught:
        take(test(clips, 2, 0, pipeline))
    message = str(caught.value)
    assert REASONS[1] in message and message.endswith(f"(listed in {clips.origin}:3)")
    assert "\n" not in message


def test_an_unreadable_video_ends_training_where_that_is_asked_for():
    with pytest.raises(UserError, match=r"^3\.mp4: damaged \(listed in list\.txt:4\)$"):
        take(train(Numbers(10, bad=[3]), on_error="raise", stop=3))


def test_training_replaces_and_evaluation_raises_by_default(said):
    source = Numbers(10, bad=[3])
    assert 3 not in indices(take(train(source, stop=3)))
    assert said == ["unreadable video replaced by another (1 so far): 3.mp4: damaged"]
    with pytest.raises(UserError, match=r"3\.mp4: damaged"):
        take(test(source))


def test_a_bad_file_does_not_change_the_other_rows(reference):
    got = take(train(Numbers(10, bad=[3]), stop=12))
    for one, other in zip(got, reference, strict=True):
        same = other["index"] != 3
        for key in one:
            np.testing.assert_array_equal(one[key][same], other[key][same])


def test_replacements_are_the_same_from_any_start():
    options: Any = dict(stop=6)
    whole = take(train(Numbers(10, bad=[1, 4, 8]), **options))
    assert_equal(take(train(Numbers(10, bad=[1, 4, 8]), start=2, **options)), whole[2:])


class FailsSometimes(Numbers):
    """A network disk: every second read of row 3 fails."""

    def __getitem__(self, index):
        self.bad = frozenset({3}) - self.bad if index == 3 else self.bad
        return super().__getitem__(index)


def test_the_reason_is_that_of_the_read_that_failed():
    batches = train(FailsSometimes(10), stop=3)
    take(batches)
    assert batches.unreadable == {3: "3.mp4: damaged"}


@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_in_a_row_are_an_error_that_names_them(workers):
    source = Numbers(10, bad=range(10))
    with pytest.raises(UserError, match=r"^10 unreadable videos in a row:") as caught:
        take(train(source, workers=workers, stop=5))
    names = str(caught.value).partition("row: ")[2].split("; ")
    assert len(names) == 10 and set(names) <= {f"{i}.mp4: damaged" for i in range(10)}


def test_an_unknown_policy():
    with pytest.raises(UserError, match='on_error is raise, replace, skip, not "ignore"'):
        train(Numbers(10), on_error="ignore")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_in_a_transform_says_at_which_video(workers):
    with pytest.raises(IndexError) as caught:
        take(test(Numbers(10), 1, workers, [broken]))
    assert caught.value.__notes__[0] == "while reading 0.mp4"


# Prefetching


class Watched:
    """An iterable that knows how far it was read and whether it was closed."""

    def __init__(self, count=10**9, fails_at=None):
        self.count, self.fails_at, self.reached, self.closed = count, fails_at, 0, False

    def __iter__(self):
        try:
            for i in range(self.count):
                if i == self.fails_at:
                    raise UserError(f"item {i}")
                self.reached = i + 1
                yield i
        finally:
            self.closed = True


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "prefetch"]


def test_prefetch_keeps_order_and_closes():
    source = Watched(50)
    assert list(loader.Prefetch(source, lambda x: 2 * x)) == list(range(0, 100, 2))
    assert source.closed and not threads()


def test_prefetch_runs_ahead_but_not_far():
    source = Watched()
    items = loader.Prefetch(source, depth=3)
    assert source.reached == 0, "not before it is asked"
    assert next(items) == 0
    deadline = time.monotonic() + 5
    while source.reached < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert source.reached == 5, "one taken, three wait, one is held"
    items.close()
    assert source.closed and not threads()


@pytest.mark.parametrize("asked", [0, 1, 4])
def test_prefetch_raises_what_the_producer_raised_in_its_turn(asked):
    source = Watched(fails_at=asked)
    items = loader.Prefetch(source)
    assert list(itertools.islice(items, asked)) == list(range(asked))
    with pytest.raises(UserError, match=f"^item {asked}$"):
        next(items)
    assert source.closed and not threads()


def test_prefetch_raises_what_the_transfer_raised():
    source = Watched()
    with pytest.raises(ZeroDivisionError):
        list(loader.Prefetch(source, lambda x: 1 // (3 - x)))
    assert source.closed and not threads()


def test_prefetch_of_what_cannot_be_iterated_does_not_wait_for_ever():
    with pytest.raises(TypeError, match="not iterable"):
        next(loader.Prefetch(5))  # type: ignore[arg-type]


def test_prefetch_takes_what_has_no_close():
    assert list(loader.Prefetch([1, 2])) == [1, 2]
