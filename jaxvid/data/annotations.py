"""Files of annotations: found and read, or what is wrong with them."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxvid.errors import UserError


def find(root: str, file: str, split: str, what: str = "annotations", key: str = "file") -> Path:
    """The path of a file that the source of a split names with `key`.

    Raises:
      UserError: it is not there.
    """
    path = Path(root, file)
    if not path.is_file():
        raise UserError(
            f"{path}: no such {split} {what}; set config.data.root or config.data.{split}.{key}"
        )
    return path


def read_text(path: Path) -> str:
    """The text of a file, without a mark of its byte order. Raises UserError if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: this is not text in UTF-8") from None


def parse_json(text: str, path: Path, twice: Callable[[str], str] | None = None) -> Any:
    """What the text of the file `path` holds.

    Args:
      twice: the message when a key is there twice, of which json alone would keep the last.

    Raises:
      UserError: it is not json, or a key is there twice.
    """

    def unique(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            key = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise UserError(twice(key) if twice else f'{path}: "{key}" is there twice')
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: this is no json: {error.msg}") from None
