"""Texts become bags of words, TF-IDF or token ids, with the vocabulary of the training rows."""

import io
import sys
import tarfile

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import DATA
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from dlrun import load as dlrun_load
from dlrun.data.preprocessing.text import TextPreprocessing, tokenize
from dlrun.data.reading.download import UNVERIFIED, File
from dlrun.data.sources.corpora import imdb, reuters
from dlrun.errors import Mistake
from dlrun.models.recurrent import GRU, LSTM, padding_behind

needs_texts = pytest.mark.skipif(not (DATA / "sms_spam.csv").is_file(), reason="the courses' texts are not at hand")
TRAIN = np.array(["the cat sat on the mat", "The dog, the cat!", "a mat"], dtype=object)
COURSE_SPLIT = ("data.split_seed=0", "data.split.test.fraction=0.25", "data.split.test.stratify=false",
                "data.split.valid=null")  # fmt: skip


def tokens(**settings) -> TextPreprocessing:
    defaults = {
        "column": "text",
        "represent": "tokens",
        "words": 100,
        "stop_words": None,
        "length": None,
        "pad": "front",
    }
    return TextPreprocessing(**{**defaults, **settings}).fit(TRAIN)


def test_token_ids_go_by_frequency_after_padding_and_unknown():
    found = tokens()
    assert list(found.ids.items())[:3] == [("the", 2), ("cat", 3), ("mat", 4)]
    assert found.length == 6 and found.vocabulary == 2 + 7
    assert found.apply(np.array(["the CAT; flew"], dtype=object)).tolist() == [[0, 0, 0, 2, 3, 1]]


def test_padding_stands_in_front_or_behind_and_long_texts_keep_their_end():
    assert tokens(pad="behind", length=3).apply(TRAIN[2:]).tolist()[0][-1] == 0
    short = tokens(length=2).apply(TRAIN[:1]).tolist()
    assert short == [[2, 4]]


def test_the_vocabulary_is_cut_to_its_size():
    assert tokens(words=2).vocabulary == 4


def test_tfidf_is_scikit_learns_with_the_training_vocabulary():
    fitted = TextPreprocessing("text", "tfidf", 100, None, None, "front").fit(TRAIN)
    texts = np.array(["the unheard of cat"], dtype=object)
    expected = TfidfVectorizer().fit(TRAIN).transform(texts).toarray()
    assert fitted.apply(texts).numpy() == pytest.approx(expected, rel=1e-6)


def test_words_are_lower_case_without_punctuation():
    assert tokenize("Hello, World! it's 3.5") == ["hello", "world", "it's", "3", "5"]


@pytest.mark.parametrize("cell", [LSTM, GRU])
def test_masked_padding_does_not_matter_wherever_it_stands(cell):
    torch.manual_seed(0)
    model = cell((6,), 2, [4], vocabulary=9, embedding=3, mask=True).eval()
    plain = cell((3,), 2, [4], vocabulary=9, embedding=3).eval()
    plain.load_state_dict(model.state_dict())
    front, behind = torch.tensor([[0, 0, 0, 5, 2, 7]]), torch.tensor([[5, 2, 7, 0, 0, 0]])
    expected = plain(torch.tensor([[5, 2, 7]]))
    torch.testing.assert_close(model(front), expected)
    torch.testing.assert_close(model(behind), expected)


def test_padding_is_moved_behind_in_order():
    moved, lengths = padding_behind(torch.tensor([[0, 3, 0, 4], [0, 0, 0, 0]]))
    assert moved.tolist() == [[3, 4, 0, 0], [0, 0, 0, 0]] and lengths.tolist() == [2, 1]


