"""Kinetics in the layouts it comes in, and 710 from the other three."""

import json
from pathlib import Path

import pytest

from data_prep import lists
from data_prep.kinetics.kinetics import RENAMED
from jaxvid import class_names
from jaxvid.data.sources import video_list
from jaxvid.errors import UserError
from tests.data_prep import fakes
from tests.data_prep.fakes import listed, stored, written

HEADER = "label,youtube_id,time_start,time_end,split"


def kinetics(root: Path, train: list[str], val: list[str], names=("train", "val")):
    """The csv files with these lines "label,id,start,end"."""
    for split, rows, name in zip(("train", "val"), (train, val), names, strict=True):
        fakes.text(root / f"annotations/{name}.csv", HEADER, *(f"{row},{split}" for row in rows))


def test_kinetics_as_cvdf_hosts_it(tmp_path):
    """One flat folder a split, and replacements for corrupt files."""
    kinetics(
        tmp_path,
        [
            "arm wrestling,-aaaaaaaaaa,3,13",
            '"petting animal (not cat)",bbbbbbbbbbb,170,180',
            "abseiling,ccccccccccc,1,11",
        ],
        ["zumba,ddddddddddd,0,10"],
    )
    fakes.videos(
        tmp_path, ["train/-aaaaaaaaaa_000003_000013.mp4", "train/bbbbbbbbbbb_000170_000180.mp4"]
    )
    for name in ("-aaaaaaaaaa_000003_000013", "bbbbbbbbbbb_000170_000180"):
        for ending in (".a.json", ".json", ".txt", ".mp4.part"):
            fakes.text(tmp_path / f"train/{name}{ending}")
    fakes.videos(tmp_path, ["val/ddddddddddd_000000_000010.mp4"])
    better = "replacement/replacement_for_corrupted_k400/bbbbbbbbbbb_000170_000180.mp4"
    fakes.videos(tmp_path, [better])
    assert listed("kinetics/k400", tmp_path) == {
        "train": [
            ("-aaaaaaaaaa_000003_000013.mp4", (6,)),
            (better.removeprefix("replacement/"), (212,)),
            ("ccccccccccc_000001_000011.mp4", (0,)),
        ],
        "val": [("ddddddddddd_000000_000010.mp4", (399,))],
    }
    # What is elsewhere is still found from the folder of the others.
    assert written("kinetics/k400", tmp_path) == {
        "kinetics400_train_list_videos.txt": [
            "-aaaaaaaaaa_000003_000013.mp4 6",
            f"../{better} 212",
        ],
        "kinetics400_val_list_videos.txt": ["ddddddddddd_000000_000010.mp4 399"],
    }
    source = video_list.build(
        "train", root=str(tmp_path), file="lists/kinetics400_train_list_videos.txt", prefix="train"
    )
    assert all(Path(path).is_file() for path in source.paths)
    assert stored("kinetics/k400", tmp_path) == {"train": 2, "val": 1}


@pytest.mark.parametrize(
    "folders,names,clip",
    [
        # MMAction2's scripts: classes with underscores, csv files renamed
        (
            ("videos_train/arm_wrestling", "videos_val/arm_wrestling"),
            ("kinetics_train", "kinetics_val"),
            "eeeeeeeeeee_000010_000020",
        ),
        # OpenDataLab's copy: ids alone
        (("videos_train", "videos_val"), ("train", "val"), "eeeeeeeeeee"),
        (
            ("videos/train/arm wrestling", "videos/val/arm wrestling"),
            ("train", "validate"),
            "eeeeeeeeeee_000010_000020",
        ),
    ],
)
def test_other_layouts_of_kinetics(tmp_path, folders, names, clip):
    kinetics(tmp_path, *[["arm wrestling,eeeeeeeeeee,10.0,20.0"]] * 2, names=names)
    for folder in folders:
        fakes.videos(tmp_path / folder, [f"{clip}.mp4"])
    found = listed("kinetics/k600", tmp_path)
    label = (class_names.of("k600").index("arm wrestling"),)
    assert [Path(path).stem for ((path, _),) in found.values()] == [clip, clip]
    assert [labels for ((_, labels),) in found.values()] == [label, label]
    train, *_ = written("kinetics/k600", tmp_path)
    assert train == "kinetics600_train_list_videos.txt"
    source = video_list.build("train", root=str(tmp_path / "lists"), file=train)
    assert source.labels.tolist() == list(label)


def test_a_class_that_kinetics_does_not_have(tmp_path):
    kinetics(tmp_path, ["arm wrestlin,aaaaaaaaaaa,3,13"], [])
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match=r'"arm wrestlin"\. Did you mean "arm wrestling"'):
        listed("kinetics/k400", tmp_path)


