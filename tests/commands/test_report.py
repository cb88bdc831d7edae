"""The report: one page about some runs, complete in itself."""

import base64
import re

import pytest


@pytest.mark.pictures
def test_a_report_holds_figures_curves_and_pictures_and_needs_no_network(dlrun, tmp_path):
    ended = dlrun("data=iris", "model=logistic", "trainer.epochs=3", "note=Is it <easy>?", "plots=[confusion_matrix]")
    written = dlrun("report", "outputs", "output=page.html", "title=Homework <1>")
    assert written.exit_code == 0 and "1 run in page.html" in written.out
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h1>Homework &lt;1&gt;</h1>" in page and "Is it &lt;easy&gt;?" in page
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", page)
    assert (
        f"{ended.metrics['test']['accuracy']:.4f}" in page
        and f"{ended.metrics['baseline']['test']['accuracy']:.4f}" in page
    )
    (picture,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert base64.b64decode(picture) == (ended.folder / "plots" / "confusion_matrix.png").read_bytes()
    assert page.count("<svg") == 1


def test_a_report_of_several_runs_ranks_them_and_names_each_by_what_tells_it_apart(dlrun, tmp_path):
    dlrun("-m", "data=iris", "model=logistic", "trainer.epochs=2", "optimizer.lr=0.01,0.1")
    dlrun("report", "output=page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    headings = re.findall(r"<h2>([^<]+)</h2>", page)
    assert headings == ["Results", "Curves", "optimizer.lr=0.1", "optimizer.lr=0.01"]
    assert "ranked by valid/loss" in page


def test_a_report_of_nothing_is_refused(dlrun, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no run that has ended" in dlrun("report", "empty").err and not (tmp_path / "report.html").exists()
