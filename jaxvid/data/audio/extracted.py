"""Folders of features that `tools.extract_audio` wrote, and the settings of their spectrograms."""

from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path

from jaxvid import provenance
from jaxvid.data.audio.log_mel import LogMel
from jaxvid.errors import UserError, problems

SETTINGS = "audio.json"  # in the folder that the tool was given
LEVELS = 4  # folders above a file in which it is looked for


def check(path: Path, features: LogMel) -> None:
    """Raise an error if a file of features was extracted with other settings.

    A file in a folder without settings, such as one that another program wrote, is accepted.

    Args:
      path: the file.
      features: the settings of the recipe.

    Raises:
      UserError: the settings beside the file differ; the message lists them.
    """
    if (there := _settings(path.parent)) is None:
        return
    file, settings = there[0], dict(there[1])
    if (kind := settings.pop("kind")) != "mel":
        raise UserError(f"{file}: the files of this folder are no spectrograms, but {kind}")
    if lines := provenance.differences(settings, asdict(features)):
        fix = "set config.data.recipe to those of the features, or extract the features again"
        raise problems(
            f"{file}: features with other settings than config.data.recipe; {fix}:", lines
        )


@cache
def _settings(folder: Path) -> tuple[Path, dict] | None:
    """Return the file of settings of a folder, and what it contains; None if there is none."""
    for above in (folder, *folder.parents)[:LEVELS]:
        with suppress(UserError):  # a file of this name that is something else
            settings = provenance.read_settings(above / SETTINGS)
            if settings and "kind" in settings:
                return above / SETTINGS, settings
    return None
