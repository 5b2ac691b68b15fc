"""Text to model: word files of a folder, and a small artificial language.

Words are what white space separates; every line ends with the word `<eos>`, as in the
AWD language model (Merity et al., 2018). The Penn Treebank and WikiText come as three
files of words of this kind, with rare words already replaced by `<unk>`.
"""

import array
import dataclasses
import io
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nasjax.core import paths, read_guard, registry
from nasjax.core.errors import ConfigError, DataError, unknown_name

END = "<eos>"
"""The word that ends every line."""

FILES: dict[str, str] = {
    "Penn Treebank": "ptb.{}.txt",
    "WikiText": "wiki.{}.tokens",
    "plain text": "{}.txt",
}
"""Names of the files of a folder, by kind, with the name of the part left open."""

_PIECE = 1 << 16
_MAX_WORDS = 4_000_000

PARTS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """A text in three parts, each word as its place in the vocabulary.

    Attributes:
      name: registry name, or the name of the folder.
      train: int32 `[N]`, the text to learn from.
      valid: int32 `[N]`.
      test: int32 `[N]`.
      vocabulary: the words of all three parts in the order of their first appearance.
    """

    name: str
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    vocabulary: tuple[str, ...]

    @property
    def num_tokens(self) -> int:
        """V, the size of the vocabulary."""
        return len(self.vocabulary)


def load(name: str | os.PathLike[str], **options: Any) -> Corpus:
    """Loads a text.

    Args:
      name: a key of `CORPORA`, or a folder of word files (`read`).
      **options: keyword arguments of the function in `CORPORA`; a folder has none.

    Raises:
      ConfigError: an unknown name, a folder that does not exist, or an unknown option.
      DataError: a file is missing, empty or not UTF-8.
    """
    maker = CORPORA.get(str(name))
    if maker is None and not paths.is_folder(paths.expand(name)):
        error = unknown_name("text", str(name), CORPORA)
        raise ConfigError(f"{error}; and it is not a folder of word files")
    if maker:
        return registry.make("text", CORPORA, str(name), (), options, owner="text")
    for option in options:
        raise unknown_name(f"option of text {str(name)!r}", option, ())
    return read(name)


def read(folder: str | os.PathLike[str]) -> Corpus:
    """Reads three files of words that carry one of the names in `FILES`.

    Args:
      folder: holds `ptb.train.txt`, `ptb.valid.txt` and `ptb.test.txt`; or
        `wiki.train.tokens`, ...; or `train.txt`, ...: the first kind that is whole.

    Raises:
      DataError: a file is missing, empty or not UTF-8.
    """
    index: dict[str, int] = {}
    folder = paths.expand(folder)
    train, valid, test = (_tokens(path, index) for path in _find(folder))
    name = folder.resolve().name
    return Corpus(name, train, valid, test, tuple(index))


def _find(folder: pathlib.Path) -> list[pathlib.Path]:
    """The three files of the first kind that is there."""
    partly = []
    for pattern in FILES.values():
        files = [folder / pattern.format(part) for part in PARTS]
        missing = [path for path in files if not paths.is_file(path)]
        if not missing:
            return files
        if len(missing) < len(files):
            partly += missing
    if partly:
        raise DataError(
            f"{partly[0]} is missing; a text needs a training, a validation and a test "
            "file"
        )
    names = [f"{pattern.format('{train,valid,test}')}" for pattern in FILES.values()]
    raise DataError(
        f"{folder} holds no text; looked for {', '.join(names[:-1])} and {names[-1]}"
    )


def _tokens(path: pathlib.Path, index: dict[str, int]) -> np.ndarray:
    """Words of a file as numbers; new ones are added to `index`."""
    tokens = array.array("i")
    try:
        with (
            read_guard.open_file(path) as file,
            io.TextIOWrapper(file, "utf-8", newline="\n") as lines,
        ):
            for word in _words(path, lines):
                tokens.append(index.setdefault(word, len(index)))
                if len(index) > _MAX_WORDS:
                    raise DataError(f"{path}: refused: over {_MAX_WORDS} words")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 ({error.reason} after {len(tokens)} words); convert "
            "it to UTF-8"
        ) from error
    if not tokens:
        raise DataError(f"{path} is empty; get the text again")
    return np.array(tokens, np.int32)


def _words(path: pathlib.Path, file: io.TextIOBase) -> Iterator[str]:
    """The words of a text and the ends of its lines, a piece of a line at a time.

    Only a line feed ends a line: WikiText has other separators inside lines.
    """
    rest, ended = "", True
    while piece := file.readline(_PIECE):
        ended = piece.endswith("\n")
        *words, rest = [*(rest + piece).split(), ""]
        if not ended and words and not piece[-1].isspace():
            rest = words.pop()  # it may go on in the next piece
        if len(rest) > _PIECE:
            raise DataError(f"{path}: refused: a word of more than {_PIECE} characters")
        yield from words
        if ended:
            yield END
    if not ended:  # the last line may lack its end
        yield from [rest] if rest else []
        yield END


def markov(
    *,
    num_words: int = 24,
    num_train: int = 6000,
    num_eval: int = 1000,
    seed: int = 0,
) -> Corpus:
    """An artificial language: each word is followed by one of three, by chance.

    A model that learns which three loses about 1 nat a token, one that knows only how
    frequent words are about 3.

    Args:
      num_words: words of the vocabulary, `<eos>` included; at least 4.
      num_train: tokens of the training part.
      num_eval: tokens of the validation part, and of the test part.
      seed: of language and text.

    Raises:
      ConfigError: a size is too small.
    """
    if num_words < 4 or min(num_train, num_eval) < 1:
        raise ConfigError(
            f"an artificial text needs 4 words and a token in each part, not "
            f"num_words={num_words}, num_train={num_train}, num_eval={num_eval}"
        )
    rng = np.random.default_rng(seed)
    # One of the three is the next word: every word is reached from every other.
    others = [rng.choice(num_words - 1, 2, replace=False) + 1 for _ in range(num_words)]
    steps = np.insert(np.array(others), 0, 0, axis=1)
    following = (np.arange(1, num_words + 1)[:, None] + steps) % num_words
    draws = rng.choice(3, size=num_train + 2 * num_eval, p=[0.5, 0.3, 0.2])
    tokens = np.empty(len(draws), np.int32)
    token = 0
    for i, draw in enumerate(draws):
        tokens[i] = token = following[token, draw]
    train, valid, test = np.split(tokens, [num_train, num_train + num_eval])
    vocabulary = (END, *(f"word{i}" for i in range(1, num_words)))
    return Corpus("markov", train, valid, test, vocabulary)


CORPORA: dict[str, Callable[..., Corpus]] = {"markov": markov}
"""Texts that need no files, by name; their keyword arguments are options of `load`."""


def batchify(tokens: np.ndarray, batch_size: int) -> np.ndarray:
    """Cuts a text into `B` pieces of equal length, which are read side by side.

    Args:
      tokens: `[N]`.
      batch_size: B.

    Returns:
      `[R, B]`, R = N // B: column b is piece b, the last N % B tokens are left out.

    Raises:
      ConfigError: B is not positive, or pieces have fewer than two tokens, which leaves
        nothing to predict.
    """
    if batch_size < 1:
        raise ConfigError(f"batch size {batch_size} is not positive")
    rows = len(tokens) // batch_size
    if rows < 2:
        raise ConfigError(
            f"batch size {batch_size} cuts a text of {len(tokens)} tokens into pieces "
            f"of {rows}; choose at most {len(tokens) // 2}"
        )
    return np.ascontiguousarray(tokens[: rows * batch_size].reshape(batch_size, -1).T)
