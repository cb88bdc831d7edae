"""Other people's images: what their files and folders say is followed, and what was done to them is said."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dlrun.data.sources.images import folder
from dlrun.errors import Mistake

LEARNED = ("model=logistic", "optimizer.lr=0.05", "trainer.epochs=40", "data.split.valid=null")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))


def noise(low: int, high: int, seed: int, shape=(8, 8)) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape)


def save(place, pixels, **settings) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(place, **settings)


def two_classes(root, count=6, suffix="png"):
    """Dark and light images in two folders."""
    for name, low in (("dark", 0), ("light", 150)):
        for i in range(count):
            save(root / name / f"{i:02}.{suffix}", noise(low, low + 90, i).astype(np.uint8))
    return root


def test_images_of_16_bits_keep_their_brightness_in_training_and_predict(dlrun, tmp_path):
    for name, low in (("dim", 2_000), ("strong", 40_000)):
        for i in range(12):
            save(tmp_path / "scans" / name / f"{i:02}.png", noise(low, low + 3_000, i).astype(np.uint16))
    source = folder(str(tmp_path / "scans"), grey=True)
    first = np.asarray(Image.open(tmp_path / "scans" / "dim" / "00.png"), dtype=float)
    assert source.inputs[0, 0] == pytest.approx(first / 257, abs=0.51)
    ended = dlrun("data=folder", "data.path=scans", *LEARNED)
    assert ended.metrics["test"]["accuracy"] == 1.0
    assert "images of 16 bits or of fractions: 24; their values 0 to 65535 become 0 to 255 (data.range" in ended.out
    said = dlrun("predict", f"run={ended.folder}", f"input={tmp_path / 'scans' / 'dim'}")
    assert said.out.count(",dim,") == 12 and said.out.count(",strong,") == 0


@pytest.mark.parametrize(
    ("largest", "expected"), [(4000, (0, 4095)), (1000, (0, 1023)), (16000, (0, 16383)), (60000, (0, 65535))]
)
def test_the_range_of_deep_images_is_that_of_the_bits_in_use_and_can_be_set(tmp_path, largest, expected):
    for name in ("a", "b"):
        save(tmp_path / name / "0.png", noise(0, largest, 1).astype(np.uint16))
    assert folder(str(tmp_path)).preprocessing.value_range == expected
    told = folder(str(tmp_path), range=[0, largest // 2])
    assert told.inputs.max() == 255 and any("clipped" in note and ": 2" in note for note in told.notes)
    with pytest.raises(Mistake, match=r"data\.range"):
        folder(str(tmp_path), range=[5, 5])


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (40.0, -20.0)])
def test_images_of_fractions_are_scaled_by_one_range_for_all(tmp_path, scale, offset):
    for name, brightness in (("dim", 0.1), ("strong", 0.8)):
        pixels = (np.random.default_rng(1).random((8, 8)) * 0.2 + brightness) * scale + offset
        save(tmp_path / name / "0.tif", pixels.astype(np.float32))
    source = folder(str(tmp_path), grey=True)
    low, high = source.preprocessing.value_range
    last = np.asarray(Image.open(tmp_path / "strong" / "0.tif"), dtype=float)
    assert source.inputs[1, 0] == pytest.approx((last - low) / (high - low) * 255, abs=0.51)
    assert source.inputs[1].mean() > source.inputs[0].mean() + 100


@pytest.mark.parametrize("orientation", range(2, 9))
def test_photographs_are_held_as_their_exif_orientation_says(tmp_path, orientation):
    pixels = np.zeros((8, 12), dtype=np.uint8)
    pixels[:3, :4] = 250
    turn = {2: np.fliplr, 3: lambda p: np.rot90(p, 2), 4: np.flipud, 5: np.transpose, 6: lambda p: np.rot90(p, 1),
            7: lambda p: np.rot90(p, 2).T, 8: lambda p: np.rot90(p, -1)}[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("a", "b"):
        save(tmp_path / name / "0.png", np.ascontiguousarray(turn(pixels)), exif=exif)
    source = folder(str(tmp_path), grey=True)
    assert (source.inputs[0, 0] == pixels).all()
    assert any(note.startswith("turned upright") and "2 images" in note for note in source.notes)
    assert not any("resized" in note for note in source.notes)


@pytest.mark.parametrize(("background", "shade"), [("white", 255), ("black", 0), ("#808080", 128)])
def test_transparent_pixels_show_the_background_that_is_set(tmp_path, background, shade):
    pixels = np.zeros((6, 6, 4), dtype=np.uint8)
    pixels[2:4, 2:4] = (200, 10, 10, 255)
    palette = Image.fromarray(pixels).quantize(4)
    (tmp_path / "a").mkdir()
    palette.save(tmp_path / "a" / "0.png", transparency=palette.getpixel((0, 0)))
    save(tmp_path / "b" / "0.png", pixels)
    source = folder(str(tmp_path), background=background)
    for image in source.inputs:
        assert image[:, 0, 0].tolist() == [shade] * 3 and image[:, 2, 2].tolist() == [200, 10, 10]
    assert f"transparent images: 2, drawn on {background} (data.background)" in source.notes
    with pytest.raises(Mistake, match=r"data\.background: 'whit'"):
        folder(str(tmp_path), background="whit")


def test_hidden_files_and_folders_are_no_classes(tmp_path):
    two_classes(tmp_path / "x")
    for hidden in (".ipynb_checkpoints/00.png", "__MACOSX/00.png", "dark/._00.png", "light/.cache/00.png"):
        save(tmp_path / "x" / hidden, noise(0, 9, 0).astype(np.uint8))
    source = folder(str(tmp_path / "x"))
    assert source.class_names == ["dark", "light"] and len(source) == 12
    assert any(note.startswith("hidden files: 4 passed over") for note in source.notes)


def test_sub_folders_of_a_class_belong_to_it_and_the_classes_are_named(tmp_path):
    two_classes(tmp_path / "x")
    save(tmp_path / "x" / "dark" / "camera2" / "0.png", noise(0, 90, 1).astype(np.uint8))
    source = folder(str(tmp_path / "x"))
    assert source.targets.tolist() == [0] * 7 + [1] * 6
    assert "2 classes: dark (7), light (6)" in source.notes
    assert "class 'dark': 1 of its 7 images lie in sub-folders (dark/camera2)" in source.notes


def test_every_file_that_is_passed_over_is_counted_by_its_suffix(tmp_path):
    root = two_classes(tmp_path / "x", suffix="jpg")
    for path in (root / "dark").iterdir():
        path.rename(path.with_suffix(".jfif"))
    for name in ("dark/a.heic", "dark/b.HEIC", "light/c", "notes.txt"):
        (root / name).write_bytes(b"?")
    source = folder(str(root))
    assert len(source) == 12
    assert any("4 passed over (2 .heic, 1 without a suffix, 1 .txt)" in note for note in source.notes), source.notes


def test_a_folder_of_unknown_suffixes_is_refused_with_their_number(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "x" / name).mkdir(parents=True)
        (tmp_path / "x" / name / "0.heic").write_bytes(b"?")
    with pytest.raises(Mistake, match=r"images in 0 sub-folders.*2 passed over \(2 \.heic\)"):
        folder(str(tmp_path / "x"))


def enormous(place) -> None:
    """A file of a few bytes that says it is an image of 400 million pixels."""
    save(place, np.zeros((1, 1), dtype=np.uint8))
    content = bytearray(place.read_bytes())
    content[16:24] = (20_000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    place.write_bytes(content)


@pytest.mark.parametrize("in_memory", ["true", "false"])
def test_broken_and_enormous_images_are_left_out_by_name_in_training_and_predict(dlrun, tmp_path, in_memory):
    two_classes(tmp_path / "x", 12)
    enormous(tmp_path / "x" / "light" / "survey.png")
    (tmp_path / "x" / "dark" / "empty.png").write_bytes(b"")
    ended = dlrun("data=folder", "data.path=x", f"data.in_memory={in_memory}", *LEARNED)
    assert ended.exit_code == 0, ended.err
    assert "2 of the files cannot be read" in ended.out and "dark/empty.png (an empty file)" in ended.out
    assert "light/survey.png (more than 179 million pixels" in ended.out
    said = dlrun("predict", f"run={ended.folder}", f"input={tmp_path / 'x' / 'light'}")
    assert said.exit_code == 0 and len(said.out.splitlines()) == 13
    assert said.err.count("\n") == 1 and "light/survey.png cannot be read and was left out (more than" in said.err
    alone = dlrun("predict", f"run={ended.folder}", f"input={tmp_path / 'x' / 'light' / 'survey.png'}")
    assert alone.exit_code == 2 and alone.err.count("\n") == 1 and "179 million pixels" in alone.err


def test_a_class_of_broken_files_only_is_no_class(tmp_path):
    two_classes(tmp_path / "x")
    (tmp_path / "x" / "lost").mkdir()
    (tmp_path / "x" / "lost" / "0.png").write_bytes(b"\x89PNG no more")
    (tmp_path / "x" / "void").mkdir()
    source = folder(str(tmp_path / "x"))
    assert source.class_names == ["dark", "light"] and source.targets.tolist() == [0] * 6 + [1] * 6
    assert any("'lost' has no image that can be read" in note for note in source.notes)
    assert any("'void' has no image" in note for note in source.notes)


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "Testing"), ("train", "val", "test")])
def test_folders_of_parts_are_the_parts_and_no_classes(dlrun, tmp_path, names):
    for number, name in enumerate(names):
        two_classes(tmp_path / "x" / name, 8 + number)
    save(tmp_path / "x" / names[1] / "odd" / "0.png", noise(0, 9, 0).astype(np.uint8))
    source = folder(str(tmp_path / "x"))
    assert source.class_names == ["dark", "light"]
    sizes = {"valid" if name == "val" else "test": 16 + 2 * i for i, name in enumerate(names) if i}
    assert {part: len(rows) for part, rows in source.given.items()} == sizes
    assert any("classes that the training part lacks: 1" in note for note in source.notes)
    tested = dlrun("data=folder", "data.path=x", "trainer.epochs=0").predictions.query("split == 'test'")
    assert tested["truth"].value_counts().to_dict() == dict.fromkeys(("dark", "light"), sizes["test"] // 2)


def test_parts_without_class_folders_are_refused_in_one_line(dlrun, tmp_path):
    for name in ("train", "test"):
        save(tmp_path / "x" / name / "0.png", noise(0, 9, 0).astype(np.uint8))
    ended = dlrun("data=folder", "data.path=x")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "divided into test, train" in ended.err


@pytest.mark.parametrize("named", ["name", "stem", "path"])
def test_a_table_beside_the_images_gives_their_labels(dlrun, tmp_path, named):
    rows = []
    for i in range(20):
        file = tmp_path / "x" / "images" / f"{i}.png"
        save(file, noise(150 * (i % 2), 150 * (i % 2) + 90, i).astype(np.uint8))
        rows.append(
            ({"name": file.name, "stem": file.stem, "path": f"images/{file.name}"}[named], ["dark", "light"][i % 2])
        )
    rows += [("99.png" if named == "name" else "no", "dark")]
    pd.DataFrame(rows[1:], columns=["file", "kind"]).to_csv(tmp_path / "x" / "labels.csv", index=False)
    refused = dlrun("data=folder", "data.path=x")
    assert refused.exit_code == 2 and refused.err.count("\n") == 1 and "data.labels=labels.csv" in refused.err
    ended = dlrun("data=folder", "data.path=x", "data.labels=labels.csv", *LEARNED)
    assert ended.exit_code == 0, ended.err
    assert ended.metrics["train_eval"]["accuracy"] == 1.0
    assert "whose file is not there: 1, left out" in ended.out
    assert "images that labels.csv has no label for: 1, left out" in ended.out
    assert "2 classes: dark (9), light (10)" in ended.out


def test_a_table_with_several_columns_of_labels_asks_which(dlrun, tmp_path):
    two_classes(tmp_path / "x")
    ages = pd.DataFrame({"file": [f"light/{i:02}.png" for i in range(6)], "kind": "abcabc", "age": np.arange(6) / 3})
    ages["kind"] = list("abcabc")
    ages.to_csv(tmp_path / "x" / "labels.csv", index=False)
    refused = dlrun("data=folder", "data.path=x", "data.labels=labels.csv")
    assert refused.exit_code == 2 and refused.err.startswith("dlrun: data.target: which column"), refused.err
    source = folder(str(tmp_path / "x"), labels="labels.csv", target="age")
    assert source.targets == pytest.approx(np.arange(6) / 3) and source.class_names is None


def test_what_decoding_went_by_is_kept_with_the_run(dlrun, tmp_path):
    two_classes(tmp_path / "x")
    ended = dlrun("data=folder", "data.path=x", "data.background=black", "trainer.epochs=0")
    described = json.loads((ended.folder / "preprocessing.json").read_text())["inputs"]
    assert described["background"] == "black" and described["range"] is None


def test_eval_refuses_images_whose_values_mean_something_else(dlrun, tmp_path):
    for name, largest in (("twelve", 4095), ("sixteen", 65535)):
        for label, low in (("dark", 0), ("light", largest // 2)):
            for i in range(12):
                pixels = noise(low, low + largest // 2, i).astype(np.uint16)
                save(tmp_path / name / label / f"{i}.png", pixels)
    ended = dlrun("data=folder", "data.path=twelve", "model=mlp", "trainer.epochs=1")
    assert ended.exit_code == 0, ended.err
    refused = dlrun("eval", "run=latest", "data.path=sixteen")
    assert refused.exit_code == 2 and "data.range=[0,4095] reads them alike" in refused.err, refused.err
    assert dlrun("eval", "run=latest", "data.path=sixteen", "data.range=[0,4095]").exit_code == 0


def test_files_that_are_called_by_numbers_are_found_in_their_table(dlrun, tmp_path):
    for i in range(20):
        save(tmp_path / "x" / "images" / f"{i}.png", noise(150 * (i % 2), 150 * (i % 2) + 90, i).astype(np.uint8))
    table = pd.DataFrame({"file": [f"{i}.png" for i in range(20)], "kind": ["dark", "light"] * 10})
    table.to_csv(tmp_path / "x" / "labels.csv", index=False)
    ended = dlrun("data=folder", "data.path=x/images", "data.labels=x/labels.csv", *LEARNED)
    assert ended.exit_code == 0 and ended.metrics["train_eval"]["accuracy"] == 1.0, ended.err
