"""Images: folders of files, CIFAR's batches, and augmentation."""

import hashlib
import io
import math
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from dlrun.data.augment import Augment
from dlrun.data.reading import image_files
from dlrun.data.reading.download import UNVERIFIED, File, read
from dlrun.data.sources.images import cifar, folder
from dlrun.errors import Mistake


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def tree(tmp_path):
    """Red and blue images, of two sizes, in two folders; one file is broken."""
    rng = np.random.default_rng(0)
    for channel, name in ((0, "red"), (2, "blue")):
        (tmp_path / "colours" / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 90, (12, 10, 3), dtype=np.uint8)
            pixels[..., channel] += 150
            image = Image.fromarray(pixels)
            (image.resize((20, 24)) if i == 0 else image).save(tmp_path / "colours" / name / f"{i:02}.png")
    (tmp_path / "colours" / "red" / "broken.png").write_bytes(b"\x89PNG no more")
    (tmp_path / "colours" / "notes.txt").write_text("not an image")
    return tmp_path / "colours"


def test_a_folder_of_images_is_trained_on_and_broken_files_are_named(dlrun, tree):
    ended = dlrun("data=folder", "data.path=colours", "model=logistic", "trainer.epochs=20", "optimizer.lr=0.01")
    assert ended.exit_code == 0, ended.err
    assert (
        "inputs 3×12×10, 2 classes" in ended.out
        and "1 of the files cannot be read and were left out: red/broken.png" in ended.out
    )
    assert ended.metrics["test"]["accuracy"] == 1.0
    assert set(ended.predictions["truth"]) == {"blue", "red"}


def test_grey_and_size_are_as_told(tree):
    source = folder(str(tree), size=[6, 5], grey=True)
    assert source.inputs.shape == (40, 1, 6, 5) and source.inputs.dtype == np.uint8


def test_images_are_decoded_once(tree, monkeypatch):
    first = folder(str(tree)).inputs
    monkeypatch.setattr(image_files, "decode", None)
    assert (folder(str(tree)).inputs == first).all()


def test_a_changed_file_is_decoded_anew(tree):
    first = folder(str(tree)).inputs
    Image.new("RGB", (10, 12), "green").save(tree / "red" / "05.png")
    assert not (folder(str(tree)).inputs == first).all()


def test_a_folder_with_one_class_is_a_mistake(dlrun, tmp_path):
    (tmp_path / "one" / "red").mkdir(parents=True)
    Image.new("RGB", (3, 3)).save(tmp_path / "one" / "red" / "a.png")
    ended = dlrun("data=folder", "data.path=one")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "each class needs one" in ended.err


def archive(tmp_path, rows=3):
    """A tar.gz like CIFAR-10's, with `rows` rows a batch."""
    rng = np.random.default_rng(1)
    packed = io.BytesIO()
    contents = {}
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
            batch = rng.integers(0, 10, (rows, 3073), dtype=np.uint8)
            contents[name] = batch
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = batch.size
            tar.addfile(member, io.BytesIO(batch.tobytes()))
    (tmp_path / "c.tar.gz").write_bytes(packed.getvalue())
    return contents


def test_cifars_batches_are_labels_and_channel_planes(tmp_path):
    contents = archive(tmp_path)
    source = cifar(File("c.tar.gz", None, UNVERIFIED), [str(i) for i in range(10)], str(tmp_path))
    assert source.inputs.shape == (18, 3, 32, 32) and source.given["test"].tolist() == [15, 16, 17]
    assert (source.inputs[0, 1].ravel() == contents["data_batch_1.bin"][0, 1 + 1024 : 1 + 2048]).all()
    assert (source.targets[15:] == contents["test_batch.bin"][:, 0]).all()


def test_an_archive_without_the_batches_is_a_mistake(tmp_path):
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz"):
        pass
    with pytest.raises(Mistake, match="data_batch_1.bin is missing"):
        cifar(File("c.tar.gz", None, UNVERIFIED), [], str(tmp_path))


def test_an_unverified_file_is_recorded_by_its_first_download_and_checked_from_then_on(tmp_path):
    (tmp_path / "remote.bin").write_bytes(b"content")
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file = File("x/remote.bin", f"http://127.0.0.1:{server.server_port}/remote.bin", UNVERIFIED)
    assert read(file, None) == b"content"
    server.shutdown()
    server.server_close()
    recorded = tmp_path / "cache" / "dlrun" / "x" / "remote.bin.sha256"
    assert recorded.read_text() == hashlib.sha256(b"content").hexdigest()
    (tmp_path / "cache" / "dlrun" / "x" / "remote.bin").write_bytes(b"changed")
    with pytest.raises(Mistake, match="sha256 differs"):
        read(file, None)


