"""The commands of jaxvid: what there is, and how `jaxvid NAME` calls them."""

import ast
import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxvid.errors import UserError, did_you_mean

HERE = Path(__file__).resolve().parent
MAIN = {"train": "jaxvid.main", "eval": "jaxvid.main", "predict": "jaxvid.predict"}
GROUPS = {
    "Prepare and check data": (
        "scan", "transcode", "extract_frames", "split", "check", "browse", "extract_features",
        "extract_audio", "extract_poses", "filter", "convert_annotations", "make_untrimmed",
        "make_sounds", "make_skeletons", "make_bank",
    ),
    "Plan a run": ("show_config", "find_batch", "bench_loader", "doctor"),
    "Use a trained model": (
        "skeleton", "localize", "detect", "retrieve", "report", "fuse", "time_control",
    ),
    "Weights": ("zoo", "export_weights"),
}  # fmt: skip
USAGE = """\
Commands of jaxvid, and the Python modules that they run:

  jaxvid train --config NAME ...         python -m jaxvid.main --config NAME ...
  jaxvid eval --workdir RUN ...          python -m jaxvid.main --mode eval --workdir RUN ...
  jaxvid predict VIDEO --checkpoint RUN  python -m jaxvid.predict VIDEO --checkpoint RUN
  jaxvid tools NAME ...                  python -m jaxvid.tools.NAME ...

--help explains the arguments of a command. To try jaxvid, train a small model on generated videos:
jaxvid train --config quickstart"""


def tools() -> list[str]:
    """Return the names of all modules in jaxvid/tools that are commands."""
    return _modules(HERE / "tools")


def list_tools() -> str:
    """List the tools by group, each with the first line of its docstring."""
    rest = tuple(name for name in tools() if not any(name in g for g in GROUPS.values()))
    lines = ["python -m jaxvid.tools.NAME, or jaxvid tools NAME; --help explains each."]
    for group, names in {**GROUPS, "More": rest}.items():
        if names:
            lines += ["", f"{group}:", *_rows(HERE / "tools", names)]
    return "\n".join(lines)


def list_all() -> str:
    """List all commands: the main ones, the tools, and those of data_prep."""
    folder = HERE.parent / "data_prep"
    lines = [USAGE, "", f"Tools: {list_tools()}"]
    if folder.is_dir():
        lines += ["", "Data sets, python -m data_prep.NAME:", *_rows(folder, _modules(folder))]
    return "\n".join(lines)


def run(argv: Sequence[str]) -> None:
    """Run `jaxvid COMMAND ARGUMENTS` as the module that it stands for.

    Raises:
      UserError: there is no such command; suggests the nearest.
      SystemExit: the command ended, with its exit code.
    """
    command, *rest = argv or ["--help"]
    if command in ("-h", "--help"):
        print(list_all())
    elif command == "tools":
        run_tool(rest)
    elif command in MAIN:
        mode = ["--mode=eval"] if command == "eval" else []
        _run(MAIN[command], [*mode, *rest])
    else:
        known = did_you_mean(command, (*MAIN, "tools"))
        hint = f"; did you mean `jaxvid tools {command}`?" if command in tools() else f".{known}"
        raise UserError(f'there is no command "{command}"{hint}')


def run_tool(argv: Sequence[str]) -> None:
    """Run the tool that `argv` begins with, or list the tools.

    Raises:
      UserError: there is no such tool; suggests the nearest.
    """
    name, *rest = argv or ["--help"]
    if name in ("-h", "--help"):
        print(list_tools())
    elif name in tools():
        _run(f"jaxvid.tools.{name}", rest)
    else:
        raise UserError(f'there is no tool "{name}".{did_you_mean(name, tools())}')


def _run(module: str, arguments: Sequence[str]) -> None:
    sys.argv[1:] = arguments
    # As the main module, which data workers import again by this name.
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _modules(folder: Path) -> list[str]:
    """Return the names of the modules in a folder that are commands."""
    runs = "\ndef main("
    return sorted(p.stem for p in folder.glob("*.py") if runs in p.read_text(encoding="utf-8"))


def _rows(folder: Path, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        doc = ast.get_docstring(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8")))
        yield f"  {name:18}{(doc or '').partition(chr(10))[0]}"
