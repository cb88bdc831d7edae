"""The run folder: its files are whole, whoever writes them and whenever."""

from concurrent.futures import ThreadPoolExecutor

from dlrun.store.folder import RunFolder


def test_a_file_that_several_write_at_once_is_one_of_theirs_whole(tmp_path):
    texts = [letter * 100_000 for letter in "abcd"]

    def write_often(text: str) -> None:
        for _ in range(20):
            RunFolder(tmp_path).write_text("sweep.csv", text)

    with ThreadPoolExecutor(len(texts)) as writers:
        list(writers.map(write_often, texts))
    assert [file.name for file in tmp_path.iterdir()] == ["sweep.csv"]
    assert (tmp_path / "sweep.csv").read_text() in texts
