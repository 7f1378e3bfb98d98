"""Records of what the files of a folder were made from: settings, and the source of each file."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from jaxvid import files
from jaxvid.errors import UserError, problems


def differences(there: Mapping, now: Mapping) -> list[str]:
    """Return a line for each setting that differs; one that is missing counts as None."""
    pairs = ((key, there.get(key), now.get(key)) for key in {**now, **there})
    return [f"{key}: {old} there, {new} now" for key, old, new in pairs if old != new]


def claim(
    path: Path,
    settings: Mapping,
    fix: str = "write to another folder",
    compare: Callable[[Mapping, Mapping], Sequence[str]] = differences,
):
    """Write the settings of a folder to a file, or check that the file has the same settings.

    Args:
      path: the file, in the folder.
      settings: data that JSON can represent.
      fix: advice for the error if the settings differ.
      compare: returns a line for each difference between the settings in the file and `settings`.

    Raises:
      UserError: the folder has results of other settings; the message lists the differences.
    """
    known = read_settings(path)
    if known is not None and (lines := compare(known, settings)):
        raise problems(f"{path}: other settings; {fix}:", lines)
    if known == settings:
        return
    with files.explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, json.dumps(settings, indent=2) + "\n")


def read_settings(path: Path) -> dict | None:
    """Return the settings that `claim` wrote; None if the file does not exist.

    Raises:
      UserError: the file has other content.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot read these settings ({error}); remove it") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: these are no settings; remove it")
    return found


def describe(source: Path) -> dict:
    """Return properties of an input file that change if it is replaced or modified."""
    about = source.stat()
    size, modified = about.st_size, about.st_mtime_ns
    return {"source": os.path.abspath(source), "size": size, "modified": modified}


def is_fresh(output: Path, source: Path, known: Mapping | None) -> bool:
    """Return whether `output` exists and was made from the current content of `source`.

    Args:
      output: the output file.
      source: the input file.
      known: the result of `describe` for the source of the output. If this is None, an output that
        is newer than the source is fresh.

    Raises:
      UserError: the output was made from another file; the message has both.
    """
    if not output.exists():
        return False
    now = describe(source)
    if not known:
        return output.stat().st_mtime_ns >= now["modified"]
    if any(known.get(key) != now[key] for key in ("size", "modified")):
        if known.get("source") != now["source"] and os.path.exists(str(known.get("source"))):
            raise UserError(
                f"{output}: made from {known.get('source')}, not from {source}; write to another"
                " folder"
            )
        return False
    return True


class Record:
    """Record of the source of each output in a folder, in a file of lines.

    Args:
      path: the file. An incomplete last line of a process that was killed is ignored.
    """

    def __init__(self, path: Path):
        self._path, self._known = path, {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for number, line in enumerate(text.split("\n")[:-1], 1):
            try:
                known = json.loads(line)
                self._known[known["output"]] = known
            except (ValueError, KeyError, TypeError):
                raise UserError(f"{path}:{number}: not a line of this record; remove it") from None
        if text and not text.endswith("\n"):
            files.write_text(path, text[: text.rfind("\n") + 1])

    def is_fresh(self, output: Path, source: Path) -> bool:
        """Return whether `output` exists and was made from the current content of `source`.

        See the function `is_fresh`.
        """
        return is_fresh(output, source, self._known.get(self._name(output)))

    def add(self, output: Path, known: Mapping):
        """Record the source of an output.

        Args:
          output: the output file.
          known: the result of `describe` for its source, from before the output was made.
        """
        line = {"output": self._name(output), **known}
        self._known[line["output"]] = line
        with files.explained(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _name(self, output: Path) -> str:
        return output.relative_to(self._path.parent).as_posix()


def outputs(
    root: Path,
    target: Path,
    sources: Iterable[Path],
    rename: Callable[[Path], Path] = lambda path: path,
    apart: bool = False,
) -> dict[Path, Path]:
    """Return {output: source}: the output of `root/a/b` is `target/a/b`.

    Args:
      root: folder of the sources, or the only source.
      target: folder of the outputs, which need not exist.
      sources: paths of the sources.
      rename: maps the path of an output below `target` to the one to use instead.
      apart: outputs could be taken for sources, so `target` may not be the folder of the only
        source or inside the folder of the sources.

    Raises:
      UserError: `target` is the folder `root`, or cannot be written to; an output would replace a
        source or a folder of sources; two sources have the same output; or `apart` is not so.
    """
    base = root if root.is_dir() else root.parent
    real, inputs = base.resolve(), set()
    folder = target.resolve()
    is_mixed = folder == real and (apart or root.is_dir())
    if is_mixed or (apart and root.is_dir() and folder.is_relative_to(real)):
        raise UserError(f"{target}: write to another folder than that of the originals")
    ignore_case = files.probe(target)
    found: dict[Path, Path] = {}
    taken: dict[str, Path] = {}
    for source in sources:
        below = source.relative_to(base)
        path = target / rename(below)
        other = taken.setdefault(str(path).casefold() if ignore_case else str(path), source)
        if other != source:
            raise UserError(f"{other} and {source} would both be written to {path}; rename one")
        found[path] = source
        inputs |= {real / below, *(real / below).parents}
    for path in found:
        if folder / path.relative_to(target) in inputs:
            raise UserError(
                f"{path}: this would be written among the originals; write to another folder"
            )
    return found
