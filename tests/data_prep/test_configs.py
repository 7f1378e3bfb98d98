"""What is written for a data set is what its shipped configs read: lists, links, names, pickles."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_prep import build, lists
from data_prep.skeletons import ntu, skeletons
from jaxvid import class_names
from jaxvid.config import loading
from jaxvid.data import dataset
from jaxvid.errors import UserError
from tests.data_prep import fakes
from tests.data_prep.test_kinetics import kinetics
from tests.data_prep.test_skeletons import moving, write_skeleton

CHECKS = ("labels", "missing", "duplicates", "overlap")
ROWS = {  # of a csv of Kinetics; the second video is in a folder with a space
    "train": ["abseiling,aaaaaaaaaaa,3,13", "zumba,bbbbbbbbbbb,0,10"],
    "val": ["zumba,ccccccccccc,0,10"],
}


def kinetics_archive(raw: Path, ids: str = "abc") -> None:
    """One of the three sets as CVDF hosts it: other folders than the configs name."""
    rows = {s: [r.replace("a" * 11, ids[0] * 11) for r in rows] for s, rows in ROWS.items()}
    for old, new in zip("bc", ids[1:], strict=True):
        rows = {s: [r.replace(old * 11, new * 11) for r in each] for s, each in rows.items()}
    kinetics(raw, rows["train"], rows["val"])
    fakes.videos(raw / "train", [f"{ids[0] * 11}_000003_000013.mp4"])
    fakes.videos(raw / "train/some folder", [f"{ids[1] * 11}_000000_000010.mp4"])
    fakes.videos(raw / "val", [f"{ids[2] * 11}_000000_000010.mp4"])


def kinetics_parts(raw: Path) -> None:
    for part, ids in ((400, "abc"), (600, "def"), (700, "ghi")):
        kinetics_archive(raw / f"kinetics{part}", ids)


def kinetics_flow(raw: Path) -> None:
    kinetics_archive(raw)
    stems = ["a" * 11 + "_000003_000013", "some folder/" + "b" * 11 + "_000000_000010"]
    for split, clips in (("train", stems), ("val", ["c" * 11 + "_000000_000010"])):
        fakes.frames(raw / f"flow_{split}", clips, "x_{:05d}.jpg")
        for clip in clips:
            for path in sorted((raw / f"flow_{split}" / clip).iterdir()):
                (path.parent / path.name.replace("x", "y")).write_bytes(path.read_bytes())


def something(raw: Path) -> None:
    fakes.videos(raw / "20bn-something-something-v2", ["78687.webm", "42326.webm", "7.webm"])
    one = {"id": "78687", "template": "Holding [something] next to [something]"}
    two = {"id": "7", "template": "Approaching [something] with your camera"}
    fakes.json_text(raw / "labels/train.json", [one, two])
    fakes.json_text(raw / "labels/validation.json", [{**one, "id": "42326"}])


def ucf101(raw: Path) -> None:
    fakes.ucf101(
        raw, fakes.ucf101_clips(("Archery", "YoYo"), [8]), fakes.ucf101_clips(("YoYo",), [1])
    )


def mit(raw: Path) -> None:
    videos = {
        "training": ["adult+female+singing/a.mp4", "aiming/b.mp4"],
        "validation": ["aiming/c.mp4"],
    }
    for split, names in videos.items():
        fakes.videos(raw / split, names)
        fakes.text(raw / f"{split}Set.csv", *(f"{n},{n.split('/')[0]},3,0" for n in names))


def diving48(raw: Path) -> None:
    fakes.videos(raw / "rgb", ["a_00000.mp4", "a_00001.mp4", "b_00000.mp4"])
    for split, labels in (("train", {"a_00000": 1, "a_00001": 0}), ("test", {"b_00000": 1})):
        items = [{"vid_name": name, "label": label} for name, label in labels.items()]
        fakes.json_text(raw / f"Diving48_V2_{split}.json", items)


def something1(raw: Path) -> None:
    fakes.frames(raw / "20bn-something-something-v1", ["100218", "24413", "9"])
    lines = "100218;Holding something", "24413;Turning something upside down"
    fakes.text(raw / "something-something-v1-train.csv", *lines)
    fakes.text(raw / "something-something-v1-validation.csv", "9;Holding something")


FLOW = ("--rawframes", "RAW/flow_{split}", "--template", "{}_{:05d}.jpg")
K710 = [*["abseiling", "zumba"] * 3], ["zumba"] * 3
KINETICS = ["abseiling", "zumba"], ["zumba"]
DIVES = [class_names.of("diving48")[label] for label in (1, 0)]
HOLDING = "Holding something next to something"
# Suffix of the configs -> data set, its archives, options, root below LISTS, classes of the splits.
LISTED: dict[str, tuple[str, Callable, tuple, str, tuple]] = {
    "k400": ("kinetics/k400", kinetics_archive, (), "", KINETICS),
    "k400_flow": ("kinetics/k400", kinetics_flow, FLOW, "", KINETICS),
    "k600": ("kinetics/k600", kinetics_archive, (), "", KINETICS),
    "k700": ("kinetics/k700", kinetics_archive, (), "", KINETICS),
    "k710": ("kinetics/k710", kinetics_parts, (), "", K710),
    "ucf101": ("ucf101/split1", ucf101, (), "", (["Archery", "YoYo"], ["YoYo"])),
    "mit": ("mit", mit, (), "", (["adult+female+singing", "aiming"], ["aiming"])),
    "diving48": ("diving48", diving48, (), "", (DIVES, DIVES[:1])),
    "ssv1": (
        "ssv1",
        something1,
        (),
        "",
        (["Holding something", "Turning something upside down"], ["Holding something"]),
    ),
    "ssv2": (
        "ssv2",
        something,
        (),
        "",
        ([HOLDING, "Approaching something with your camera"], [HOLDING]),
    ),
}
PICKLED = {"ntu60": 60, "ntu120": 120}
# Without a folder of data_prep: published in the form that the configs read, or one's own.
OTHERS = {"own", "quickstart", "finetune", "pretrain"}
OTHERS |= {"audio", "hands"}  # `tools.extract_audio` and `tools.extract_poses` write them
OTHERS |= {"poses"}  # pickles that MMAction2 publishes, see data_prep/skeletons
OTHERS |= {"skeleton"}  # `tools.make_skeletons` generates it
OTHERS |= {"epic", "didemo"}  # read as their authors publish them


FRAMES = ("--rawframes", "RAW/rawframes")
# With segments, boxes or captions: data set, function that makes its archives, options, samples.
ANNOTATED: dict[str, tuple[str, Callable, tuple, tuple[int, int]]] = {
    "anet": ("activitynet/features", fakes.activitynet, (), (1, 1)),
    "ava21": ("ava/v21", fakes.ava, FRAMES, (1, 1)),
    "ava22": ("ava/v22", fakes.ava, FRAMES, (1, 1)),
    "multisports": ("multisports", fakes.multisports, (), (2, 2)),
    "avakinetics": ("avakinetics", fakes.avakinetics, FRAMES, (2, 1)),
    "thumos14": ("thumos14/features", fakes.thumos14, (), (1, 1)),
    "charades": ("charades", fakes.charades, (), (1, 1)),
    "ucf24": ("ucf24", fakes.ucf24, (), (2, 5)),
    "jhmdb": ("jhmdb/split1", fakes.jhmdb, (), (2, 5)),
    "msrvtt": ("msrvtt/9k", fakes.msrvtt, (), (2, 1)),
}


def suffix(name: str) -> str:
    if "audio" in name and not name.endswith("_own"):
        return "audio"
    if name.startswith(("posec3d", "rgbposeconv3d")):
        return "poses"
    if name == "stgcnpp_jester":
        return "hands"
    return "own" if name.endswith("_own") else name.partition("_")[2] or name


def configs(ending: str) -> list[str]:
    return [row.name for row in loading.shipped() if suffix(row.name) == ending]


def test_every_config_of_a_prepared_data_set_is_tested():
    found = {suffix(row.name) for row in loading.shipped()}
    prepared = {folder.name for folder in Path(build.__file__).parent.iterdir() if folder.is_dir()}
    tested = LISTED.keys() | PICKLED.keys() | ANNOTATED.keys()
    assert tested <= found <= tested | prepared | OTHERS
    assert not prepared & OTHERS


@pytest.mark.parametrize("ending", LISTED)
@pytest.mark.parametrize("beside", [True, False])
def test_lists_are_what_the_configs_read(ending, beside, tmp_path):
    """Beside the archives, and in a folder of their own."""
    name, make, options, root, classes = LISTED[ending]
    raw, out = tmp_path / "raw", tmp_path / ("raw" if beside else "lists")
    make(raw)
    options = [option.replace("RAW", str(raw)) for option in options]
    for _ in range(2):  # again, over what is there
        lists.main([name, "--source", str(raw), "--out", str(out), *options])
    assert configs(ending)
    for config in map(loading.load, configs(ending)):
        config.data.root = str(out / root)
        data = dataset.for_training(config.data, config.task, checks=CHECKS)
        for split, expected in zip(("train", "val"), classes, strict=True):
            source = data.splits[split]
            found = [data.names[label] for label in source.labels]
            assert sorted(found) == sorted(expected), split
            if options:
                assert source[0]["total"] == fakes.FRAMES
    assert data.names == class_names.of(ending.partition("_")[0])


@pytest.mark.parametrize("ending", ANNOTATED)
def test_annotations_are_what_the_configs_read(ending, tmp_path):
    name, make, options, counts = ANNOTATED[ending]
    make(tmp_path / "raw")
    options = [option.replace("RAW", str(tmp_path / "raw")) for option in options]
    lists.main([name, "--source", str(tmp_path / "raw"), "--out", str(tmp_path / "out"), *options])
    assert configs(ending)
    for config in map(loading.load, configs(ending)):
        given = config.data.to_dict() | dict(root=str(tmp_path / "out"))
        recipe = given.pop("recipe")
        for split in ("train", "val"):
            given[split].pop("bank", "")  # `tools.make_bank` makes it
        checks = tuple(check for check in given.pop("checks") if check != "empty")
        data = dataset.build(**given, checks=checks, task=config.task.to_dict())
        assert recipe and tuple(map(len, data.splits.values())) == counts


@pytest.mark.parametrize("ending", PICKLED)
def test_pickles_are_what_the_configs_read(ending, tmp_path):
    classes, out = PICKLED[ending], tmp_path / f"{ending}_3d.pkl"
    for name in ("S001C001P001R001A001", "S001C001P002R001A060", "S001C002P003R002A013"):
        frames = [[body] for body in moving(4, 0.1)]
        write_skeleton(tmp_path / f"raw/{name}.skeleton", frames)
    ntu.convert(tmp_path / "raw", out, classes)
    assert out.stem in skeletons.FILES and f"{ending}_2d" in skeletons.FILES
    for name in configs(ending):
        for stream in ("j", "bm"):
            config = loading.load(f"{name}:3d_{stream}")
            config.data.root = str(tmp_path)
            data = dataset.for_training(config.data, config.task, checks=CHECKS)
            assert data.names == class_names.of(ending)
            assert np.array_equal(data.splits["train"].labels, [0, 59])
            assert data.splits["val"].labels.tolist() == [12]
        two = loading.load(f"{name}:2d_j").data.train.file
        assert two == f"{ending}_2d.pkl"


def test_something_else_where_the_link_would_stand(tmp_path):
    something(tmp_path / "raw")
    (tmp_path / "lists/videos").mkdir(parents=True)
    command = ["ssv2", "--source", str(tmp_path / "raw"), "--out", str(tmp_path / "lists")]
    with pytest.raises(UserError, match=r"lists/videos: is not .*20bn-something-something-v2"):
        lists.main(command)
