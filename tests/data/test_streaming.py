"""Images that do not fit in memory: read from their files batch by batch, with the same results to the last bit."""

import numpy as np
import pytest
import torch
from PIL import Image

from dlrun.data.reading import image_files
from dlrun.data.sources.images import folder
from dlrun.errors import Mistake

NETWORK = ("data=folder", "data.path=shapes", "model=cnn", "model.dropout=0.3", "trainer.batch_size=8",
           "trainer.epochs=2", "data.augment={shift: 0.2, flip: true}")  # fmt: skip
SAME = ("model.safetensors", "history.csv", "predictions.csv")


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """Noisy images with a bright half, left or right; one file is broken."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    draw = np.random.default_rng(0)
    for name, half in (("left", slice(0, 5)), ("right", slice(5, 10))):
        (tmp_path / "shapes" / name).mkdir(parents=True)
        for i in range(25):
            pixels = draw.integers(0, 100, (12, 10, 3), dtype=np.uint8)
            pixels[:, half] += 100
            Image.fromarray(pixels).save(tmp_path / "shapes" / name / f"{i:02}.png")
    (tmp_path / "shapes" / "left" / "broken.png").write_bytes(b"\x89PNG no more")
    return tmp_path / "shapes"


@pytest.mark.parametrize(
    ("workers", "settings"), [(2, NETWORK), (1, (*NETWORK, "data.scale=standard", "trainer.shuffle=false"))]
)
def test_a_network_learns_the_same_to_the_last_bit_from_memory_and_from_files(dlrun, shapes, workers, settings):
    fast = dlrun(*settings, "output_dir=outputs/memory")
    streamed = dlrun(*settings, "data.in_memory=false", f"workers={workers}", "output_dir=outputs/files")
    assert fast.exit_code == streamed.exit_code == 0, fast.err + streamed.err
    ours, theirs = (next((fast.outputs / name).glob("*/*")) for name in ("memory", "files"))
    assert [name for name in SAME if (ours / name).read_bytes() != (theirs / name).read_bytes()] == []
    assert "left/broken.png" in streamed.out


def test_a_run_on_files_is_drawn_evaluated_elsewhere_and_predicts(dlrun, shapes):
    trained = dlrun("data=folder", f"data.path={shapes}", "data.in_memory=false", "data.grey=true", "trainer.epochs=1")
    assert trained.exit_code == 0 and "Warning" not in trained.err, trained.err
    for command in (
        ("plot", "plots=[mistakes,filters]"),
        ("eval", f"data.path={shapes}"),
        ("predict", f"input={shapes / 'right'}"),
    ):
        ended = dlrun(command[0], f"run={trained.folder}", *command[1:])
        assert ended.exit_code == 0, ended.err
    assert len(ended.out.splitlines()) == 26  # a header, and 25 images


def test_what_needs_all_rows_at_once_refuses_images_in_files(dlrun, shapes):
    refused = dlrun("data=folder", "data.path=shapes", "data.in_memory=false", "model=sklearn/svc")
    assert refused.exit_code == 2 and refused.err.startswith("dlrun: data.in_memory"), refused.err
    assert not (refused.outputs / "folder-svc").exists()


def test_a_file_that_vanishes_is_named(shapes):
    images = folder(str(shapes), in_memory=False, workers=2).inputs
    (shapes / "right" / "03.png").unlink()
    with pytest.raises(Mistake, match=r"right/03\.png can no longer be read"):
        list(images.batches([torch.arange(len(images))]))


def test_images_that_would_fill_the_memory_are_refused_before_they_are_decoded(dlrun, shapes, monkeypatch):
    monkeypatch.setattr(image_files, "free_memory", lambda: 10_000)
    refused = dlrun("data=folder", "data.path=shapes")
    assert refused.exit_code == 2 and refused.err.count("\n") == 1 and "data.in_memory=false" in refused.err
    assert dlrun("data=folder", "data.path=shapes", "data.in_memory=false", "trainer.epochs=1").exit_code == 0


def test_a_number_of_workers_that_cannot_be_is_a_mistake(dlrun, shapes):
    for workers in ("0", "two"):
        refused = dlrun("data=folder", "data.path=shapes", "data.in_memory=false", f"workers={workers}")
        assert refused.exit_code == 2 and refused.err.startswith("dlrun: workers is"), refused.err
