"""Batches of a source: grain workers, any start in O(1), order and content from (seed, step) alone.

In training, epoch follows epoch in another order and batches run across the seam, so every sample
counts once an epoch, or as often as `order.py` says. Evaluation is one pass; the last batch is
filled with rows of mask 0. Process p of n takes the contiguous rows [pB/n, (p+1)B/n) of each
global batch of B.
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

PATIENCE = 60.0  # seconds without a batch before that is said
DEATHS = {
    "-9": " (killed, mostly for its memory: fewer config.loader.workers need less)",
    "-7": " (/dev/shm is full: docker run --shm-size gives more)",
}
RETRIES = 9  # further files tried in place of one that cannot be read
POLICIES = ("raise", "replace", "skip")


@dataclass(frozen=True)
class LoadSample:
    """Index -> sample. Past the end: the last sample with mask 0. Unreadable: another one.

    `bad` and `why` tell the parent process which rows failed; what follows from it is decided
    there, so a file never kills a worker. `spent` are the seconds of each of `stages`.
    """

    source: Source
    transforms: Sequence[Transform]
    masked: bool  # an unreadable sample becomes zeros with mask 0, not its substitute

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
            except Exception as error:  # a mistake in a transform: say where it showed
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
        """What reading a sample consists of."""
        return ("annotation", *(type(transform).__name__ for transform in self.transforms))

    def read(self, row: int, rng: np.random.Generator, spent: np.ndarray) -> Sample:
        began = time.perf_counter()
        sample = self.source[row]
        for n, transform in enumerate(self.transforms):
            spent[n] += (now := time.perf_counter()) - began
            began = now
            sample = transform(sample, rng)
        spent[-1] += time.perf_counter() - began
        return sample


class Batches:
    """An iterator of batches (dicts of numpy arrays) that counts what could not be read.

    Attributes:
      unreadable: {row of the source: reason}.
      workers: processes that read; 0 when this one does.
      seconds: {stage of reading a sample: what it took so far, over all workers}.
    """

    def __init__(self, dataset: grain.MapDataset, load: LoadSample, policy: str, workers: int):
        self._dataset, self._load, self._policy = dataset, load, policy
        cores = files.cores()
        if workers > cores:
            logger.warning(f"{workers} data workers share {cores} cores: more are hardly faster")
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
            never = grain.experimental.DatasetOptions(min_shm_size=sys.maxsize)  # see `shared`
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
        """What workers send next, None at the end; says which files it waits for."""
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
    """The training stream from step `start` to before `stop`, endless without one.

    Args:
      batch: rows of a global batch.
      seed: with the step, the only source of order and randomness.
      workers: processes that read; -1 takes one a core, 0 reads in this process.
      balance: of classes, 0 (as they are) to 1 (all equally often), see `order.wanted`.
      on_error: what becomes of an unreadable video: "raise", "replace" or "skip".
      process: (index, number) of this process.
    """
    load = LoadSample(source, tuple(transforms), masked=_masked(on_error))
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
    """One pass over all samples in order; see `train_batches`."""
    load = LoadSample(source, tuple(transforms), masked=_masked(on_error) or on_error == "raise")
    rows = grain.MapDataset.range(-(-len(source) // batch) * batch).seed(0)
    dataset = _shard(rows, load, batch, process)
    return Batches(dataset, load, on_error, workers)


class Prefetch(Iterator):
    """`transfer(item)` of each item, computed ahead in a thread; its errors are raised here.

    The thread starts when the first item is asked for, and ends with the last one or with `close`.

    Args:
      depth: number of items that may wait.
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
        """Return the next item, which stays the next one."""
        item = next(self)
        self._peeked.append(item)
        return item

    def is_ready(self) -> bool:
        """Return whether the next item is there, so that nothing waits for it."""
        return bool(self._peeked) or not self._waiting.empty()

    def close(self):
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
        except BaseException as error:  # the consumer raises it
            self._put((None, error))

    def _put(self, item: tuple):
        while not self._stop.is_set():
            with suppress(queue.Full):
                return self._waiting.put(item, timeout=0.1)


def start_worker(stream: str, index: int, count: int):
    """Workers read with one thread each, leave signals to the parent and die with it."""
    shared_memory.join(stream, index, count)
    cv2.setNumThreads(1)
    signals.ignore()
    signals.die_with_parent()


def _shard(rows: grain.MapDataset, load: LoadSample, batch: int, process: tuple[int, int]):
    index, count = process
    if batch % count:
        raise UserError(
            f"a batch of {batch} does not divide by {count} processes; change config.batch, or"
            " config.eval_batch"
        )
    # Local batches in order are p0 b0, p1 b0, p0 b1 ...: the global batch cut into equal runs.
    return rows.random_map(load).batch(batch // count, batch_fn=stack)[index::count]


def stack(samples: Sequence[Sample]) -> dict[str, np.ndarray | shared_memory.Segment]:
    """Samples as a batch; in a worker straight into the memory that it shares with the parent.

    grain's own stacks into fresh memory and copies that.

    Raises:
      UserError: samples have different shapes.
    """

    def together(key: str) -> np.ndarray | shared_memory.Segment:
        arrays = [np.asarray(sample[key]) for sample in samples]
        first = arrays[0].shape
        other = next((a.shape for a in arrays if a.shape != first), first)
        if other != first:
            raise UserError(
                f'samples of one batch differ: "{key}" is {first} and {other}; batches of one'
                " (config.batch, config.eval_batch) can hold them"
            )
        return shared_memory.stack(arrays)

    return {key: together(key) for key in samples[0]}


def _masked(on_error: str) -> bool:
    if on_error not in POLICIES:
        raise UserError(f'on_error is {", ".join(POLICIES)}, not "{on_error}"')
    return on_error == "skip"
