"""Data files: a local one first, else the address, then the mirror; only checked content is ever kept."""

import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dlrun.data.reading import download
from dlrun.data.reading.download import File, read
from dlrun.data.sources.images import parse_idx
from dlrun.errors import Mistake

CONTENT = b"\x00\x00\x08\x01\x00\x00\x00\x03abc"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        self.server.asked.append(self.path)
        packed = gzip.compress(CONTENT)
        if self.path == "/gone.gz":
            self.send_error(404)
            return
        body = {"/right.gz": packed, "/other.gz": gzip.compress(b"other"), "/cut.gz": packed[:10]}[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(packed if self.path == "/cut.gz" else body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setattr(download, "cache_folder", lambda: tmp_path / "cache")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    server.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def kept(tmp_path):
    return [path.relative_to(tmp_path / "cache").as_posix() for path in tmp_path.rglob("cache/**/*") if path.is_file()]


def test_a_download_is_checked_kept_and_not_repeated(server, tmp_path):
    file = File("set/x.gz", f"{server.address}/right.gz", SHA256)
    assert read(file, None) == CONTENT == read(file, None)
    assert server.asked == ["/right.gz"] and kept(tmp_path) == ["set/x.gz"]


@pytest.mark.parametrize("first", ["gone", "other", "cut"])
def test_the_mirror_is_asked_when_the_address_fails(server, tmp_path, first):
    file = File("set/x.gz", f"{server.address}/{first}.gz", SHA256, mirror=f"{server.address}/right.gz")
    assert read(file, None) == CONTENT
    assert server.asked == [f"/{first}.gz", "/right.gz"] and kept(tmp_path) == ["set/x.gz"]


@pytest.mark.parametrize("name", ["gone", "other", "cut"])
def test_what_is_not_the_published_content_is_refused_and_not_kept(server, tmp_path, name):
    with pytest.raises(Mistake, match=f"set/x.gz.*{name}.gz.*data_dir") as mistake:
        read(File("set/x.gz", f"{server.address}/{name}.gz", SHA256), None)
    assert "\n" not in str(mistake.value) and kept(tmp_path) == []


def test_a_local_file_is_used_before_any_download(server, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x.gz").write_bytes(gzip.compress(CONTENT, compresslevel=1))
    assert read(File("x.gz", f"{server.address}/right.gz", SHA256), str(tmp_path / "mine")) == CONTENT
    assert server.asked == []


def test_a_local_file_with_another_content_is_refused(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(Mistake, match="sha256"):
        read(File("x.gz", None, SHA256), str(tmp_path))


def test_a_cut_local_file_is_refused(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(CONTENT)[:-12])
    with pytest.raises(Mistake, match="cannot be unpacked"):
        read(File("x.gz", None, SHA256), str(tmp_path))


def test_idx_content_is_read_by_its_header():
    assert parse_idx(CONTENT, "x").tolist() == [97, 98, 99]
    assert parse_idx(b"\x00\x00\x08\x02\x00\x00\x00\x02\x00\x00\x00\x01ab", "x").shape == (2, 1)


@pytest.mark.parametrize("content", [b"", b"\x00\x00", b"\x00\x00\x0d\x01\x00\x00\x00\x01a", CONTENT[:-1],
                                     CONTENT + b"d", CONTENT[:6]])  # fmt: skip
def test_a_broken_idx_file_is_refused(content):
    with pytest.raises(Mistake, match="name.gz"):
        parse_idx(content, "name.gz")


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_an_archive_that_explodes_is_refused(tmp_path, suffix, monkeypatch):
    import bz2
    import lzma

    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[suffix]
    (tmp_path / f"bomb{suffix}").write_bytes(pack(bytes(150_000_000)))
    with pytest.raises(Mistake, match="unpacks to more than"):
        read(File(f"bomb{suffix}", None, "unverified"), str(tmp_path))


def test_a_packed_table_that_memory_cannot_hold_is_refused_before_it_is_read(tmp_path, monkeypatch, dlrun):
    from dlrun.data.reading import tables as files

    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(b"x,y\n" + b"1,2\n" * 2_000_000))
    monkeypatch.setattr(files, "free_memory", lambda: 1_000_000)
    ended = dlrun("data=csv", "data.path=bomb.csv.gz", "data.target=y")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "data.drop" in ended.err
