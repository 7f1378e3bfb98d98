"""The class names that come with jaxvid: those of data sets that models are published on."""

from importlib import resources

from jaxvid.errors import UserError, did_you_mean

# Data sets that share their classes with the file they name.
SAME_CLASSES = {"ava21": "ava", "ava22": "ava", "avak": "ava", "anet": "activitynet"}
# Classes of Kinetics-400, 600 and 700 that Kinetics-710 has under another name.
OTHER_NAMES = {
    "balloon blowing": "inflating balloons",
    "changing wheel": "changing wheel (not on bike)",
    "cooking sausages": "cooking sausages (not on barbeque)",
    "drinking": "sipping cup",
    "dying hair": "dyeing hair",
    "garbage collecting": "person collecting garbage",
    "hugging": "hugging (not baby)",
    "making bed": "making the bed",
    "opening bottle": "opening bottle (not wine)",
    "picking fruit": "picking apples",
    "skiing (not slalom or crosscountry)": "skiing mono",
    "sniffing": "smelling feet",
    "throwing ball (not baseball or american football)": "throwing ball",
    "tying tie": "tying necktie",
}


def of(dataset: str) -> tuple[str, ...]:
    """Return the class names of a data set, in the order of its labels.

    AVA's are all 80; its evaluation leaves out 20 of them.

    Raises:
      UserError: the names of that data set are not here; suggests the nearest one.
    """
    folder = resources.files("jaxvid").joinpath("labels")
    known = {file.name.removesuffix(".txt"): file for file in folder.iterdir()}
    file = known.get(SAME_CLASSES.get(dataset, dataset))
    if file is None:
        hint = did_you_mean(dataset, known.keys() | SAME_CLASSES.keys())
        raise UserError(f'there are no class names of "{dataset}".{hint}')
    return tuple(file.read_text(encoding="utf-8").splitlines())
