"""Loading of batches by grain worker processes.

The order and content of batches depend only on the seed and the step, and a run can start at any
step in O(1). In training, each epoch has another order. A batch can contain the end of one epoch
and the start of the next, so every sample counts once per epoch, or as often as
`loading/sampling.py` determines. Evaluation is one pass, and its last batch is padded with samples
of mask 0. Process p of n loads the contiguous rows [pB/n, (p+1)B/n) of each global batch of B.
"""

import functools
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cv2
import grain
import numpy as np
from absl import flags

from jaxvid import files, signals
from jaxvid.data.loading import sampling, shared_memory, spawn
from jaxvid.data.sample import Sample, Source, Transform
from jaxvid.data.video.decode import VideoError
from jaxvid.errors import UserError

logger = logging.getLogger(__name__)

PATIENCE = 60.0  # seconds without a batch before a warning
DEATHS = {
    "-9": " (killed, probably because memory ran out: use fewer config.loader.workers)",
    "-7": " (/dev/shm is full: enlarge it, such as with docker run --shm-size)",
}
RETRIES = 9  # number of other files to try if a file cannot be read
POLICIES = ("raise", "replace", "skip")


@dataclass(frozen=True)
class LoadSample:
    """Reads the sample with a given index.

    An index beyond the end returns the last sample with mask 0. An unreadable sample is replaced by
    another one. The keys `bad` and `why` report the rows that could not be read to the parent
    process. It decides what to do, so an unreadable file never ends a worker. The key `spent` has
    the seconds of each of `stages`.
    """

    source: Source
    transforms: Sequence[Transform]
    masked: bool  # replace an unreadable sample by zeros with mask 0 instead of another sample

    def __call__(self, index: int, rng: np.random.Generator) -> Sample:
        row = min(int(index), len(self.source) - 1)
        bad = np.full(RETRIES + 1, -1, np.int32)
        why, read, sample = [""] * len(bad), row, None
        spent = np.zeros(len(self.stages), np.float32)
        for attempt in range(RETRIES + 1):
            shared_memory.note(read)
            try:
                sample = self.read(read, rng, spent)
                break
            except (VideoError, OSError) as error:
                bad[attempt], why[attempt] = read, str(error)
                read = int(rng.integers(len(self.source)))
            except Exception as error:  # a bug in a transform: name the sample that showed it
                error.add_note(f"while reading {self.source.id(read)}")
                raise
        shared_memory.note(-1)
        mask = np.float32(index < len(self.source))
        if sample is None:
            raise UserError(f"{len(bad)} unreadable videos in a row: {'; '.join(why)}")
        if bad[0] >= 0 and self.masked:
            sample = {k: np.zeros_like(v) for k, v in sample.items()}
            read, mask = row, np.float32(0)
        about = {"bad": bad, "why": np.array(why), "spent": spent}
        return sample | {"index": np.int32(read), "mask": mask} | about

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages of reading a sample."""
        return ("annotation", *(type(transform).__name__ for transform in self.transforms))

    def read(self, row: int, rng: np.random.Generator, spent: np.ndarray) -> Sample:
        """Return the sample of a row of the source. Add the seconds of each stage to `spent`."""
        began = time.perf_counter()
        sample = self.source[row]
        for n, transform in enumerate(self.transforms):
            spent[n] += (now := time.perf_counter()) - began
            began = now
            sample = transform(sample, rng)
        spent[-1] += time.perf_counter() - began
        return sample


class Batches:
    """An iterator of batches (dicts of NumPy arrays) that records unreadable samples.

    Attributes:
      unreadable: {row of the source: reason}.
      workers: number of worker processes; 0 if this process reads.
      seconds: {stage of reading a sample: seconds so far, summed over all workers}.
    """

    def __init__(self, dataset: grain.MapDataset, load: LoadSample, policy: str, workers: int):
        self._dataset, self._load, self._policy = dataset, load, policy
        cores = files.cores()
        if workers > cores:
            logger.warning(
                f"{workers} data workers share {cores} cores: more workers than cores are hardly"
                " faster"
            )
        self.workers = min(cores if workers < 0 else workers, len(dataset))
        self.seconds = dict.fromkeys(load.stages, 0.0)
        self.unreadable: dict[int, str] = {}

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # grain reads its own flags
        if len(self._dataset) == 0:
            return
        signals.start_tracker()
        stream = shared_memory.new_stream()
        reading = np.zeros(0, int)
        options = grain.ReadOptions(num_threads=0 if self.workers else 1, prefetch_buffer_size=1)
        dataset = self._dataset.to_iter_dataset(options)
        if self.workers:
            spawn.check_main_guard()
            # Arrays are shared by `shared_memory.py` instead of grain.
            never = grain.experimental.DatasetOptions(min_shm_size=sys.maxsize)
            dataset = grain.experimental.WithOptionsIterDataset(dataset, never)
            options = grain.MultiprocessingOptions(self.workers, per_worker_buffer_size=2)
            start = functools.partial(start_worker, stream)
            dataset = dataset.mp_prefetch(options, worker_init_fn=start)
            shared_memory.remove_dead()
            reading = shared_memory.notes(stream, self.workers, create=True)
        iterator = iter(dataset)
        try:
            with signals.blocked():  # workers start at the first batch
                sent = self._next(iterator, reading)
            while sent is not None:
                batch = {key: shared_memory.take(value) for key, value in sent.items()}
                for row, why in zip(batch.pop("bad").flat, batch.pop("why").flat, strict=True):
                    if row >= 0 and int(row) not in self.unreadable:
                        self._report(int(row), str(why))
                for stage, spent in zip(self._load.stages, batch.pop("spent").sum(0), strict=True):
                    self.seconds[stage] += float(spent)
                yield batch
                sent = self._next(iterator, reading)
        except RuntimeError as error:
            if "terminated unexpectedly" not in str(error):
                raise
            code = str(error).partition("exit code ")[2].partition(".")[0]
            if code == str(spawn.NO_GUARD):
                raise UserError(spawn.NEEDED) from None
            raise UserError(
                f"a data worker died, with exit code {code}{DEATHS.get(code, '')}; the same command"
                f" continues a training run.{self._files(reading)}"
            ) from error
        finally:
            getattr(iterator, "close", lambda: None)()
            shared_memory.remove(stream)

    def _next(self, iterator: Iterator, reading: np.ndarray) -> dict | None:
        """Return the next batch of the workers, or None at the end.

        If it takes longer than PATIENCE, a warning names the files that workers are reading.
        """
        timer = threading.Timer(
            PATIENCE, lambda: logger.warning(f"no batch for {PATIENCE:g} s.{self._files(reading)}")
        )
        timer.daemon = True
        timer.start()
        try:
            return next(iterator, None)
        finally:
            timer.cancel()

    def _files(self, reading: np.ndarray) -> str:
        files = [self._load.source.id(row) for row in reading.tolist() if row >= 0]
        return f" Workers were reading {', '.join(files)}" if files else ""

    def _report(self, row: int, reason: str):
        source = self._load.source
        self.unreadable[row] = reason
        if self._policy == "raise":
            where = source.where(row)
            raise UserError(reason if where == source.id(row) else f"{reason} (listed in {where})")
        done = "replaced by another" if self._policy == "replace" else "skipped"
        logger.warning(f"unreadable video {done} ({len(self.unreadable)} so far): {reason}")


def train_batches(
    source: Source,
    transforms: Sequence[Transform],
    *,
    batch: int,
    seed: int,
    start: int = 0,
    stop: int | None = None,
    workers: int = -1,
    balance: float = 0.0,
    on_error: str = "replace",
    process: tuple[int, int] = (0, 1),
) -> Batches:
    """Return the training batches of the steps from `start` to `stop` - 1; endless without `stop`.

    Args:
      batch: number of samples of a global batch.
      seed: together with the step, it determines order and randomness.
      workers: number of worker processes. -1 uses one per core, and 0 reads in this process.
      balance: balance of classes, from 0 (as in the source) to 1 (all equally frequent), see
        `sampling.wanted`.
      on_error: what to do if a video is unreadable: "raise", "replace" or "skip".
      process: (index of this process, number of processes).

    Raises:
      UserError: `batch` is not divisible by the number of processes, or `on_error` or `balance`
        is invalid.
    """
    load = LoadSample(source, tuple(transforms), masked=masked(on_error))
    rows = sampling.build(source, balance, seed)
    if (length := sampling.length(source, balance)) != len(source):
        logger.warning(f"an epoch draws {length:,} clips from {len(source):,} videos")
    dataset = _shard(rows, load, batch, process)[start:stop]
    return Batches(dataset, load, on_error, workers)


def eval_batches(
    source: Source,
    transforms: Sequence[Transform],
    *,
    batch: int,
    workers: int = -1,
    on_error: str = "raise",
    process: tuple[int, int] = (0, 1),
) -> Batches:
    """Return the batches of one pass over all samples in order; see `train_batches`."""
    load = LoadSample(source, tuple(transforms), masked=masked(on_error) or on_error == "raise")
    rows = grain.MapDataset.range(-(-len(source) // batch) * batch).seed(0)
    dataset = _shard(rows, load, batch, process)
    return Batches(dataset, load, on_error, workers)


class Prefetch(Iterator):
    """An iterator that computes `transfer(item)` of the next items in a thread.

    The thread starts with the first call of `next`, and ends after the last item or with `close`.
    Errors of the thread are raised by `next`.

    Args:
      iterable: the items.
      transfer: function that is applied to each item, such as a copy to the device.
      depth: maximum number of items that are computed in advance.
    """

    def __init__(self, iterable: Iterable, transfer: Callable = lambda item: item, depth: int = 2):
        self._iterable, self._transfer = iterable, transfer
        self._waiting: queue.Queue = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="prefetch", daemon=True)
        self._peeked: list = []

    def __next__(self) -> Any:
        if self._peeked:
            return self._peeked.pop()
        if self._stop.is_set():
            raise StopIteration
        if not self._thread.ident:
            self._thread.start()
        item, error = self._waiting.get()
        if error is not None:
            self.close()
            raise error
        return item

    def peek(self) -> Any:
        """Return the next item without removing it: `next` returns it again."""
        item = next(self)
        self._peeked.append(item)
        return item

    def is_ready(self) -> bool:
        """Return whether `next` would return without waiting."""
        return bool(self._peeked) or not self._waiting.empty()

    def close(self):
        """Stop the thread."""
        self._stop.set()
        if self._thread.ident:
            self._thread.join(timeout=10)

    def _work(self):
        try:
            iterator = iter(self._iterable)
            try:
                for item in iterator:
                    self._put((self._transfer(item), None))
                    if self._stop.is_set():
                        return
            finally:
                getattr(iterator, "close", lambda: None)()
            self._put((None, StopIteration()))
        except BaseException as error:  # `next` raises it
            self._put((None, error))

    def _put(self, item: tuple):
        while not self._stop.is_set():
            with suppress(queue.Full):
                return self._waiting.put(item, timeout=0.1)


def start_worker(stream: str, index: int, count: int):
    """Set up a worker process: one thread, no reaction to signals, and an end with its parent."""
    shared_memory.join(stream, index, count)
    cv2.setNumThreads(1)
    signals.ignore()
    signals.die_with_parent()


def _shard(rows: grain.MapDataset, load: LoadSample, batch: int, process: tuple[int, int]):
    index, count = process
    if batch % count:
        raise UserError(
            f"a batch of {batch} is not divisible by {count} processes; change config.batch or"
            " config.eval_batch"
        )
    # A global batch consists of `count` consecutive local batches, one for each process.
    return rows.random_map(load).batch(batch // count, batch_fn=stack)[index::count]


def stack(samples: Sequence[Sample]) -> dict[str, np.ndarray | shared_memory.Segment]:
    """Stack samples into a batch.

    A worker stacks directly into memory that it shares with the parent process. The function of
    grain would need another copy.

    Raises:
      UserError: the samples have different shapes.
    """

    def together(key: str) -> np.ndarray | shared_memory.Segment:
        arrays = [np.asarray(sample[key]) for sample in samples]
        first = arrays[0].shape
        other = next((a.shape for a in arrays if a.shape != first), first)
        if other != first:
            raise UserError(
                f'samples of one batch differ in shape: "{key}" is {first} and {other}; use batches'
                " of one sample (config.batch, config.eval_batch)"
            )
        return shared_memory.stack(arrays)

    return {key: together(key) for key in samples[0]}


def masked(on_error: str) -> bool:
    if on_error not in POLICIES:
        raise UserError(f'on_error is {", ".join(POLICIES)}, not "{on_error}"')
    return on_error == "skip"
