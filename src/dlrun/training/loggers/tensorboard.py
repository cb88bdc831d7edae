"""TensorBoard event files: the logged values of each epoch, the config as text, and hparams with the final metrics."""

from __future__ import annotations

import itertools
import os
import socket
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import hparams, text

from dlrun.store.files import writing

FLUSH_SECONDS = 10
FILES = itertools.count()  # of this process, in the order in which TensorBoard is to read them


class EventFile:
    """An event file of its own in the run folder `path`.

    Events are written at once: the thread that PyTorch's SummaryWriter hands them to takes turns with the training loop
    for Python's interpreter, and ends with a traceback where the folder vanishes.
    """

    def __init__(self, path: Path):
        name = f"events.out.tfevents.{int(time.time()):010}.{socket.gethostname()}.{os.getpid()}.{next(FILES):06}"
        self.records = RecordWriter(open(path / name, "xb"))  # noqa: SIM115, closed by `close`
        self.flushed_at = time.monotonic()
        self.add(Event(file_version="brain.Event:2"))

    def add(self, event: Event) -> None:
        """Write an event; the file has it, for TensorBoard to see, from the first event after FLUSH_SECONDS on."""
        event.wall_time = time.time()
        self.records.write(event.SerializeToString())
        if time.monotonic() - self.flushed_at > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Put what has been written into the file."""
        self.records.flush()
        self.flushed_at = time.monotonic()

    def close(self) -> None:
        """End the file."""
        self.records.close()


def add_pictures(path: Path, pictures: dict[str, bytes], step: int) -> None:
    """Write PNG files into an event file of their own in the run folder `path`, as `plots/<name>`."""
    values = [
        Summary.Value(tag=f"plots/{name}", image=Summary.Image(encoded_image_string=content))
        for name, content in pictures.items()
    ]
    file = EventFile(path)
    file.add(Event(step=step, summary=Summary(value=values)))
    file.close()


def add_hyperparameters(path: Path, config: dict[str, object], metrics: dict[str, float]) -> None:
    """Write what TensorBoard compares runs by into an event file of its own in the run folder `path`.

    Args:
        config: by dotted key.
        metrics: the final ones, written as `final/…`.
    """
    settings = {key: v if isinstance(v, bool | int | float | str) else str(v) for key, v in config.items()}
    final = {f"final/{name}": value for name, value in metrics.items()}
    values = [Summary.Value(tag=name, simple_value=value) for name, value in final.items()]
    with writing(path):
        file = EventFile(path)
        for summary in (*hparams(settings, final), Summary(value=values)):
            file.add(Event(summary=summary))
        file.close()


class TensorBoard:
    """Writes one event file into the run folder `path`; events of earlier files from `purge_step` on do not count."""

    def __init__(self, path: Path, config_yaml: str, purge_step: int = 0):
        self.file = EventFile(path)
        self.file.add(Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)))
        self.file.add(Event(summary=text("config", f"```yaml\n{config_yaml}\n```")))
        self.flush()

    def on_epoch(self, row: dict[str, float]) -> None:
        """Write the logged values of an epoch, all in one event."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items() if name != "epoch"]
        self.file.add(Event(step=row["epoch"], summary=Summary(value=values)))

    def flush(self) -> None:
        """Put what has been written into the file."""
        self.file.flush()

    def close(self) -> None:
        """End the file."""
        self.file.close()
