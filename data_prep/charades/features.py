"""Convert the features of Charades-STA by DRN's authors to .npy.

    python -m data_prep.charades.features data/CharadesSTA/C3D_unit16_overlap0.5_merged

Each VIDEO.pt, a tensor (rows, channels), becomes VIDEO.npy beside it. Existing files are not
written again.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from jaxvid import cli, files
from jaxvid.errors import UserError
from jaxvid.weights import torch_file


def convert(folder: Path) -> None:
    """Write the missing .npy files of a folder.

    Raises:
      UserError: the folder has no .pt files, or one of them is not a tensor (rows, channels).
    """
    found = sorted(folder.glob("*.pt"))
    if not found:
        raise UserError(f"{folder}: no .pt files of features in it")
    todo = [path for path in found if not path.with_suffix(".npy").exists()]
    for path in todo:
        feature = torch_file.load_single(path)
        if feature.ndim != 2:
            raise UserError(f"{path}: expected a tensor (rows, channels), not {feature.shape}")
        out = path.with_suffix(".npy")
        with files.explained(out), files.replacing(out) as part, part.open("wb") as file:
            np.save(file, np.asarray(feature, np.float32))
    print(f"{folder}: {len(todo):,} of {len(found):,} files converted")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.charades.features",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="folder of the .pt files")
    given = parser.parse_args(arguments)
    convert(given.folder)


if __name__ == "__main__":
    sys.exit(cli.guard(main))
