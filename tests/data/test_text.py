"""Word files of every form, folders that are refused, and the artificial language."""

import numpy as np
import pytest

from nasjax.core.errors import ConfigError, DataError
from nasjax.data import text

WORDS = {
    "train": " the cat <unk> \n the dog \n",
    "valid": "a dog\n\nthe cat",
    "test": "naïve cat \u2028 line\n",
}
VOCABULARY = ("the", "cat", "<unk>", "<eos>", "dog", "a", "naïve", "line")
PATTERNS = ("ptb.{}.txt", "wiki.{}.tokens", "{}.txt")


def write(folder, pattern, content=WORDS):
    folder.mkdir(exist_ok=True)
    for part, words in content.items():
        folder.joinpath(pattern.format(part)).write_bytes(words.encode())
    return folder


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_folder_of_word_files(pattern, tmp_path):
    corpus = text.load(write(tmp_path / "news", pattern))
    assert corpus.name == "news"
    assert corpus.vocabulary == VOCABULARY and corpus.num_tokens == 8
    assert corpus.train.tolist() == [0, 1, 2, 3, 0, 4, 3]
    # An empty line is an end alone; the last line needs no line feed.
    assert corpus.valid.tolist() == [5, 4, 3, 3, 0, 1, 3]
    # A line separator is white space, not the end of a line.
    assert corpus.test.tolist() == [6, 1, 7, 3]
    assert {part.dtype for part in (corpus.train, corpus.valid, corpus.test)} == {
        np.dtype(np.int32)
    }


def test_a_kind_that_is_whole_is_preferred(tmp_path):
    write(tmp_path, "ptb.{}.txt", {"train": "x"})
    assert text.load(write(tmp_path, "{}.txt")).vocabulary == VOCABULARY


def test_a_missing_file_is_named(tmp_path):
    write(tmp_path, "wiki.{}.tokens").joinpath("wiki.valid.tokens").unlink()
    with pytest.raises(DataError, match=r"wiki\.valid\.tokens is missing"):
        text.load(tmp_path)


def test_a_folder_without_text_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError) as caught:
        text.load(tmp_path)
    for pattern in PATTERNS:
        assert pattern.format("{train,valid,test}") in str(caught.value)


def test_a_file_that_is_not_utf8_is_named(tmp_path):
    write(tmp_path, "{}.txt").joinpath("test.txt").write_bytes(b"caf\xe9 noir\n")
    with pytest.raises(DataError, match=r"test\.txt is not UTF-8.*convert"):
        text.load(tmp_path)


def test_an_empty_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"valid\.txt is empty"):
        text.load(write(tmp_path, "{}.txt", {**WORDS, "valid": ""}))


def test_unknown_names_and_options(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'markov'.*not a folder"):
        text.load("markow")
    with pytest.raises(ConfigError, match="did you mean 'num_train'"):
        text.load("markov", num_trains=3)
    with pytest.raises(ConfigError, match="unknown option of text"):
        text.load(write(tmp_path, "{}.txt"), seed=1)
    with pytest.raises(ConfigError, match="num_words=3"):
        text.load("markov", num_words=3)


def test_the_artificial_language_can_be_learned_and_is_not_trivial():
    corpus = text.load("markov", num_words=12, num_train=20000)
    assert corpus.num_tokens == 12 and corpus.vocabulary[0] == "<eos>"
    assert (len(corpus.train), len(corpus.valid), len(corpus.test)) == (
        20000,
        1000,
        1000,
    )
    pairs = np.zeros((12, 12))
    np.add.at(pairs, (corpus.train[:-1], corpus.train[1:]), 1)
    assert np.all((pairs > 0).sum(1) == 3)
    joint = pairs / pairs.sum()
    words = joint.sum(1)
    unigram = -np.sum(words * np.log(words))
    share = (joint / words[:, None])[joint > 0]
    conditional = -np.sum(joint[joint > 0] * np.log(share))
    assert unigram > 2.2 and 0.9 < conditional < 1.1
    held_out = pairs[corpus.valid[:-1], corpus.valid[1:]]
    assert np.mean(held_out > 0) > 0.999


def test_a_seed_decides_the_text():
    same, other = text.markov(), text.markov(seed=1)
    np.testing.assert_array_equal(text.markov().train, same.train)
    assert not np.array_equal(other.train, same.train)


def test_batchify_puts_pieces_side_by_side():
    rows = text.batchify(np.arange(11, dtype=np.int32), 3)
    assert rows.tolist() == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    with pytest.raises(ConfigError, match="pieces of 1; choose at most 5"):
        text.batchify(np.arange(11), 6)
    with pytest.raises(ConfigError, match="not positive"):
        text.batchify(np.arange(11), 0)


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 100])
def test_lines_longer_than_a_piece_are_the_same_words(tmp_path, monkeypatch, piece):
    content = " ab  c\tdef\n\n ghi\u2028j k \nlast word"
    for part in text.PARTS:
        (tmp_path / f"{part}.txt").write_text(content, encoding="utf-8", newline="")
    expected = [
        word for line in content.split("\n") for word in (*line.split(), "<eos>")
    ]
    monkeypatch.setattr(text, "_PIECE", max(piece, 4))
    corpus = text.read(tmp_path)
    assert [corpus.vocabulary[token] for token in corpus.train] == expected


def test_endless_words_and_pointers_are_refused(tmp_path):
    for part in text.PARTS:
        (tmp_path / f"{part}.txt").write_bytes(b"x" * 200_000)
    with pytest.raises(DataError, match="a word of more than"):
        text.read(tmp_path)
    for part in text.PARTS:
        (tmp_path / f"{part}.txt").write_bytes(b"version https://git-lfs.github.com/\n")
    with pytest.raises(DataError, match="a Git LFS pointer"):
        text.read(tmp_path)
