"""Data sets: root, lists, number of classes and names. Each function returns a `config.data`.

A config adds the recipe, where the function of the data set does not have it.
"""

from jaxvid import plug

# Made before anything compiles; see jaxvid/data/dataset.py.
CHECKS = ("labels", "empty", "missing", "duplicates", "overlap")

# Pairs of Something-Something's classes that a mirror swaps: left and right.
SSV1_MIRROR = ((2, 4), (30, 41), (52, 66))
SSV2_MIRROR = ((86, 87), (93, 94), (166, 167))
# Categories of HVU, and their numbers of classes.
HVU = (
    ("action", 739),
    ("attribute", 117),
    ("concept", 291),
    ("event", 69),
    ("object", 1678),
    ("scene", 248),
)
# AVA: 20 of the 80 classes are too rare to be evaluated; the others make three kinds.
AVA_UNSCORED = (1, 15, 17, 18, 20, 22, 24, 30, 31, 32, 34, 38, 39, 41, 43, 49, 52, 54, 70, 74)
AVA_GROUPS = (
    ("person_movement", 0, 13),
    ("object_manipulation", 14, 62),
    ("person_interaction", 63, 79),
)
# Actions of MultiSports that its evaluation leaves out.
MULTISPORTS_UNSCORED = (15, 16, 17, 20, 64, 65)
# Frames in the evaluation of detection, with a short side of 256, go on a canvas this large.
CANVAS = (256, 640)


def own(train: dict, val: dict | None = None) -> dict:
    """Return data of one's own: the root is a flag, and the data know their classes.

    Args:
      train, val: specs of sources; `val` is the same as `train` where it is not given.
    """
    return dict(
        root="", num_classes=None, names="", checks=CHECKS, train=train, val=val or dict(train)
    )


def kinetics(classes: int) -> dict:
    """Return Kinetics-400, 600 or 700 in MMAction2's layout of lists and folders."""
    data = dict(root=f"data/kinetics{classes}", num_classes=classes)
    data |= dict(names=f"label_map_k{classes}.txt", checks=CHECKS)
    for split in ("train", "val"):
        file = f"kinetics{classes}_{split}_list_videos.txt"
        data[split] = dict(name="video_list", file=file, prefix=f"videos_{split}")
    return data


def kinetics_flow() -> dict:
    """Return Kinetics-400 as folders of optical flow, with MMAction2's lists of such folders."""
    data = kinetics(400)
    for split in ("train", "val"):
        data[split] = dict(
            name="frame_folders",
            file=f"kinetics400_{split}_list_rawframes.txt",
            prefix=f"rawframes_{split}",
            template="{}_{:05d}.jpg",
        )
    return data


def kinetics_audio(**recipe) -> dict:
    """Return Kinetics-400 as log-mel spectrograms, with MMAction2's lists of such files.

    Args:
      recipe: options of the data recipe.
    """
    data = kinetics(400)
    for split in ("train", "val"):
        data[split] = dict(
            name="audio_list",
            file=f"kinetics400_{split}_list_audio_features.txt",
            prefix=f"audio_features_{split}",
            suffix=".npy",
        )
    data["recipe"] = plug.spec("data.recipes", "audio", **recipe)
    return data


def kinetics710() -> dict:
    """Return Kinetics-400, 600 and 700 as one set of 710 classes.

    Each of the three is a part with a name of its own, so that flags reach it.
    """
    data = dict(root="data", num_classes=710, names="kinetics710/label_map_k710.txt", checks=CHECKS)
    for split in ("train", "val"):
        parts = {
            f"k{n}": dict(
                name="video_list",
                file=f"kinetics710/k{n}_{split}_list_videos.txt",
                prefix=f"kinetics{n}/videos_{split}",
            )
            for n in (400, 600, 700)
        }
        data[split] = dict(name="concat", **parts)
    return data


def moments_in_time() -> dict:
    """Return Moments in Time in MMAction2's layout of lists and folders."""
    data = dict(root="data/mit", num_classes=339, names="mit", checks=CHECKS)
    for split, folder in (("train", "training"), ("val", "validation")):
        file = f"mit_{split}_list_videos.txt"
        data[split] = dict(name="video_list", file=file, prefix=f"videos/{folder}")
    return data