def parts(root: Path):
    """Kinetics-400, 600 and 700 with three, two and two training clips of which three differ."""
    same = "abseiling,aaaaaaaaaaa,3,13"
    kinetics(
        root / "kinetics400",
        [same, "tying tie,bbbbbbbbbbb,0,10", "drinking,vvvvvvvvvvv,0,10"],
        ["zumba,ddddddddddd,0,10"],
    )
    kinetics(root / "kinetics600", [same, "zumba,ddddddddddd,0,10"], ["zumba,vvvvvvvvvvv,0,10"])
    kinetics(
        root / "kinetics700",
        ["abseiling,aaaaaaaaaaa,50,60", "zumba,fffffffffff,1,11"],
        ["zumba,ddddddddddd,0,10"],
    )
    for part, clips in {
        "400": [
            "aaaaaaaaaaa_000003_000013",
            "bbbbbbbbbbb_000000_000010",
            "vvvvvvvvvvv_000000_000010",
        ],
        "600": ["aaaaaaaaaaa_000003_000013", "ddddddddddd_000000_000010"],
        "700": ["aaaaaaaaaaa_000050_000060", "fffffffffff_000001_000011"],
    }.items():
        fakes.videos(root / f"kinetics{part}/videos_train", [f"{clip}.mp4" for clip in clips])
    for part, clip in {"400": "ddddddddddd", "600": "vvvvvvvvvvv", "700": "ddddddddddd"}.items():
        fakes.videos(root / f"kinetics{part}/videos_val", [f"{clip}_000000_000010.mp4"])


def test_kinetics_710_joins_the_three(tmp_path):
    """No video twice, none that any of them holds out; classes by their names in 710."""
    parts(tmp_path)
    abseiling, necktie, zumba = (
        (class_names.of("k710").index(name),) for name in ("abseiling", "tying necktie", "zumba")
    )
    assert listed("kinetics/k710", tmp_path) == {
        "train": [
            ("kinetics400/videos_train/aaaaaaaaaaa_000003_000013.mp4", abseiling),
            ("kinetics400/videos_train/bbbbbbbbbbb_000000_000010.mp4", necktie),
            ("kinetics700/videos_train/fffffffffff_000001_000011.mp4", zumba),
        ],
        "val": [
            ("kinetics400/videos_val/ddddddddddd_000000_000010.mp4", zumba),
            ("kinetics600/videos_val/vvvvvvvvvvv_000000_000010.mp4", zumba),
        ],
    }
    assert written("kinetics/k710", tmp_path) == {
        "k400_train_list_videos.txt": [
            f"aaaaaaaaaaa_000003_000013.mp4 {abseiling[0]}",
            f"bbbbbbbbbbb_000000_000010.mp4 {necktie[0]}",
        ],
        "k400_val_list_videos.txt": [f"ddddddddddd_000000_000010.mp4 {zumba[0]}"],
        "k600_val_list_videos.txt": [f"vvvvvvvvvvv_000000_000010.mp4 {zumba[0]}"],
        "k700_train_list_videos.txt": [f"fffffffffff_000001_000011.mp4 {zumba[0]}"],
    }
    assert stored("kinetics/k710", tmp_path) == {"train": 3, "val": 2}


def test_kinetics_710_by_its_published_lists(tmp_path, capsys):
    parts(tmp_path)
    for part, clip in {
        "400": "bbbbbbbbbbb_000000",
        "600": "aaaaaaaaaaa_000003",
        "700": "x",
    }.items():
        for split in ("train", "val"):
            lines = [f"{clip}.mp4 7"] if split == "train" else []
            fakes.text(tmp_path / f"kinetics710/k{part}_{split}_list_videos.txt", *lines)
    assert listed("kinetics/k710", tmp_path)["train"] == [
        ("kinetics400/videos_train/bbbbbbbbbbb_000000.mp4", (7,)),
        ("kinetics600/videos_train/aaaaaaaaaaa_000003.mp4", (7,)),
        ("kinetics700/videos_train/x.mp4", (7,)),
    ]
    # The lists for a root that has all, too, do not replace the published ones.
    fakes.text(tmp_path / "kinetics710/k400_val_list_videos.txt", "ddddddddddd_000000_000010.mp4 9")
    fakes.text(
        tmp_path / "kinetics710/k400_train_list_videos.txt",
        "bbbbbbbbbbb_000000_000010.mp4 7",
        "gone.mp4 8",
    )
    before = {p: p.read_text() for p in (tmp_path / "kinetics710").iterdir()}
    lists.main(["kinetics/k710", "--source", str(tmp_path), "--out", str(tmp_path)])
    assert "k400_train_list_videos.txt: not replaced" in capsys.readouterr().out
    assert {p: p.read_text() for p in before} == before


def test_every_class_of_the_parts_is_one_of_710(data_folder):
    """As the published channel maps have it."""
    names = class_names.of("k710")
    for part in (400, 600, 700):
        published = json.loads(
            (data_folder / f"labels/k710_channel_map/map_k{part}.json").read_text()
        )
        assert [names.index(RENAMED.get(n, n)) for n in class_names.of(f"k{part}")] == published
