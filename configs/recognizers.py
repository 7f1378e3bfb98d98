"""Published recognizers of actions in videos: what `finetune` can name, and their recipes."""

from jaxvid import plug
from jaxvid.config import loading
from jaxvid.errors import UserError, did_you_mean
from jaxvid.weights import zoo

RECIPES = ("clip", "segments")  # data recipes that sample frames of videos


def find(variant):
    """Return the zoo's row (None without published weights), family and variant of the model."""
    known = zoo.by_name()
    names = [name for name in (variant, f"{variant}_k400", f"swin_{variant}_k400") if name in known]
    if names:
        row = known[names[0]]
        if not is_recognizer(row) or not recipes(row.family):
            raise refused(row.name)
        return row, row.family, row.variant
    family, _, size = variant.rpartition("_")
    family = family or "swin"
    if family in families() and size in variants(family):
        return None, family, size
    raise UserError(f'this config has no variant "{variant}".{hint(variant)}')


def refused(name):
    """Return the error for a model that is no recognizer of actions in videos."""
    return UserError(
        f"{name} is not among the models that this config fine-tunes, which recognize actions in"
        f" videos: {', '.join(families())}"
    )


def hint(variant):
    """Return a sentence with what to write instead of a variant that does not exist."""
    possible = {
        family: [f"{family}_{size}" for size in variants(family) if size != "test"]
        for family in families()
    }
    rows = [row.name for row in zoo.rows() if is_recognizer(row) and row.family in possible]
    if variant in possible:
        own = possible[variant] or [name for name in rows if name.startswith(f"{variant}_")]
        return f" The family has {', '.join(own)}."
    if variant in plug.names("models"):
        raise refused(variant)
    sizes = [name for names in possible.values() for name in names]
    near = did_you_mean(variant, {"tiny", "small", "base", "large", "mini", *rows, *sizes})
    if near.startswith(" Did"):
        return near
    return (
        " A variant is FAMILY_SIZE, such as tsm_r50, or a name of `python -m jaxvid.tools.zoo`; the"
        f" families are {', '.join(possible)}."
    )


def variants(family):
    """Return the variants of a family's models of videos."""
    module = plug.module("models", family)
    return [size for size in module.VARIANTS if "video" in module.example(size)]


def families():
    """Return the families that recognize actions in videos and have a published recipe."""
    return sorted({row.family for row in zoo.rows() if recipes(row.family)})


def is_recognizer(row):
    """Return whether a checkpoint recognizes actions in frames of videos, or is an encoder."""
    return (row.kind == "recognition" or row.is_encoder) and row.recipe.get("name") in RECIPES


def recipes(family):
    """Return the rows of a family's models of videos whose training is a config."""
    return [
        row
        for row in zoo.rows()
        if row.family == family and is_recognizer(row) and row.config and not row.recipe.get("flow")
    ]


def recipe_of(row, family, size):
    """Return the published config of a checkpoint, or of the one most like it."""
    inside = row is not None and "backbone" in row.model  # the backbone of another family

    def likeness(other):
        form = ("backbone" in other.model) == inside
        same = row is not None and (other.dataset, other.frames) == (row.dataset, row.frames)
        usual = other is zoo.default(other.model)
        return other is row, form, other.variant == size, same, usual

    nearest = max(recipes(family), key=likeness)
    return loading.load(nearest.config.removeprefix("configs/").replace(".py", ""))