def something() -> dict:
    """Return Something-Something v2 in MMAction2's layout."""
    data = dict(root="data/sthv2", num_classes=174, names="label_map.txt", checks=CHECKS)
    for split in ("train", "val"):
        file = f"sthv2_{split}_list_videos.txt"
        data[split] = dict(name="video_list", file=file, prefix="videos")
    return data


def ucf101() -> dict:
    """Return the first split of UCF101 in MMAction2's layout."""
    data = dict(root="data/ucf101", num_classes=101, names="ucf101", checks=CHECKS)
    for split in ("train", "val"):
        file = f"ucf101_{split}_split_1_videos.txt"
        data[split] = dict(name="video_list", file=file, prefix="videos")
    return data


def diving48() -> dict:
    """Return Diving48 in MMAction2's layout."""
    data = dict(root="data/diving48", num_classes=48, names="diving48", checks=CHECKS)
    for split in ("train", "val"):
        file = f"diving48_{split}_list_videos.txt"
        data[split] = dict(name="video_list", file=file, prefix="videos")
    return data


def something1() -> dict:
    """Return Something-Something v1, folders of frames, in MMAction2's layout."""
    data = dict(root="data/sthv1", num_classes=174, names="ssv1", checks=CHECKS)
    for split in ("train", "val"):
        data[split] = dict(
            name="frame_folders",
            file=f"sthv1_{split}_list_rawframes.txt",
            prefix="rawframes",
            template="{:05}.jpg",
        )
    return data


def ntu(classes: int, dims: str, stream: str) -> dict:
    """Return NTU RGB+D 60 or 120, cross-subject, from the pickles of MMAction2 and PYSKL."""
    layout = {"2d": "coco", "3d": "nturgb+d"}[dims]
    name, file = f"ntu{classes}", f"ntu{classes}_{dims}.pkl"
    return skeletons(name, classes, file, "xsub_", layout=layout, streams=(stream,))


def skeletons(names: str, classes: int, file: str, subset: str = "", **recipe) -> dict:
    """Return a data set of a pickle in data/skeleton.

    Args:
      names: its class names.
      subset: beginning of the names of its splits, which end in train and val.
      recipe: options of the data recipe.
    """
    data = dict(root="data/skeleton", num_classes=classes, names=names, checks=CHECKS)
    for split in ("train", "val"):
        data[split] = dict(name="skeleton", file=file, subset=subset + split)
    data["recipe"] = plug.spec("data.recipes", "skeleton", **recipe)
    return data


def poses(names: str, classes: int, splits: tuple[str, str], file: str = "", **source) -> dict:
    """Return a data set of a pickle of 2-D key points in data/skeleton, without a recipe.

    Args:
      names: its class names.
      splits: names of its splits for training and validation.
      file: the pickle; by default, it has the name of the class names.
      source: options of both sources.
    """
    data = dict(root="data/skeleton", num_classes=classes, names=names, checks=CHECKS)
    for split, subset in zip(("train", "val"), splits, strict=True):
        file = file or f"{names}_2d.pkl"
        data[split] = dict(name="skeleton", file=file, subset=subset, **source)
    return data


def msrvtt() -> dict:
    """Return MSR-VTT's split of 9,000 videos for training and 1,000 for validation."""
    data = dict(root="data/video_retrieval/msrvtt", num_classes=None, names="", checks=CHECKS)
    for split, file in (("train", "train_9k.json"), ("val", "test_JSFUSION.json")):
        data[split] = dict(name="video_text", file=file, prefix="videos")
    data["recipe"] = plug.spec("data.recipes", "video_text")
    return data


def video_language(name: str, **recipe) -> dict:
    """Return captions of videos as VindLU has them: MSR-VTT, MSVD or DiDeMo.

    Args:
      name: "msrvtt", "msvd" or "didemo".
      **recipe: options of the recipe.
    """
    files = {
        "msrvtt": dict(train="msrvtt_ret_train9k.json", val="msrvtt_ret_test1k.json"),
        "msvd": dict(train="msvd_ret_train.json", val="msvd_ret_val.json"),
        "didemo": dict(train="didemo_ret_train.json", val="didemo_ret_val.json"),
    }
    paragraph = {"paragraph": True} if name == "didemo" else {}
    return _annotated(name, "video_text", files[name], recipe, paragraph)


