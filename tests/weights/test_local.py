"""Weights that are on this machine already: how they are named, and what errors say."""

import pytest

from jaxvid.errors import UserError
from jaxvid.weights import download, local, resolve, zoo

ROW = zoo.get("timesformer_divst_8x32_hf_k400")  # a repository of Hugging Face
REPOSITORY = ROW.url.split("/")[4]


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize(
    "name",
    [
        ROW.file,
        f"{ROW.name}.npz",
        f"{REPOSITORY}/model.safetensors",
        f"{ROW.name}/pytorch_model.bin",
        f"{ROW.name}/weights.pth",
    ],
)
def test_a_name_of_the_zoo_is_looked_up_in_the_folder_of_weights(tmp_path, monkeypatch, name):
    monkeypatch.setenv("JAXVID_WEIGHTS_DIR", str(tmp_path))
    assert local.of_row(ROW) is None
    touch(tmp_path / f"{zoo.get('swin_tiny_k400').name}.pth")
    assert local.of_row(ROW) is None
    path = touch(tmp_path / name)
    assert local.of_row(ROW) == path
    assert local.row_of(path) == ROW


def test_the_short_name_of_a_row_is_one_of_its_names(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVID_WEIGHTS_DIR", str(tmp_path))
    path = touch(tmp_path / "swin_tiny_k400.pth")
    assert local.of_row(zoo.get("swin_tiny_32x2_k400")) == path


def test_a_folder_is_its_only_file_of_weights(tmp_path):
    folder = tmp_path / ROW.name
    path = touch(folder / "weights.pth")
    touch(folder / "config.json")
    origin = resolve.locate(folder)
    assert (origin.source, origin.meta["zoo"]) == (path, ROW.name)
    touch(folder / "other.npz")
    with pytest.raises(UserError, match=r"several files of weights \(other\.npz, weights\.pth\)"):
        resolve.locate(folder)
    shared = touch(folder / "pytorch_model.bin")
    assert resolve.locate(folder).source == shared
    with pytest.raises(UserError, match=r"no checkpoint there .*, and no file of weights"):
        (tmp_path / "empty").mkdir()
        resolve.locate(tmp_path / "empty")


@pytest.mark.parametrize(
    "spec,message",
    [
        (
            "{}/tiny.pth",
            r'tiny\.pth: no such workdir, checkpoint or file. Did you mean "tiny2\.pth"',
        ),
        ("{}/none/tiny.pth", r"tiny\.pth: no such workdir, checkpoint or file$"),
        ("swin_tiny_k400.pth", r'no such workdir, .* Did you mean "swin_tiny_k400"\?'),
        (
            "swin_tinny_k400",
            r'no published weights named "swin_tinny_k400"\. Did you mean "swin_tiny',
        ),
        (f"facebook/{REPOSITORY}", f"give the name of these weights, {ROW.name}"),
        (ROW.url, f"give the name of these weights, {ROW.name}"),
        (f"https://huggingface.co/facebook/{REPOSITORY}", f"name of these weights, {ROW.name}"),
        ("https://huggingface.co/facebook", "links are not read; download the file"),
        (REPOSITORY, f'Did you mean "{ROW.name}"'),
        ("SWIN_TINY_K400", 'Did you mean "swin_tiny_k400"'),
        ("https://example.invalid/a.pth", "links are not read; download the file"),
        ("", "checkpoint='': give a workdir, a file or a name of the zoo"),
    ],
)
def test_what_is_not_there(tmp_path, spec, message):
    touch(tmp_path / "tiny2.pth")
    with pytest.raises(UserError, match=message) as error:
        resolve.locate(spec.format(tmp_path))
    assert "\n" not in str(error.value)


def test_without_a_network_the_error_says_what_the_folder_has(tmp_path, monkeypatch):
    def unreachable(row, url, part, target):
        raise download.Unavailable("no route to host")

    monkeypatch.setattr(download, "keep", unreachable)
    monkeypatch.setenv("JAXVID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("JAXVID_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"; it has no files of weights"):
        resolve.locate(ROW.name)
    file = touch(tmp_path / "timesformer.safetensors")
    with pytest.raises(UserError) as error:
        resolve.locate(ROW.name)
    wanted = f"JAXVID_WEIGHTS_DIR={tmp_path} under this name or as {ROW.name}."
    assert wanted in str(error.value) and f"; it has {file.name};" in str(error.value)
    for value, problem in ((file, "this is a file; name its folder"), ("none", "no such folder")):
        monkeypatch.setenv("JAXVID_WEIGHTS_DIR", str(value))
        with pytest.raises(UserError, match=f"JAXVID_WEIGHTS_DIR={value}: {problem}"):
            resolve.locate(ROW.name)