@pytest.fixture
def mails(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(200):
        filler = rng.choice(["please", "today", "meeting", "lunch", "report"], 4)
        rows.append(f'"{" ".join(filler)}{" win money" if i % 2 else ", thanks"}",{"spam" if i % 2 else "ham"}\n')
    (tmp_path / "mails.csv").write_text("message,kind\n" + "".join(rows))


MAILS = ("data=text", "data.path=mails.csv", "data.text=message", "data.target=kind", "optimizer.lr=0.01")


@pytest.mark.parametrize(
    "settings",
    [
        ["data.represent=bag", "model=logistic"],
        ["data.represent=tfidf", "model=mlp"],
        ["data.represent=tfidf", "model=sklearn/linear_svc"],
        ["data.represent=tokens", "model=lstm"],
        ["data.represent=tokens", "model=gru", "model.mask=true", "data.pad=behind", "model.embedding=4"],
    ],
)
def test_a_users_own_texts_are_learned(dlrun, mails, settings):
    ended = dlrun(*MAILS, *settings, "trainer.epochs=10")
    assert ended.exit_code == 0, ended.err
    assert ended.metrics["test"]["accuracy"] == 1.0


def test_a_network_that_reads_no_tokens_says_so(dlrun, mails):
    ended = dlrun(*MAILS, "data.represent=tokens", "model=mlp")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "model=lstm" in ended.err


@needs_texts
def test_the_courses_messages_have_their_rows_vocabulary_and_majority(dlrun):
    ended = dlrun("data=sms_spam", "data.represent=bag", *COURSE_SPLIT, "model=logistic", "trainer.epochs=0")
    assert "5,572 rows" in ended.out and "inputs 7150" in ended.out
    assert ended.metrics["baseline"]["test"]["accuracy"] == pytest.approx(0.8622, abs=5e-5)


@needs_texts
def test_the_courses_reviews_have_their_rows_length_and_majority(dlrun):
    ended = dlrun("data=movie_reviews", "data.represent=tokens", *COURSE_SPLIT, "data.length=49", "model=lstm",
                  "trainer.epochs=0")  # fmt: skip
    assert "14,049 rows" in ended.out and "inputs 49" in ended.out
    assert ended.metrics["baseline"]["test"]["accuracy"] == pytest.approx(0.6046, abs=5e-5)


@needs_texts
def test_the_courses_names_are_windows_of_28_characters(dlrun):
    ended = dlrun("data=names", "model=lstm", "model.hidden=[8]", "model.embedding=5", "trainer.epochs=3",
                  "optimizer.lr=0.01", "trainer.batch_size=256")  # fmt: skip
    assert "32,016 rows" in ended.out and "inputs 3, 28 classes" in ended.out
    assert ended.metrics["test"]["accuracy"] > ended.metrics["baseline"]["test"]["accuracy"]


def tar_of(path, members: dict[str, str], encoding: str) -> File:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in members.items():
            content = text.encode(encoding)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return File(path.name, None, UNVERIFIED)


def test_film_reviews_are_read_from_their_archive_and_keep_their_test_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    members = {
        f"aclImdb/{part}/{opinion}/{i}_{7 if opinion == 'pos' else 2}.txt": f"{part} {opinion} {i}<br />café"
        for part in ("train", "test") for opinion in ("pos", "neg") for i in range(5)
    }  # fmt: skip
    members |= {"aclImdb/train/unsup/1_0.txt": "no opinion", "aclImdb/README": "read me"}
    file = tar_of(tmp_path / "reviews.tar.gz", members, "utf-8")
    for _ in range(2):  # decoded, then from the cache
        source = imdb(file, data_dir=str(tmp_path))
        tested = np.isin(np.arange(20), source.given["test"])
        for text, label, test in zip(source.inputs, source.targets, tested, strict=True):
            assert text.split()[:2] == ["test" if test else "train", "pos" if label else "neg"]
            assert text.split()[-1] == "café" and "<br" not in text
        assert tested.sum() == 10 and len(source) == 20


def test_newswires_are_read_from_their_archive_with_their_first_topic(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    wire = '<REUTERS TOPICS="YES" LEWISSPLIT="TRAIN">\n<TOPICS>{}</TOPICS>\n<TITLE>{}</TITLE>\n<BODY>a &lt;b> {}</BODY>'
    topics = ["earn"] * 4 + ["acq"] * 3 + ["cocoa"]
    wires = [wire.format(f"<D>{topic}</D><D>other</D>", topic, i) + "\n</REUTERS>" for i, topic in enumerate(topics)]
    wires.append(wire.format("", "no topic", 9) + "\n</REUTERS>")
    file = tar_of(tmp_path / "wires.tar.gz", {"reut2-000.sgm": "\n".join(wires), "lewis.dtd": "<D>"}, "latin-1")
    source = reuters(file, topics=2, data_dir=str(tmp_path))
    assert source.class_names == ["acq", "earn"] and len(source) == 7
    assert [source.class_names[label] for label in source.targets] == [text.split()[0] for text in source.inputs]
    assert source.inputs[0].split()[1:] == ["a", "<b>", "0"]


@pytest.mark.parametrize("load", [imdb, reuters])
def test_an_archive_without_texts_or_that_is_none_is_a_mistake(tmp_path, monkeypatch, load):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(Mistake, match="holds no"):
        load(tar_of(tmp_path / "empty.tar.gz", {"x": "y"}, "utf-8"), data_dir=str(tmp_path))
    (tmp_path / "broken.tar").write_bytes(b"not an archive")
    with pytest.raises(Mistake, match="cannot be read as an archive"):
        load(File("broken.tar", None, UNVERIFIED), data_dir=str(tmp_path))


def test_the_data_sets_of_texts_to_be_downloaded_compose(dlrun):
    for name in ("imdb", "reuters"):
        ended = dlrun(f"data={name}", "data.file.url=null", "++data.file.mirror=null")
        assert ended.exit_code == 2 and "cannot be downloaded" in ended.err


ODD_TEXTS = ["None", "NA", "null", "-", "?", "nan", "007", "1.50", "TRUE", "ÇA Va", "İstanbul", "", "  two  blanks "]


@pytest.mark.parametrize("represent", ["tokens", "bag"])
def test_every_text_is_the_same_in_training_and_predict(dlrun, tmp_path, represent):
    rows = [f'"{text}",{i % 2}' for i in range(8) for text in ODD_TEXTS]
    (tmp_path / "odd.csv").write_text("message,kind\n" + "\n".join(rows), encoding="utf-8")
    network = ("model=lstm", "trainer.epochs=1") if represent == "tokens" else ("model=logistic", "trainer.epochs=1")
    ended = dlrun("data=text", "data.path=odd.csv", "data.text=message", "data.target=kind",
                  f"data.represent={represent}", *network)  # fmt: skip
    assert ended.exit_code == 0, ended.err
    assert "texts that are empty: 8 of 104" in ended.out
    said = dlrun("predict", f"run={ended.folder}", "input=odd.csv", "output=said.csv")
    assert said.exit_code == 0, said.err
    beside = pd.read_csv(tmp_path / "said.csv", keep_default_na=False)
    before = ended.predictions.set_index("row")["probability_1"]
    assert beside["probability_1"].to_numpy()[before.index] == pytest.approx(before.to_numpy(), abs=1e-6)
    assert beside["probability_1"][0] != pytest.approx(beside["probability_1"][11], abs=1e-7)  # "None" is a word


def sentences(tmp_path, subjects, verbs, things, blank="") -> None:
    """Sentences whose verb decides; a file sentences.csv."""
    draw = np.random.default_rng(0)
    rows = []
    for i in range(240):
        parts = (draw.choice(subjects), verbs[i % 2][draw.integers(len(verbs[0]))], draw.choice(things))
        rows.append(f"{blank.join(parts)},{i % 2}\n")
    (tmp_path / "sentences.csv").write_text("text,y\n" + "".join(rows), encoding="utf-8")


CHINESE = (["我们今天", "邻居昨天", "老师已经", "弟弟真的", "他们特别"], (["批评", "讨厌"], ["喜欢", "享受"]),
           ["这个产品", "新的手机", "快递服务", "演员表现", "这家餐厅"])  # fmt: skip
THAI = (["ลูกค้า", "เพื่อน", "ครู", "น้องสาว"], (["เกลียด", "ไม่ชอบ"], ["รัก", "ชื่นชม"]), ["อาหาร", "หนังสือ", "บริการ", "โรงแรม"])
SENTENCES = ("data=text", "data.path=sentences.csv", "data.text=text", "data.target=y", "optimizer.lr=0.05")


@pytest.mark.parametrize("script", [CHINESE, THAI])
def test_scripts_without_blanks_are_noticed_and_read_by_characters(dlrun, tmp_path, script):
    sentences(tmp_path, *script)
    whole = dlrun(*SENTENCES, "model=logistic", "trainer.epochs=1")
    assert "240 of 240 texts are of a script without blanks" in whole.out
    assert "data.analyzer=char 'data.ngrams=[1,2]'" in whole.out
    ended = dlrun(*SENTENCES, "data.analyzer=char", "data.ngrams=[1,2]", "model=logistic", "trainer.epochs=60",
                  "output_dir=outputs/characters")  # fmt: skip
    assert "without blanks" not in ended.out
    folder = next((tmp_path / "outputs" / "characters").glob("*/*"))
    figures = pd.read_csv(folder / "predictions.csv").query("split == 'test'")
    assert (figures["truth"] == figures["prediction"]).mean() == 1.0
    said = dlrun("predict", f"run={folder}", "input=sentences.csv", "output=said.csv")
    assert said.exit_code == 0, said.err
    beside = pd.read_csv(tmp_path / "said.csv")
    assert (beside["y"] == beside["prediction"]).mean() == 1.0


def test_words_that_are_told_apart_by_blanks_are_words(dlrun, tmp_path):
    sentences(tmp_path, *CHINESE, blank=" ")
    assert "without blanks" not in dlrun(*SENTENCES, "model=logistic", "trainer.epochs=0").out


def test_characters_are_tokens_in_training_and_predict():
    found = tokens(analyzer="char")
    assert list(found.ids)[:2] == [" ", "t"] and found.length == len("the cat sat on the mat")
    again = TextPreprocessing.restore(found.describe(), None)
    texts = np.array(["A  Cat", "zebra"], dtype=object)
    assert torch.equal(again.apply(texts), found.apply(texts))


def test_n_grams_are_scikit_learns():
    fitted = TextPreprocessing("text", "bag", 1000, None, None, "front", analyzer="char_wb", ngrams=[2, 3]).fit(TRAIN)
    expected = CountVectorizer(analyzer="char_wb", ngram_range=(2, 3)).fit(TRAIN)
    assert fitted.feature_names == expected.get_feature_names_out().tolist()
    assert (fitted.apply(TRAIN).numpy() == expected.transform(TRAIN).toarray()).all()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (["data.analyzer=chars"], "data.analyzer"),
        (["data.analyzer=char", "data.stop_words=english"], "data.stop_words"),
        (["data.represent=tokens", "data.analyzer=char_wb", "model=lstm"], "data.analyzer"),
        (["data.represent=tokens", "data.ngrams=[1,2]", "model=lstm"], "data.ngrams"),
        (["data.ngrams=[2,1]"], "data.ngrams"),
        (["data.ngrams=2"], "data.ngrams"),
    ],
)
def test_an_analyzer_that_does_not_fit_is_one_line(dlrun, mails, settings, key):
    ended = dlrun(*MAILS, *settings)
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and ended.err.startswith(f"dlrun: {key}"), ended.err