def questions(name: str, **recipe) -> dict:
    """Return questions about videos as VindLU has them: MSR-VTT-QA or MSVD-QA.

    Args:
      name: "msrvtt" or "msvd".
      **recipe: options of the recipe.
    """
    files = {split: f"{name}_qa_{split}.json" for split in ("train", "val", "test")}
    listed = dict(answers=f"annotations/{name}_qa_answer_list.json")
    checks = ("labels", "missing")  # a video has several questions
    return _annotated(name, "video_questions", files, recipe, listed) | dict(checks=checks)


def choices(**recipe) -> dict:
    """Return MSR-VTT-MC: the caption of a video among five, which has no training set.

    Args:
      **recipe: options of the recipe.
    """
    files = dict.fromkeys(("train", "val"), "msrvtt_mc_test.json")
    data = _annotated("msrvtt", "video_choices", files, recipe, {})
    return data | dict(checks=("labels", "missing"))


def _annotated(name: str, source: str, files: dict, recipe: dict, options: dict) -> dict:
    """Return a data set whose annotations and videos are in two folders, as VindLU has them."""
    data = dict(root=f"data/{name}", num_classes=None, names="", checks=CHECKS)
    for split, file in files.items():
        file = f"annotations/{file}"
        data[split] = dict(name=source, file=file, prefix="videos_2fps_224", **options)
    data["recipe"] = plug.spec("data.recipes", "video_language", **recipe)
    return data


def activitynet(features: str, channels: int) -> dict:
    """Return ActivityNet v1.3 as csv files of `channels` features in the folder `features`."""
    data = dict(root="data/ActivityNet", num_classes=200, names="activitynet", checks=CHECKS)
    for split in ("train", "val"):
        file = f"anet_anno_{split}.json"
        source = dict(name="activitynet", file=file, features=features, suffix=".csv")
        data[split] = source | dict(outside="kept")
    data["recipe"] = plug.spec("data.recipes", "localization", channels=channels)
    return data


def charades() -> dict:
    """Return Charades-STA as MMAction2 prepares it, with the C3D features of DRN's authors."""
    data = dict(root="data/CharadesSTA", num_classes=None, names="")
    data["checks"] = ("labels", "missing", "overlap")
    for split, file in (("train", "train"), ("val", "test")):
        data[split] = dict(
            name="grounding",
            file=f"Charades_sta_{file}.txt",
            features="C3D_unit16_overlap0.5_merged",
            suffix=".npy",
            durations="Charades_duration.json",
            frame_counts="Charades_frames_info.json",
            vocabulary="Charades_word2id.json",
            outside="kept",
        )
    data["recipe"] = plug.spec("data.recipes", "grounding", channels=4096)
    return data


def thumos14(suffix: str = ".npy", **recipe) -> dict:
    """Return THUMOS14 as files of features, with lists of data_prep.

    Args:
      suffix: Of the feature files.
      recipe: Options of the data recipe.
    """
    data = dict(root="data/thumos14", num_classes=20, names="thumos14", checks=CHECKS)
    for split in ("train", "val"):
        source = dict(name="activitynet", file=f"thumos14_anno_{split}.json", suffix=suffix)
        data[split] = source | dict(features="i3d_features", outside="kept")
    data["recipe"] = plug.spec("data.recipes", "timeline", **recipe)
    return data


def epic_kitchens(kind: str, **recipe) -> dict:
    """Return the verbs or nouns of EPIC-Kitchens-100 as SlowFast features, as ActionFormer does.

    Args:
      kind: "verb" or "noun".
      recipe: Options of the data recipe.
    """
    classes = {"verb": 97, "noun": 300}[kind]
    data = dict(root="data/epic_kitchens", num_classes=classes, names="", checks=CHECKS)
    file = f"annotations/epic_kitchens_100_{kind}.json"
    for split in ("train", "val"):
        source = dict(name="activitynet", file=file, features="features", suffix=".npz")
        data[split] = source | dict(outside="kept")
    data["recipe"] = plug.spec("data.recipes", "timeline", **recipe)
    return data


