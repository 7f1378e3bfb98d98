"""What many configs share, as functions that return ConfigDicts."""

from dataclasses import asdict

from ml_collections import ConfigDict

from jaxvid import plug
from jaxvid.config.settings import Settings
from jaxvid.errors import UserError, did_you_mean

# Made before anything compiles; see jaxvid/data/dataset.py.
CHECKS = ("labels", "empty", "missing", "duplicates", "overlap")


def base() -> ConfigDict:
    """Return the keys of every run with their defaults; jaxvid/config/settings.py explains them.

    What is left to a config is the model, the task, the data, the optimizer and the schedule.
    """
    return ConfigDict(asdict(Settings()))


def pick(table: dict, variant: str):
    """The row of a config's variant, or an error that names those there are."""
    if variant not in table:
        raise UserError(f'this config has no variant "{variant}".{did_you_mean(variant, table)}')
    return table[variant]


def kinetics(classes: int, root: str, labels: str) -> dict:
    """Kinetics-400/600/700 in MMAction2's layout of lists and folders."""
    stem = f"kinetics{classes}"
    return dict(
        root=root,
        num_classes=classes,
        names=labels,
        checks=CHECKS,
        train=dict(name="video_list", file=f"{stem}_train_list_videos.txt", prefix="videos_train"),
        val=dict(name="video_list", file=f"{stem}_val_list_videos.txt", prefix="videos_val"),
    )


# Video Swin's parameter groups. MMAction2 multiplies the rules that match: the backbone learns at
# a tenth of the rate, norms and bias tables have no decay, other biases keep theirs.
SWIN_GROUPS = dict(
    lr_scale=(("backbone/.*", 0.1),),
    decay_scale=((".*norm[12]?/.*", 0.0), (".*relative_position_bias_table", 0.0)),
)
# The official repository takes the first rule that matches: norms of the backbone keep their decay,
# and bias tables learn at the full rate.
SWIN_GROUPS_OFFICIAL = dict(
    lr_scale=((".*relative_position_bias_table", 1.0), ("backbone/.*", 0.1)),
    decay_scale=((".*relative_position_bias_table", 0.0),),
)


def sgd(lr: float, batch: int, weight_decay: float = 1e-4, clip: float = 40.0, **groups) -> dict:
    """The optimiser of most published convolutional networks; `lr` is for that `batch`."""
    return dict(
        name="sgd", lr=lr, base_batch=batch, momentum=0.9, nesterov=False,
        weight_decay=weight_decay, clip=clip, **groups,
    )  # fmt: skip


def something(root: str) -> dict:
    """Something-Something v2 in MMAction2's layout."""
    return dict(root=root, num_classes=174, names="label_map.txt", checks=CHECKS) | {
        split: dict(name="video_list", file=f"sthv2_{split}_list_videos.txt", prefix="videos")
        for split in ("train", "val")
    }


# Pairs of Something-Something v2's classes that a mirror swaps: left and right.
SSV2_MIRROR = ((86, 87), (93, 94), (166, 167))


def tsm_groups(non_local: str = "") -> dict:
    """TSM's: the head learns faster, biases twice as fast; biases and norms have no decay."""
    head = (("head/fc/kernel", 5.0), ("head/fc/bias", 10.0))
    biases = ((".*/non_local/(g|theta|phi)/bias", 2.0),) if non_local else ()
    return dict(lr_scale=(*head, *biases), decay_scale=((".*/bias", 0.0), (".*/bn/scale", 0.0)))


def kinetics_flow() -> dict:
    """Kinetics-400 as folders of optical flow, with MMAction2's lists of frame folders."""
    return dict(root="data/kinetics400", num_classes=400, names="label_map_k400.txt") | dict(
        checks=CHECKS, **{
            split: dict(
                name="frame_folders", file=f"kinetics400_{split}_list_rawframes.txt",
                prefix=f"rawframes_{split}", template="{}_{:05d}.jpg",
            )
            for split in ("train", "val")
        },
    )  # fmt: skip


