"""Texts become bags of words, TF-IDF or token ids, with the vocabulary of the training rows."""

import numpy as np
import pytest
import torch
from conftest import DATA
from sklearn.feature_extraction.text import TfidfVectorizer

from dlrun.data.text import TextPreprocessing, tokenize
from dlrun.models.recurrent import GRU, LSTM, padding_behind

needs_texts = pytest.mark.skipif(not (DATA / "sms_spam.csv").is_file(), reason="the courses' texts are not at hand")
TRAIN = np.array(["the cat sat on the mat", "The dog, the cat!", "a mat"], dtype=object)
COURSE_SPLIT = ("data.split_seed=0", "data.split.test.fraction=0.25", "data.split.test.stratify=false",
                "data.split.valid=null")  # fmt: skip


def tokens(**settings) -> TextPreprocessing:
    defaults = {"represent": "tokens", "words": 100, "stop_words": None, "length": None, "pad": "front"}
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
    fitted = TextPreprocessing("tfidf", 100, None, None, "front").fit(TRAIN)
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