def ava(version: str, frames: int, stride: int) -> dict:
    """Return AVA in MMAction2's layout: folders of frames at 30 a second, from second 900 on."""
    data = dict(root="data/ava", num_classes=80, names="ava", checks=("labels", "missing"))
    for split in ("train", "val"):
        data[split] = dict(
            name="ava",
            file=f"annotations/ava_{split}_v{version}.csv",
            exclude=f"annotations/ava_{split}_excluded_timestamps_v{version}.csv",
            proposals=f"annotations/ava_dense_proposals_{split}.FAIR.recall_93.9.pkl",
            prefix="rawframes",
            suffix="",
            template="img_{:05}.jpg",
            start=900.0,
            fps=30.0,
            first_class=1,
            meaning="",
            least=0.9,
        )
    clip = dict(frames=frames, stride=stride, late=1, canvas=CANVAS)
    data["recipe"] = plug.spec("data.recipes", "detection", **clip)
    return data


def ava_kinetics(frames: int, stride: int) -> dict:
    """Return AVA-Kinetics in MMAction2's layout: the boxes of both, and folders of frames."""
    data = ava("2.2", frames, stride)
    data["root"] = "data/ava_kinetics"
    for split in ("train", "val"):
        data[split]["name"] = "avakinetics"
    data["recipe"]["late"] = -1  # the center is counted from 0 there, and files from 1
    return data


def ava_task(**options) -> dict:
    """Return the `config.task` of AVA: classes that are not scored, and groups of classes."""
    return plug.spec("tasks", "detection", unscored=AVA_UNSCORED, groups=AVA_GROUPS, **options)


def multisports(frames: int, stride: int) -> dict:
    """Return MultiSports with its own annotations, and the published proposals."""
    data = dict(root="data/multisports", num_classes=66, names="multisports", checks=CHECKS)
    for split in ("train", "val"):
        data[split] = dict(
            name="multisports",
            file="annotations/multisports_GT.pkl",
            proposals=f"annotations/multisports_proposals_{split}.pkl",
            prefix="trainval",
            least=0.9,
        )
    clip = dict(frames=frames, stride=stride, canvas=CANVAS)
    data["recipe"] = plug.spec("data.recipes", "detection", **clip)
    return data


def ucf24(name: str, frames: int, stride: int, part: int = 1) -> dict:
    """Return UCF101-24 or JHMDB with the pickle of ACT. A person detector makes its proposals.

    Args:
      name: "ucf24" or "jhmdb".
      frames, stride: the clip around a key frame.
      part: number of the official split, from 1. UCF101-24 has one, JHMDB three.
    """
    classes, file = {"ucf24": (24, "UCF101v2-GT.pkl"), "jhmdb": (21, "JHMDB-GT.pkl")}[name]
    folder, template = {"ucf24": ("rgb-images", ".jpg"), "jhmdb": ("Frames", ".png")}[name]
    data = dict(root=f"data/{name}", num_classes=classes, names=name, checks=CHECKS)
    for split in ("train", "val"):
        data[split] = dict(
            name=name,
            file=file,
            part=part,
            proposals="" if split == "train" else "proposals_val.json",
            prefix=folder,
            template="{:05}" + template,
            least=0.5,
        )
    clip = dict(frames=frames, stride=stride, canvas=CANVAS)
    data["recipe"] = plug.spec("data.recipes", "detection", **clip)
    return data


def ucf24_task(**options) -> dict:
    """Return the `config.task` of UCF101-24 and JHMDB: one class a box, and frame and video mAP."""
    return plug.spec("tasks", "detection", multi_label=False, metric="ucf24", **options)


def multisports_task() -> dict:
    """Return the `config.task` of MultiSports: one class a box, and its own metric."""
    scored = dict(metric="multisports", unscored=MULTISPORTS_UNSCORED)
    return plug.spec("tasks", "detection", multi_label=False, **scored)