def test_how_a_table_of_texts_is_written_can_be_said(dlrun, tmp_path):
    rows = [f"{chr(34) if i % 2 else ''}win {i % 7},{'none given' if i % 10 == 0 else i % 3}" for i in range(60)]
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")  # no header, and a quote that nothing closes
    told = ("data.header=none", "data.quote=none", "data.missing_values=[none given]")
    ended = dlrun("data=text", "data.path=m.csv", "data.text=1", "data.target=2", *told, "model=logistic", "plots=[]")
    assert ended.exit_code == 0, ended.err
    assert len(ended.predictions) == 54 and "6 rows were left out" in ended.out
    assert sorted(ended.predictions["truth"].unique()) == [0, 1, 2]


@pytest.fixture
def endings(tmp_path, monkeypatch):
    """An analyzer of one's own: the last letters of each word."""
    (tmp_path / "my_words.py").write_text(
        "def endings(text):\n    return [word[-3:] for word in text.split()]\n\n\n"
        "def number(text):\n    return len(text)\n"
    )
    yield
    sys.modules.pop("my_words", None)


@pytest.mark.parametrize("represent, model", [("bag", "logistic"), ("tfidf", "mlp"), ("tokens", "lstm")])
def test_an_analyzer_of_ones_own_counts_in_training_and_in_predict(dlrun, mails, endings, represent, model):
    ended = dlrun(*MAILS, "data.analyzer=my_words.endings", "allow_targets=[my_words]", f"data.represent={represent}",
                  f"model={model}", "trainer.epochs=20")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    assert ended.metrics["test"]["accuracy"] == 1.0
    if represent == "bag":
        texts = pd.read_csv("mails.csv")["message"]
        expected = CountVectorizer(analyzer=lambda text: [w[-3:] for w in text.split()]).fit(texts)
        found = dlrun_load(str(ended.folder), allow_targets=("my_words",)).preprocessing.feature_names
        assert set(found) <= set(expected.get_feature_names_out()) and "ney" in found
    refused = dlrun("predict", "run=latest", "input=mails.csv")
    assert refused.exit_code == 2 and "allow_targets=[my_words]" in refused.err and refused.err.count("\n") == 1
    told = dlrun("predict", "run=latest", "input=mails.csv", "allow_targets=[my_words]")
    assert told.exit_code == 0, told.err
    predicted = pd.read_csv(io.StringIO(told.out))
    assert (predicted["prediction"] == pd.read_csv("mails.csv")["kind"]).all()


