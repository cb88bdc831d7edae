"""Draw the pictures of the pages in docs/ anew, from the runs of the experiments that they show.

    python scripts/draw_pages.py [--only ztdl/moons_relu]

A page shows `pictures/<experiment>/[<part>/]<picture>.png`; the experiment is run, and that picture of it is copied.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from pathlib import Path

import dlrun
from dlrun.config.groups import config_folder

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="one experiment")
    asked = parser.parse_args()
    shown = [
        Path(found) for page in DOCS.glob("*.md") for found in re.findall(r"\]\(pictures/(.+?)\)", page.read_text())
    ]
    for experiment in dict.fromkeys(experiment_of(picture) for picture in shown):
        if asked.only in (None, experiment):
            draw(experiment, [picture for picture in shown if experiment_of(picture) == experiment])


def experiment_of(picture: Path) -> str:
    """The experiment whose name the path of a picture begins with."""
    name = "/".join(picture.parts[:2])
    if not (config_folder() / "experiment" / f"{name}.yaml").is_file():
        raise SystemExit(f"pictures/{picture}: there is no experiment {name}")
    return name


def draw(experiment: str, pictures: list[Path]) -> None:
    """Run an experiment once, and copy its `pictures` into docs/."""
    with tempfile.TemporaryDirectory() as place:
        of_parts = sorted({picture.stem for picture in pictures if len(picture.parts) > 3})
        run = dlrun.run(f"experiment={experiment}", f"output_dir={place}", f"plots=[{','.join(['all', *of_parts])}]")
        for picture in pictures:
            drawn = run.folder.joinpath(*picture.parts[2:-1], "plots", picture.name)
            target = DOCS / "pictures" / picture
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(drawn, target)
            print(target)


if __name__ == "__main__":
    main()
