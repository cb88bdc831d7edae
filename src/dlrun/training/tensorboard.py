"""TensorBoard event files: the logged values of each epoch, the config as text, and hparams with the final metrics."""

from __future__ import annotations

from pathlib import Path

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

FLUSH_SECONDS = 10


def add_pictures(path: Path, pictures: dict[str, bytes], step: int) -> None:
    """Write PNG files into an event file of their own in the run folder `path`, as `plots/<name>`."""
    writer = SummaryWriter(str(path))
    values = [
        Summary.Value(tag=f"plots/{name}", image=Summary.Image(encoded_image_string=content))
        for name, content in pictures.items()
    ]
    writer.file_writer.add_summary(Summary(value=values), step)
    writer.close()


class TensorBoard:
    """Writes one event file into the run folder `path`; events of earlier files from `purge_step` on do not count."""

    def __init__(self, path: Path, config_yaml: str, purge_step: int = 0):
        self.writer = SummaryWriter(str(path), flush_secs=FLUSH_SECONDS, purge_step=purge_step)
        self.writer.add_text("config", f"```yaml\n{config_yaml}\n```")

    def on_epoch(self, row: dict[str, float]) -> None:
        """Write the logged values of an epoch, all in one event."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items() if name != "epoch"]
        self.writer.file_writer.add_summary(Summary(value=values), row["epoch"])

    def write_final(self, config: dict[str, object], metrics: dict[str, float]) -> None:
        """Write the hparams of the run: `config` by dotted key, and the final `metrics` as `final/…`."""
        settings = {key: v if isinstance(v, bool | int | float | str) else str(v) for key, v in config.items()}
        final = {f"final/{name}": value for name, value in metrics.items()}
        values = [Summary.Value(tag=name, simple_value=value) for name, value in final.items()]
        for summary in (*hparams(settings, final), Summary(value=values)):
            self.writer.file_writer.add_summary(summary)

    def flush(self) -> None:
        """Write what has been added to the file."""
        self.writer.flush()

    def close(self) -> None:
        """End the file."""
        self.writer.close()
