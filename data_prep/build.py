"""Build a data set as ArrayRecord files for fast random access, from its unpacked archives.

    python -m data_prep.build ucf101/split1 --data-dir DATA --source RAW

If a build was stopped, the same command writes the missing files. The data set can be read when all
of its files are written. Train on it with

    --config.data.root=DATA and data.train = dict(name="tfds", dataset="ucf101/split1")
"""

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from absl import logging

import data_prep
from data_prep.video_builder import VideoBuilder
from jaxvid import cli, files
from jaxvid.errors import UserError, did_you_mean


def builder(name: str, data_dir: str | Path) -> VideoBuilder:
    """Return the builder of a data set, such as "ucf101/split1".

    Args:
      name: data set and variant. Without a variant, the first one is used.

    Raises:
      UserError: there is no such data set or variant.
    """
    name, _, config = name.partition("/")
    known = [m.name for m in pkgutil.iter_modules(data_prep.__path__) if m.ispkg]
    if name not in known:
        raise UserError(f'there is no data set "{name}".{did_you_mean(name, known)}')
    module = importlib.import_module(f"data_prep.{name}.{name}")
    (kind,) = (
        kind
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, VideoBuilder)
        and kind.__module__ == module.__name__
    )
    configs = [c.name for c in kind.BUILDER_CONFIGS]
    if config and config not in configs:
        raise UserError(f'{name} has no config "{config}".{did_you_mean(config, configs)}')
    return kind(data_dir=str(data_dir), config=config or None)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.build",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", help="data set, or data set/config")
    parser.add_argument("--data-dir", required=True, help="folder of all built data sets")
    parser.add_argument("--source", help="folder of the unpacked archives [DATA/raw/NAME]")
    parser.add_argument(
        "--beam", metavar="KEY=VALUE,...", help="build on Apache Beam: options of the pipeline"
    )
    given = parser.parse_args(arguments)
    logging.set_verbosity(logging.ERROR)  # TFDS warns that there is no data set yet
    made = builder(given.name, given.data_dir)
    source = Path(given.source or Path(given.data_dir, "raw", made.name))
    if made.is_prepared():
        if source.is_dir() and any(source.iterdir()):
            made.check_source(source)
        print(f"{made.data_dir}: is built already; delete it to build it again")
        return
    files.probe(Path(given.data_dir))
    if not source.is_dir() or not any(source.iterdir()):
        raise UserError(f"--source={source}: no such folder, or an empty one")
    config = tfds.download.DownloadConfig(manual_dir=str(source), beam_options=_options(given.beam))
    made.download_and_prepare(download_config=config)
    print(f"{made.data_dir}: built")


def _options(text: str | None) -> Any:
    if text is None:
        return None
    try:
        import apache_beam as beam  # type: ignore
    except ModuleNotFoundError:
        raise UserError(
            "--beam needs Apache Beam, in an environment of its own: see data_prep/README.md"
        ) from None
    flags = [f"--{option}" for option in text.split(",") if option]
    return beam.options.pipeline_options.PipelineOptions(flags)


if __name__ == "__main__":
    sys.exit(cli.guard(main))
