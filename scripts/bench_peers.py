"""What a user would write, or take, instead of dlrun: one training, for scripts/bench.py to time.

    python scripts/bench_peers.py expert small 10

Every peer trains the same network on the same rows with the same batch size and Adam, evaluates the validation rows
after every epoch (but for scikit-learn) and the test rows at the end, and prints its test accuracy. `expert` is the
tensor loop that an expert writes for data that fit in memory, `dataloader` the loop of the tutorials; the others are
the libraries.
MNIST is read from the folder `mnist` below $DLRUN_DATA, the table from $DLRUN_BENCH_TABLE.
"""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

BATCH = {"tiny": 32, "table": 1024}  # else 128
VALID = 6000


def read_idx(name: str, header: int) -> np.ndarray:
    """The bytes of an IDX file of MNIST."""
    with gzip.open(Path(os.environ["DLRUN_DATA"]) / "mnist" / name) as file:
        return np.frombuffer(file.read()[header:], dtype=np.uint8)


def load(workload: str) -> list[np.ndarray]:
    """Inputs (float32) and classes of the training, validation and test rows."""
    if workload == "tiny":
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        x, y = (x / 16).astype(np.float32).reshape(-1, 1, 8, 8), y.astype(np.int64)
        return [x[:1257], y[:1257], x[1257:1527], y[1257:1527], x[1527:], y[1527:]]
    if workload == "table":
        import pandas as pd

        frame = pd.read_csv(os.environ["DLRUN_BENCH_TABLE"])
        x, y = frame.drop(columns="y").to_numpy(dtype=np.float32), frame["y"].to_numpy(dtype=np.int64)
        a, b = len(x) * 64 // 100, len(x) * 80 // 100
        x = (x - x[:a].mean(axis=0)) / x[:a].std(axis=0)
        return [x[:a], y[:a], x[a:b], y[a:b], x[b:], y[b:]]
    x = read_idx("train-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28).astype(np.float32) / 255
    y = read_idx("train-labels-idx1-ubyte.gz", 8).astype(np.int64)
    tx = read_idx("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28).astype(np.float32) / 255
    ty = read_idx("t10k-labels-idx1-ubyte.gz", 8).astype(np.int64)
    return [x[:-VALID], y[:-VALID], x[-VALID:], y[-VALID:], tx, ty]


def network(workload: str):
    """The network of a workload, with PyTorch's own start."""
    from torch import nn

    class Rows(nn.Module):
        """An LSTM that reads an image row by row."""

        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(28, 64, batch_first=True)
            self.head = nn.Linear(64, 10)

        def forward(self, images):
            return self.head(self.rnn(images[:, 0])[0][:, -1])

    def dense(*widths):
        layers = [nn.Flatten()]
        for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
            layers += [nn.Linear(a, b)] + [nn.ReLU()] * (i < len(widths) - 2)
        return nn.Sequential(*layers)

    networks = {
        "tiny": lambda: dense(64, 10), "small": lambda: dense(784, 32, 10),
        "mlp": lambda: dense(784, 512, 256, 128, 32, 10), "table": lambda: dense(20, 64, 2), "lstm": Rows,
        "cnn": lambda: nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(5408, 128), nn.ReLU(),
            nn.Linear(128, 10)),
    }  # fmt: skip
    return networks[workload]()


def expert(workload: str, epochs: int) -> float:
    """Index tensors, fused Adam, large evaluation batches."""
    import torch
    from torch.nn.functional import cross_entropy

    x, y, vx, vy, tx, ty = map(torch.from_numpy, load(workload))
    torch.manual_seed(0)
    model, batch = network(workload), BATCH.get(workload, 128)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def accuracy(inputs, classes):
        model.eval()
        right = 0
        with torch.inference_mode():
            for i in range(0, len(inputs), 1024):
                right += (model(inputs[i : i + 1024]).argmax(1) == classes[i : i + 1024]).sum()
        model.train()
        return right.item() / len(inputs)

    for _ in range(epochs):
        order = torch.randperm(len(x))
        for i in range(0, len(x), batch):
            rows = order[i : i + batch]
            optimizer.zero_grad()
            cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        accuracy(vx, vy)
    return accuracy(tx, ty)


def dataloader(workload: str, epochs: int) -> float:
    """TensorDataset, DataLoader and Adam, as the tutorials teach it."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    x, y, vx, vy, tx, ty = map(torch.from_numpy, load(workload))
    torch.manual_seed(0)
    model, batch = network(workload), BATCH.get(workload, 128)
    optimizer, loss = torch.optim.Adam(model.parameters()), torch.nn.CrossEntropyLoss()
    train = DataLoader(TensorDataset(x, y), batch, shuffle=True)
    valid, test = (DataLoader(TensorDataset(a, b), batch) for a, b in ((vx, vy), (tx, ty)))

    def accuracy(loader):
        model.eval()
        with torch.no_grad():
            right = sum((model(a).argmax(1) == b).sum().item() for a, b in loader)
        model.train()
        return right / len(loader.dataset)

    for _ in range(epochs):
        for inputs, classes in train:
            optimizer.zero_grad()
            loss(model(inputs), classes).backward()
            optimizer.step()
        accuracy(valid)
    return accuracy(test)


def lightning(workload: str, epochs: int) -> float:
    """PyTorch Lightning, with the losses logged, and its logger and checkpoints as they are by default."""
    import logging

    import lightning as pl
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    x, y, vx, vy, tx, ty = map(torch.from_numpy, load(workload))
    batch = BATCH.get(workload, 128)

    class Module(pl.LightningModule):
        """The network with what is logged of it."""

        def __init__(self):
            super().__init__()
            self.net, self.loss = network(workload), torch.nn.CrossEntropyLoss()

        def training_step(self, rows, _):
            loss = self.loss(self.net(rows[0]), rows[1])
            self.log("train/loss", loss, on_epoch=True, on_step=False)
            return loss

        def validation_step(self, rows, _):
            scores = self.net(rows[0])
            self.log("valid/loss", self.loss(scores, rows[1]))
            self.log("valid/accuracy", (scores.argmax(1) == rows[1]).float().mean())

        def test_step(self, rows, _):
            self.log("accuracy", (self.net(rows[0]).argmax(1) == rows[1]).float().mean())

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    pl.seed_everything(0, verbose=False)
    module = Module()
    train = DataLoader(TensorDataset(x, y), batch, shuffle=True)
    valid, test = (DataLoader(TensorDataset(a, b), batch) for a, b in ((vx, vy), (tx, ty)))
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(max_epochs=epochs, accelerator="cpu", default_root_dir=folder, enable_progress_bar=False,
                             enable_model_summary=False)  # fmt: skip
        trainer.fit(module, train, valid)
        return trainer.test(module, test, verbose=False)[0]["accuracy"]


def skorch(workload: str, epochs: int) -> float:
    """skorch's NeuralNetClassifier."""
    import torch
    from skorch import NeuralNetClassifier
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    x, y, vx, vy, tx, ty = load(workload)
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        network(workload), criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.Adam, lr=1e-3, max_epochs=epochs,
        batch_size=BATCH.get(workload, 128), iterator_train__shuffle=True, verbose=0,
        train_split=predefined_split(Dataset(vx, vy)),
    )  # fmt: skip
    net.fit(x, y)
    return float((net.predict(tx) == ty).mean())