def spot(height=21, width=21, row=10, column=15):
    """An image with a blurred spot right of the middle."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.exp(-((y - row) ** 2 + (x - column) ** 2) / 4.0)[None, None].float()


def centre(image):
    y, x = torch.meshgrid(torch.arange(image.shape[2]), torch.arange(image.shape[3]), indexing="ij")
    weight = image[0, 0] / image.sum()
    return (weight * y).sum().item(), (weight * x).sum().item()


def distorted(**settings):
    """Where the spot lies in 200 distorted images."""
    torch.manual_seed(0)
    found = Augment(**settings)(spot().expand(200, -1, -1, -1))
    return np.array([centre(image[None]) for image in found])


def test_nothing_to_do_leaves_images_as_they_are():
    assert torch.equal(Augment()(spot()), spot())


def test_a_flip_mirrors_half_of_the_images():
    columns = distorted(flip=True)[:, 1]
    assert set(columns.round().tolist()) == {5.0, 15.0} and 60 < (columns < 10).sum() < 140


def test_a_shift_moves_by_its_share_of_the_size_at_most():
    rows, columns = (distorted(shift=0.1) - [10, 15]).T
    assert 1.5 < np.abs(rows).max() <= 2.11 and 1.5 < np.abs(columns).max() <= 2.11
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.3


def test_a_rotation_keeps_the_distance_from_the_middle():
    offsets = distorted(rotation=30) - 10
    assert np.hypot(*offsets.T) == pytest.approx(np.full(200, 5.0), abs=0.1)
    angles = np.degrees(np.arctan2(offsets[:, 0], offsets[:, 1]))
    assert 25 < np.abs(angles).max() <= 30.5


def test_a_zoom_changes_the_distance_from_the_middle_by_its_share():
    distances = distorted(zoom=0.2)[:, 1] - 10
    assert 3.9 < distances.min() < 4.3 and 5.7 < distances.max() < 6.1


def test_a_shear_slants_by_its_angle():
    torch.manual_seed(0)
    found = Augment(shear=20)(spot(row=15, column=10).expand(200, -1, -1, -1))
    slants = np.array([centre(image[None])[1] - 10 for image in found])
    assert 1.4 < np.abs(slants).max() <= 5 * math.tan(math.radians(20)) + 0.1


def test_contrast_keeps_the_mean_and_changes_the_deviation():
    torch.manual_seed(0)
    image = torch.rand(50, 1, 30, 30) * 0.2 + 0.4
    found = Augment(contrast=0.5)(image)
    assert found.mean(dim=(1, 2, 3)).numpy() == pytest.approx(image.mean(dim=(1, 2, 3)).numpy(), abs=1e-5)
    ratio = found.std(dim=(1, 2, 3)) / image.std(dim=(1, 2, 3))
    assert 0.5 <= ratio.min() < 0.7 and 1.3 < ratio.max() <= 1.5


def test_only_training_rows_are_distorted(dlrun):
    """With a learning rate of 0 the network stays; the running training loss differs from the clean one, valid not."""
    ended = dlrun(
        "data.augment={rotation: 40}", "optimizer=sgd", "optimizer.lr=0", "trainer.epochs=1", "model=logistic"
    )
    row = dict(zip(*[line.split(",") for line in (ended.folder / "history.csv").read_text().splitlines()], strict=True))
    assert float(row["valid/loss"]) == pytest.approx(ended.metrics["valid"]["loss"], rel=1e-6)
    assert float(row["train/loss"]) != pytest.approx(ended.metrics["train_eval"]["loss"], rel=1e-4)


@pytest.mark.parametrize("setting", ["data.augment={shift: 2}", "data.augment={rotate: 5}", "data.augment=yes"])
def test_a_wrong_augmentation_is_one_line(dlrun, setting):
    ended = dlrun(setting)
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "data.augment" in ended.err


def test_augmentation_of_a_table_is_a_mistake(dlrun):
    ended = dlrun("data=iris", "data.augment={shift: 0.1}")
    assert ended.exit_code == 2 and "images" in ended.err
