"""Every data set on a fake of what its archives unpack to: clips, labels, and MMAction2's lists.

Labels are written out where they are known from elsewhere than the class names here.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from data_prep import build, layout
from jaxvid import class_names
from jaxvid.data import dataset
from jaxvid.data.sources import frame_folders, tag_list
from jaxvid.errors import UserError
from tests.data_prep import fakes
from tests.data_prep.fakes import listed, stored, written


def of_readme(name: str, number: int, root: Path) -> dict[str, Any]:
    """The sources of a block of Python in the README of a data set, all videos of them there."""
    text = Path(build.__file__).with_name(name).joinpath("README.md").read_text()
    config: Any = SimpleNamespace()
    lines = text.split("```python\n")[number + 1].partition("```")[0].splitlines()
    (end,) = [i for i, line in enumerate(lines) if "c.task" in line][:1] or [len(lines)]
    exec("\n".join(lines[:end]), {"c": config})
    return dataset.build(**config.data | dict(root=str(root))).splits


def test_ucf101(tmp_path):
    train = fakes.ucf101_clips(("HandstandPushups", "YoYo"), [8])
    fakes.ucf101(tmp_path, train, [])
    fakes.text(tmp_path / "ucfTrainTestlist/testlist02.txt", "YoYo/v_YoYo_g01_c01.avi")
    fakes.videos(tmp_path / "UCF-101", ["YoYo/v_YoYo_g01_c01.avi"])
    assert listed("ucf101/split2", tmp_path) == {
        "train": [(train[0], (36,)), (train[1], (100,))],  # of classInd.txt: 37 and 101
        "val": [("YoYo/v_YoYo_g01_c01.avi", (100,))],
    }
    assert written("ucf101/split2", tmp_path) == {
        "ucf101_train_split_2_videos.txt": [f"{train[0]} 36", f"{train[1]} 100"],
        "ucf101_val_split_2_videos.txt": ["YoYo/v_YoYo_g01_c01.avi 100"],
    }


def test_ucf101_frames(tmp_path):
    train, val = fakes.ucf101_clips(("Archery",), [8]), fakes.ucf101_clips(("Archery",), [1])
    fakes.ucf101(tmp_path, train, val)
    names = [path.removesuffix(".avi") for path in (*train, *val)]
    fakes.frames(tmp_path / "rawframes", names, "img_{:05}.jpg")
    found = written("ucf101/split1", tmp_path, "--rawframes", str(tmp_path / "rawframes"))
    assert found == {
        "ucf101_train_split_1_rawframes.txt": [f"{names[0]} 5 2"],
        "ucf101_val_split_1_rawframes.txt": [f"{names[1]} 5 2"],
    }
    source = frame_folders.build(
        "train",
        root=str(tmp_path),
        file="lists/ucf101_train_split_1_rawframes.txt",
        prefix="rawframes",
    )
    assert (source[0]["path"], source[0]["total"]) == (str(tmp_path / "rawframes" / names[0]), 5)


def test_hmdb51(tmp_path):
    folder = tmp_path / "testTrainMulti_7030_splits"
    for name in class_names.of("hmdb51"):
        for split in (1, 2, 3):
            fakes.text(folder / f"{name}_test_split{split}.txt")
    clips = ["April_09_(c)_[x]_brush_hair_u_nm_np1_ba_goo_0.avi", "b_brush_hair_1.avi", "c.avi"]
    lines = [f"{clip} {use} " for clip, use in zip(clips, (1, 2, 0), strict=True)]
    fakes.text(folder / "brush_hair_test_split3.txt", *lines)
    fakes.text(
        folder / "wave_test_split3.txt", "#20060723sfjffbartsinger_wave_f_cm_np1_ba_med_0.avi 1 "
    )
    fakes.videos(tmp_path / "hmdb51_org/brush_hair", clips)
    wave = "wave/#20060723sfjffbartsinger_wave_f_cm_np1_ba_med_0.avi"
    fakes.videos(tmp_path / "hmdb51_org", [wave])
    assert listed("hmdb51/split3", tmp_path) == {
        "train": [(f"brush_hair/{clips[0]}", (0,)), (wave, (50,))],
        "val": [(f"brush_hair/{clips[1]}", (0,))],
    }
    assert written("hmdb51/split3", tmp_path) == {
        "hmdb51_train_split_3_videos.txt": [f"brush_hair/{clips[0]} 0", f"{wave} 50"],
        "hmdb51_val_split_3_videos.txt": [f"brush_hair/{clips[1]} 0"],
    }
    assert stored("hmdb51/split3", tmp_path) == {"train": 2, "val": 1}


def test_something_something_v2(tmp_path):
    fakes.videos(tmp_path / "20bn-something-something-v2", ["78687.webm", "42326.webm", "7.webm"])
    item = {
        "id": "78687",
        "label": "holding potato next to vicks vaporub bottle",
        "template": "Holding [something] next to [something]",
    }
    other = {"id": "42326", "template": "Approaching [something] with your camera"}
    fakes.json_text(tmp_path / "labels/train.json", [item, {**other, "id": "99"}])
    fakes.json_text(tmp_path / "labels/validation.json", [other])
    assert listed("ssv2", tmp_path) == {
        "train": [("78687.webm", (19,)), ("99.webm", (0,))],  # of labels.json
        "val": [("42326.webm", (0,))],
    }
    assert written("ssv2", tmp_path) == {
        "sthv2_train_list_videos.txt": ["78687.webm 19"],
        "sthv2_val_list_videos.txt": ["42326.webm 0"],
    }
    assert stored("ssv2", tmp_path) == {"train": 1, "val": 1}


@pytest.mark.parametrize(
    "name,stem,published,classes",
    [
        (
            "ssv1",
            "something-something-v1",
            "sthv1",
            {"Holding something": 0, "Turning something upside down": 1},
        ),
        ("jester", "jester-v1", "jester", {"Swiping Left": 0, "Doing other things": 26}),
    ],
)
def test_folders_of_frames(tmp_path, name, stem, published, classes):
    one, two = classes
    fakes.text(tmp_path / f"{stem}-train.csv", f"100218;{one}", f"24413;{two}", f"5;{one}")
    fakes.text(tmp_path / f"{stem}-validation.csv", f"9;{two}")
    fakes.frames(tmp_path / f"20bn-{stem}", ["100218", "24413", "9"])
    (tmp_path / f"20bn-{stem}/24413/00005.jpg").unlink()
    assert listed(name, tmp_path) == {
        "train": [("100218", (classes[one],)), ("24413", (classes[two],)), ("5", (classes[one],))],
        "val": [("9", (classes[two],))],
    }
    assert written(name, tmp_path) == {
        f"{published}_train_list_rawframes.txt": [
            f"100218 5 {classes[one]}",
            f"24413 4 {classes[two]}",
        ],
        f"{published}_val_list_rawframes.txt": [f"9 5 {classes[two]}"],
    }
    assert stored(name, tmp_path) == {"train": 2, "val": 1}


def test_diving48(tmp_path):
    fakes.videos(tmp_path / "rgb", ["_8Vy3dlHg2w_00000.mp4", "_8Vy3dlHg2w_00001.mp4"])
    item = {"vid_name": "_8Vy3dlHg2w_00000", "label": 47, "start_frame": 0, "end_frame": 104}
    fakes.json_text(tmp_path / "Diving48_V2_train.json", [item])
    fakes.json_text(
        tmp_path / "Diving48_V2_test.json", [{**item, "vid_name": "_8Vy3dlHg2w_00001", "label": 3}]
    )
    assert listed("diving48", tmp_path) == {
        "train": [("_8Vy3dlHg2w_00000.mp4", (47,))],
        "val": [("_8Vy3dlHg2w_00001.mp4", (3,))],
    }
    assert written("diving48", tmp_path) == {
        "diving48_train_list_videos.txt": ["_8Vy3dlHg2w_00000.mp4 47"],
        "diving48_val_list_videos.txt": ["_8Vy3dlHg2w_00001.mp4 3"],
    }


def test_moments_in_time(tmp_path):
    train, val = "adult+female+singing/0P3XG_vf91c_35.mp4", "clapping/flickr-1-2_3.mp4"
    fakes.videos(tmp_path, [f"training/{train}", f"validation/{val}"])
    fakes.text(tmp_path / "trainingSet.csv", f"{train},adult+female+singing,3,0")
    fakes.text(tmp_path / "validationSet.csv", f"{val},clapping,4,1")
    singing = class_names.of("mit").index("adult+female+singing")
    assert listed("mit", tmp_path) == {"train": [(train, (singing,))], "val": [(val, (0,))]}
    assert written("mit", tmp_path) == {
        "mit_train_list_videos.txt": [f"{train} {singing}"],
        "mit_val_list_videos.txt": [f"{val} 0"],
    }


def test_multi_moments_in_time(tmp_path):
    train, val = "adult+female+singing/0-3-6-2-9-1-2-6-14603629126_5.mp4", "jogging/yt-x_56.mp4"
    fakes.videos(tmp_path / "videos", [train, val])
    fakes.text(tmp_path / "trainingSet.csv", f"{train},312,0,7")
    fakes.text(tmp_path / "validationSet.csv", f"{val},5")
    assert listed("mmit", tmp_path) == {"train": [(train, (312, 0, 7))], "val": [(val, (5,))]}
    assert written("mmit", tmp_path) == {
        "mmit_train_list_videos.txt": [f"{train} 312 0 7"],
        "mmit_val_list_videos.txt": [f"{val} 5"],
    }
    source = of_readme("mmit", 1, tmp_path)["train"]
    assert source.labels.values.tolist() == [0, 7, 312]
    assert source.id(0) == str(tmp_path / "videos" / train)


def test_hvu(tmp_path):
    """A row of the real validation set; tags are numbered by category, as MMAction2 has them."""
    tags = "striking_combat_sports|uniform|competition|doing_karate"
    row = f"{tags},gD_G1b0wV5I,101.5,103.5"
    for split in ("Train", "Val"):
        fakes.text(tmp_path / f"HVU_{split}_V1.0.csv", "Tags,youtube_id,time_start,time_end", row)
        fakes.videos(tmp_path / f"videos_{split.lower()}", ["gD_G1b0wV5I_001015_001035.mp4"])
    found = listed("hvu", tmp_path)
    names = class_names.of("hvu")
    ((path, labels),) = found["train"]
    assert path == "gD_G1b0wV5I_001015_001035.mp4"
    assert sorted(names[number].partition("/")[2] for number in labels) == sorted(tags.split("|"))
    (text,) = written("hvu", tmp_path)["hvu_train_video.json"]
    (entry,) = json.loads(text)
    assert entry["filename"] == path
    assert sum(map(len, entry["label"].values())) == 4
    assert stored("hvu", tmp_path) == {"train": 1, "val": 1}
    sources = of_readme("hvu", 1, tmp_path)
    for split in ("train", "val"):  # what the lists say is what the records say
        (sample,), (record,) = sources[split], of_readme("hvu", 0, tmp_path / "data")[split]
        assert sample["path"] == str(tmp_path / f"videos_{split}" / path)
        for key in ("label", "label_mask"):
            np.testing.assert_array_equal(sample[key], record[key])
        assert np.flatnonzero(sample["label"]).tolist() == sorted(labels)


def test_hvu_frames(tmp_path):
    rows = ("beach,x,0,1", "crowd|doing_karate,y,0,1")
    clips = ["x_000000_000010", "y_000000_000010"]
    for split in ("Train", "Val"):
        fakes.text(tmp_path / f"HVU_{split}_V1.0.csv", "Tags,youtube_id,time_start,time_end", *rows)
        fakes.videos(tmp_path / f"videos_{split.lower()}", [f"{clip}.mp4" for clip in clips])
    fakes.frames(tmp_path / "rawframes", clips, "img_{:05}.jpg")
    written("hvu", tmp_path, "--rawframes", str(tmp_path / "rawframes"))
    names = class_names.of("hvu")
    source = tag_list.build(
        "val", root=str(tmp_path), file="lists/hvu_val.json", prefix="rawframes", names=names
    )
    tags = [{names[i].partition("/")[2] for i in np.flatnonzero(s["label"])} for s in source]
    assert tags == [{"beach"}, {"crowd", "doing_karate"}]
    assert [(s["path"], s["total"]) for s in source] == [
        (str(tmp_path / "rawframes" / clip), fakes.FRAMES) for clip in clips
    ]


def test_hvu_numbers_tags_as_published(tmp_path, data_folder):
    published = json.loads((data_folder / "labels/hvu_label_map.json").read_text())
    sample = json.loads((data_folder / "annotations/hvu_video_test_anno.json").read_text())[0]
    tags = [published[c][number] for c, numbers in sample["label"].items() for number in numbers]
    for split in ("Train", "Val"):
        fakes.text(
            tmp_path / f"HVU_{split}_V1.0.csv",
            "Tags,youtube_id,time_start,time_end",
            f"{'|'.join(tags)},x,0,1",
        )
        fakes.videos(tmp_path / f"videos_{split.lower()}", ["x_000000_000010.mp4"])
    (entry,) = json.loads(written("hvu", tmp_path)["hvu_val_video.json"][0])
    assert entry["label"] == sample["label"]
    names, file = class_names.of("hvu"), "annotations/hvu_video_test_anno.json"
    source = tag_list.build("val", root=str(data_folder), file=file, names=names)
    named = {f"{c}/{published[c][n]}" for c, numbers in sample["label"].items() for n in numbers}
    assert {names[i] for i in np.flatnonzero(source[0]["label"])} == named


def test_gym99(tmp_path):
    clips = [f"0LtLS9wROrk_E_002407_002435_A_000{i}_0005" for i in range(3)]
    fakes.videos(tmp_path / "subactions", [f"{clip}.mp4" for clip in clips])
    fakes.text(tmp_path / "gym99_train_element_v1.0.txt", f"{clips[0]} 98", f"{clips[1]} 0")
    fakes.text(tmp_path / "gym99_val_element.txt", f"{clips[2]} 70")
    assert listed("gym", tmp_path) == {
        "train": [(f"{clips[0]}.mp4", (98,)), (f"{clips[1]}.mp4", (0,))],
        "val": [(f"{clips[2]}.mp4", (70,))],
    }
    assert written("gym", tmp_path) == {
        "gym99_train.txt": sorted([f"{clips[0]}.mp4 98", f"{clips[1]}.mp4 0"]),
        "gym99_val.txt": [f"{clips[2]}.mp4 70"],
    }
    assert stored("gym", tmp_path) == {"train": 2, "val": 1}  # two classes have the same name


def test_omnisource(tmp_path, data_folder):
    folder = tmp_path / "annotations"
    fakes.text(folder / "kinetics_200/k200_train.txt", "0074cdXclLU.mp4 0")
    fakes.text(folder / "kinetics_200/k200_val.txt", "01fAWEHzudA.mp4 199")
    fakes.videos(
        tmp_path, ["kinetics_200_train/0074cdXclLU.mp4", "kinetics_200_val/01fAWEHzudA.mp4"]
    )
    assert listed("omnisource/kinetics", tmp_path) == {
        "train": [("0074cdXclLU.mp4", (0,))],
        "val": [("01fAWEHzudA.mp4", (199,))],
    }
    image = "googleimage_200/000/00/000001.jpg"
    fakes.text(folder / "webimage_200/tsn_8seg_webimage_200_wodup.txt", f"{image} 3")
    fakes.frames(tmp_path, ["googleimage_200/000/00"], "{:06}.jpg")
    assert listed("omnisource/webimage", tmp_path) == {"train": [(image, (3,))]}
    assert stored("omnisource/webimage", tmp_path) == {"train": 1}
    name = "slowonly_8x8_insvideo_200_wodup.txt"
    fakes.text(folder / "insvideo_200" / name, "000/abseil/B00arxogubl.mp4 0")
    assert listed("omnisource/insvideo", tmp_path)["train"] == [
        ("000/abseil/B00arxogubl.mp4", (0,))
    ]
    (item,) = json.loads((data_folder / "annotations/rawvideo_test_anno.json").read_text())
    fakes.json_text(folder / "kinetics_raw_200/slowonly_8x8_kinetics_raw_200.json", [item])
    assert listed("omnisource/kinetics_raw", tmp_path) == {
        "train": [("rawvideo_dataset/part_0.mp4", (1,))]
    }


# What is wrong in an annotation


def test_annotations_that_cannot_be_read(tmp_path):
    fakes.text(tmp_path / "a.json", "[1,")
    with pytest.raises(UserError, match=r"a\.json: not JSON"):
        layout.json_file(tmp_path / "a.json")
    fakes.text(tmp_path / "a.csv", "label,youtube_id,start", "x,y,z")
    with pytest.raises(UserError, match=r'a\.csv:1: no column "time_start"'):
        layout.records(tmp_path / "a.csv", "label", "time_start")
    (tmp_path / "b.csv").write_bytes("caf\u00e9".encode("utf-16"))
    with pytest.raises(UserError, match=r"b\.csv: this is not text in UTF-8"):
        layout.lines(tmp_path / "b.csv")
    with pytest.raises(UserError, match=r"c\.csv: no such file"):
        layout.lines(tmp_path / "c.csv")


def test_a_tag_that_hvu_does_not_have(tmp_path):
    fakes.text(
        tmp_path / "HVU_Train_V1.0.csv", "Tags,youtube_id,time_start,time_end", "beech,x,0,1"
    )
    (tmp_path / "videos_train").mkdir()
    with pytest.raises(UserError, match=r'V1\.0\.csv: no such tag: "beech"\. Did you mean "bench"'):
        listed("hvu", tmp_path)