def kinetics710() -> dict:
    """Kinetics-400, 600 and 700 as one set of 710 classes, under names that flags can reach."""

    def parts(split):
        return dict(name="concat") | {
            f"k{n}": dict(
                name="video_list",
                file=f"kinetics710/k{n}_{split}_list_videos.txt",
                prefix=f"kinetics{n}/videos_{split}",
            )
            for n in (400, 600, 700)
        }

    return dict(
        root="data", num_classes=710, names="kinetics710/label_map_k710.txt", checks=CHECKS,
        train=parts("train"), val=parts("val"),
    )  # fmt: skip


# Categories of HVU, and their numbers of classes.
HVU = (
    ("action", 739), ("attribute", 117), ("concept", 291), ("event", 69), ("object", 1678),
    ("scene", 248),
)  # fmt: skip


# Streams of a skeleton: what configs call them, and what the recipe does.
STREAMS = {f"{d}_{s}": (d, s) for d in ("2d", "3d") for s in ("j", "b", "jm", "bm")}


def ntu(classes: int, dims: str, stream: str) -> dict:
    """NTU RGB+D 60 or 120, cross-subject, from the pickles of MMAction2 and PYSKL."""
    file = f"ntu{classes}_{dims}.pkl"
    layout = {"2d": "coco", "3d": "nturgb+d"}[dims]
    return dict(
        root="data/skeleton", num_classes=classes, names=f"ntu{classes}", checks=CHECKS,
        train=dict(name="skeleton", file=file, subset="xsub_train"),
        val=dict(name="skeleton", file=file, subset="xsub_val"),
        recipe=plug.spec("data.recipes", "skeleton", layout=layout, streams=(stream,)),
    )  # fmt: skip


# AVA: 20 of the 80 classes are too rare to be evaluated; the others make three kinds.
AVA_UNSCORED = (1, 15, 17, 18, 20, 22, 24, 30, 31, 32, 34, 38, 39, 41, 43, 49, 52, 54, 70, 74)
AVA_GROUPS = (
    ("person_movement", 0, 13), ("object_manipulation", 14, 62), ("person_interaction", 63, 79),
)  # fmt: skip
# Actions of MultiSports that its evaluation leaves out.
MULTISPORTS_UNSCORED = (15, 16, 17, 20, 64, 65)
# Pictures in evaluation, with a short side of 256, go on a canvas this large.
CANVAS = (256, 640)


def ava(version: str, frames: int, stride: int) -> dict:
    """AVA in MMAction2's layout: folders of frames at 30 a second, from second 900 on."""
    data = dict(root="data/ava", num_classes=80, names="ava", checks=("labels", "missing"))
    for split in ("train", "val"):
        data[split] = dict(
            name="ava", file=f"annotations/ava_{split}_v{version}.csv",
            exclude=f"annotations/ava_{split}_excluded_timestamps_v{version}.csv",
            proposals=f"annotations/ava_dense_proposals_{split}.FAIR.recall_93.9.pkl",
            prefix="rawframes", suffix="", template="img_{:05}.jpg", start=900.0, fps=30.0,
            first_class=1, meaning="", least=0.9,
        )  # fmt: skip
    data["recipe"] = plug.spec(
        "data.recipes", "detection", frames=frames, stride=stride, late=1, canvas=CANVAS
    )
    return data


def ava_task(**options) -> dict:
    return plug.spec("tasks", "detection", unscored=AVA_UNSCORED, groups=AVA_GROUPS, **options)


def multisports(frames: int, stride: int) -> dict:
    """MultiSports with its own annotations, and the published proposals."""
    data = dict(root="data/multisports", num_classes=66, names="multisports", checks=CHECKS)
    for split in ("train", "val"):
        data[split] = dict(
            name="multisports", file="annotations/multisports_GT.pkl", least=0.9,
            proposals=f"annotations/multisports_proposals_{split}.pkl", prefix="trainval",
        )  # fmt: skip
    data["recipe"] = plug.spec(
        "data.recipes", "detection", frames=frames, stride=stride, canvas=CANVAS
    )
    return data


def multisports_task() -> dict:
    return plug.spec(
        "tasks", "detection", multi_label=False, metric="multisports", unscored=MULTISPORTS_UNSCORED
    )