def sklearn(workload: str, epochs: int) -> float:
    """scikit-learn's MLPClassifier (dense networks only)."""
    from sklearn.neural_network import MLPClassifier

    warnings.filterwarnings("ignore")
    x, y, _, _, tx, ty = load(workload)
    hidden = {"small": (32,), "mlp": (512, 256, 128, 32), "table": (64,)}[workload]
    model = MLPClassifier(hidden, batch_size=BATCH.get(workload, 128), max_iter=epochs, alpha=0, random_state=0)
    return float(model.fit(x.reshape(len(x), -1), y).score(tx.reshape(len(tx), -1), ty))


def keras(workload: str, epochs: int) -> float:
    """Keras, on the backend that KERAS_BACKEND names (torch, jax, tensorflow)."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
    from keras import layers

    x, y, vx, vy, tx, ty = load(workload)
    if x.ndim == 4:
        x, vx, tx = (images.transpose(0, 2, 3, 1) for images in (x, vx, tx))
    keras.utils.set_random_seed(0)
    hidden = {"tiny": (), "small": (32,), "mlp": (512, 256, 128, 32), "table": (64,)}
    if workload == "cnn":
        network = [layers.Conv2D(32, 3), layers.MaxPooling2D(2), layers.Activation("relu"), layers.Flatten(),
                   layers.Dense(128, activation="relu")]  # fmt: skip
    elif workload == "lstm":
        network = [layers.Reshape((28, 28)), layers.LSTM(64)]
    else:
        network = [layers.Flatten(), *(layers.Dense(width, activation="relu") for width in hidden[workload])]
    model = keras.Sequential([keras.Input(x.shape[1:]), *network, layers.Dense(2 if workload == "table" else 10)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(x, y, BATCH.get(workload, 128), epochs, validation_data=(vx, vy), verbose=0)
    return model.evaluate(tx, ty, verbose=0)[1]


PEERS = {p.__name__: p for p in (expert, dataloader, lightning, skorch, sklearn, keras)}

if __name__ == "__main__":
    print(PEERS[sys.argv[1]](sys.argv[2], int(sys.argv[3])))
