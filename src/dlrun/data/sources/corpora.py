"""Collections of texts that are published as archives: IMDB's film reviews and Reuters' newswires.

Keras's own copies are pickles, which could run code when they are loaded; these are the collections they were made of.
"""

from __future__ import annotations

import html
import io
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from dlrun.data.preprocessing.text import TextPreprocessing
from dlrun.data.reading.cache import cached
from dlrun.data.reading.download import File, locate, read
from dlrun.data.source import Source
from dlrun.errors import Mistake, one_line

REVIEW = re.compile(r"(train|test)/(neg|pos)/\d+_\d+\.txt$")
SHUFFLED_BY = 113  # the rows lie sorted by class in the archive; Keras shuffles its copy by this seed too


def imdb(
    file: File,
    represent: str = "tfidf",
    words: int = 5000,
    stop_words: str | None = None,
    length: int | None = None,
    pad: str = "front",
    data_dir: str | None = None,
    licence: str = "",
) -> Source:
    """Return 50,000 film reviews, half of them to be tested on (Maas and others 2011); see TextPreprocessing for the
    settings.

    Raises:
        Mistake: the archive cannot be had, or holds no reviews.
    """
    preprocessing = TextPreprocessing("text", represent, words, stop_words, length, pad)
    arrays = cached("texts", [locate(file, data_dir)], "imdb", lambda: _decode_imdb(file, data_dir))
    return Source(
        _texts_of(arrays),
        arrays["labels"],
        preprocessing,
        given={"test": np.flatnonzero(arrays["tested"])},
        class_names=["negative", "positive"],
        target_names=["opinion"],
    )


def reuters(
    file: File,
    topics: int = 46,
    represent: str = "tfidf",
    words: int = 5000,
    stop_words: str | None = None,
    length: int | None = None,
    pad: str = "front",
    data_dir: str | None = None,
    licence: str = "",
) -> Source:
    """Return newswires of 1987 (Reuters-21578), each with its first topic as class, of the `topics` commonest ones.

    Raises:
        Mistake: the archive cannot be had, holds no newswires, or fewer than two topics are asked for.
    """
    if topics < 2:
        raise Mistake(f"data.topics is {topics}: it must be at least 2")
    preprocessing = TextPreprocessing("text", represent, words, stop_words, length, pad)
    archive = locate(file, data_dir)
    arrays = cached("texts", [archive], ("reuters", topics), lambda: _decode_reuters(file, data_dir, topics))
    names = [name.decode() for name in arrays["names"]]
    left_out = int(arrays["left_out"])
    notes = [f"newswires of other topics: {left_out:,}, left out (data.topics)"] if left_out else []
    return Source(
        _texts_of(arrays), arrays["labels"], preprocessing, class_names=names, target_names=["topic"], notes=notes
    )


def _decode_imdb(file: File, data_dir: str | None) -> dict[str, np.ndarray]:
    reviews = []
    for name, content in _members(file, data_dir):
        if place := REVIEW.search(name):
            text = content.decode("utf-8").replace("<br />", " ")
            reviews.append((name, place[1] == "test", place[2] == "pos", text))
    if not reviews:
        raise Mistake(f"{file.path}: holds no reviews (train/pos/….txt and the like)")
    reviews.sort()
    order = np.random.default_rng(SHUFFLED_BY).permutation(len(reviews))
    _, tested, positive, texts = zip(*(reviews[i] for i in order), strict=True)
    return {**_bytes_of(texts), "labels": np.array(positive, dtype=np.int64), "tested": np.array(tested)}


def _decode_reuters(file: File, data_dir: str | None, topics: int) -> dict[str, np.ndarray]:
    wires = []
    for name, content in _members(file, data_dir):
        if name.endswith(".sgm"):
            for wire in re.findall(r"<REUTERS .*?</REUTERS>", content.decode("latin-1"), re.DOTALL):
                topic = re.search(r"<TOPICS><D>(.*?)</D>", wire)
                text = " ".join(re.findall(r"<(?:TITLE|BODY)>(.*?)</(?:TITLE|BODY)>", wire, re.DOTALL))
                if topic and text:
                    wires.append((topic[1], html.unescape(text)))
    if not wires:
        raise Mistake(f"{file.path}: holds no newswires with topics (*.sgm)")
    counts = Counter(topic for topic, _ in wires)
    names = sorted(sorted(counts, key=lambda topic: (-counts[topic], topic))[:topics])
    kept = [wire for wire in wires if wire[0] in names]
    labels = np.array([names.index(topic) for topic, _ in kept])
    return {
        **_bytes_of([text for _, text in kept]),
        "labels": labels,
        "names": np.array(names, dtype=np.bytes_),
        "left_out": np.array(len(wires) - len(kept)),
    }


def _members(file: File, data_dir: str | None) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the files in a tar archive, read in order; nothing is written to the disk."""
    try:
        with tarfile.open(fileobj=io.BytesIO(read(file, data_dir))) as archive:
            for member in archive:
                if member.isfile() and (packed := archive.extractfile(member)) is not None:
                    yield member.name, packed.read()
    except (tarfile.TarError, EOFError, UnicodeDecodeError) as error:
        raise Mistake(f"{file.path}: cannot be read as an archive ({one_line(error)}); delete it") from error


def _bytes_of(texts: Iterable[str]) -> dict[str, np.ndarray]:
    """Return texts as one array of bytes and the place where each ends."""
    encoded = [text.encode() for text in texts]
    return {"text": np.frombuffer(b"".join(encoded), dtype=np.uint8), "ends": np.cumsum([len(t) for t in encoded])}


def _texts_of(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return (n,) the texts that `_bytes_of` packed."""
    content, ends = arrays["text"].tobytes(), arrays["ends"].tolist()
    return np.array([content[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)], dtype=object)