@pytest.mark.parametrize(
    "settings, line",
    [
        (["data.analyzer=my_words.endings"], "allow_targets=[my_words]"),
        (["data.analyzer=my_words.number", "allow_targets=[my_words]"], "must return a list of texts, not a int"),
        (["data.analyzer=my_words.ending", "allow_targets=[my_words]"], "did you mean 'endings'"),
        (["data.analyzer=torch.load"], "a function of a package of yours"),
        (["data.analyzer=my_words.endings", "allow_targets=[my_words]", "data.ngrams=[1,2]"], "data.ngrams"),
    ],
)
def test_an_analyzer_of_ones_own_that_cannot_be_is_one_line(dlrun, mails, endings, settings, line):
    ended = dlrun(*MAILS, *settings, "model=logistic")
    assert ended.exit_code == 2 and line in ended.err and ended.err.count("\n") == 1, ended.err


def test_predict_reads_texts_as_the_run_was_told_to(dlrun, tmp_path):
    rows = [f'{i} "win,{"spam" if i % 2 else "ham"}\n' for i in range(60)]
    (tmp_path / "q.csv").write_text("message,kind\n" + "".join(rows))
    ended = dlrun("data=text", "data.path=q.csv", "data.text=message", "data.target=kind", "data.quote=none",
                  "model=logistic", "trainer.epochs=1")  # fmt: skip
    assert ended.exit_code == 0 and "60 rows" in ended.out, ended.err
    told = dlrun("predict", "run=latest", "input=q.csv")
    assert told.exit_code == 0 and len(told.out.splitlines()) == 61, told.err
