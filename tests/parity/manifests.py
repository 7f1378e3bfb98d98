"""What each golden says of its model but the numbers: input, classes, names and shapes of tensors.

They keep the rename tables tested where the goldens are not at hand; a file a family.
"""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.parity.golden import Golden

FOLDER = Path(__file__).parent / "manifests"


def read() -> dict[str, dict[str, Any]]:
    """golden -> {input, num_classes, tensors: [name, shape, dtype] in upstream's order}."""
    found = {}
    for path in sorted(FOLDER.glob("*.json.gz")):
        found |= json.loads(gzip.decompress(path.read_bytes()))
    return found


def write(goldens: Iterable[Golden]) -> None:
    """Write those of `goldens`; those of others stay."""
    FOLDER.mkdir(exist_ok=True)
    for golden in goldens:
        path = FOLDER / f"{golden.case.model['name']}.json.gz"
        family = json.loads(gzip.decompress(path.read_bytes())) if path.exists() else {}
        family[golden.name] = dict(
            input=golden.input_shapes,
            num_classes=golden.num_classes,
            tensors=[row[:3] for row in golden.rows],
        )
        text = json.dumps(family, sort_keys=True, separators=(",", ":"))
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
