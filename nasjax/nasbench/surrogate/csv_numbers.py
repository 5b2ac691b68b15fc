"""Numbers as spreadsheets, databases, pandas and R write them.

A cell is a number, missing, a truth value or text; what could be read in two ways is
refused, and the setting that decides it is named.
"""

import dataclasses
import functools
import re
from collections.abc import Iterable

from nasjax.core import errors

MISSING = frozenset(
    {"", "na", "n/a", "#n/a", "#na", "nan", "<na>", "null", "none", "\\n", "nat", "-"}
)
"""What stands for no value in a column of numbers, in small letters."""
MISSING_TEXT = frozenset({"", "NA", "#N/A", "NaN", "nan", "<NA>", "NULL", "\\N"})
"""The same in a column of text, where `none` is an operation."""
TRUTH = {"true": 1.0, "false": 0.0}
_INFINITE = re.compile(r"[-+]?(inf|infinity)", re.IGNORECASE)
_SPREADSHEET_ERROR = re.compile(r"#(VALUE|DIV/0|REF|NAME|NUM|NULL|WERT|ZAHL)[!?]?")
_LOOKS_LIKE = re.compile(r"[-+$€£]?\d[\d.,'’ \u00a0\u202f]*([eEdD][-+]?\d+)?[ %€]*")
_COMMA = re.compile(r"[-+]?(0*,\d+|\d+,(\d{1,2}|\d{4,}))([eE][-+]?\d+)?%?")
_POINT = re.compile(r"[-+]?\d*\.\d+([eE][-+]?\d+)?%?")
_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+%?")


@dataclasses.dataclass(frozen=True)
class NumberForm:
    """How numbers are written.

    Attributes:
      decimal: "." or ",".
      thousands: between groups of three digits, or "".
    """

    decimal: str = "."
    thousands: str = ""

    def __post_init__(self) -> None:
        if self.decimal not in (".", ","):
            raise errors.ConfigError("config.data.columns.decimal is . or ,")
        if self.thousands not in ("", ".", ",", " ", "'", "’", "_"):
            raise errors.ConfigError(
                "config.data.columns.thousands is empty or one of . , ' _ or a blank"
            )
        if self.decimal == self.thousands:
            raise errors.ConfigError(
                "config.data.columns.decimal and .thousands are the same character"
            )

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        point, group = re.escape(self.decimal), re.escape(self.thousands)
        whole = r"\d+"
        if self.thousands:
            blanks = "[ \u00a0\u202f]" if self.thousands == " " else group
            whole = rf"(?:\d{{1,3}}(?:{blanks}\d{{3}})+|\d+)"
        number = rf"(?:{whole}(?:{point}\d*)?|{point}\d+)"
        return re.compile(rf"([-+]?{number})((?:[eE][-+]?\d+)?)", re.ASCII)

    def parse(self, text: str) -> float | None:
        """The number of a cell: NaN where it is missing, None where it is text."""
        text = text.replace("\u2212", "-")
        if match := self._pattern.fullmatch(text):
            digits = re.sub("[ \u00a0\u202f]", "", match[1])
            if self.thousands:
                digits = digits.replace(self.thousands, "")
            return float(digits.replace(self.decimal, ".") + match[2])
        if text.lower() in MISSING:
            return float("nan")
        if _INFINITE.fullmatch(text):
            return float("-inf" if text[0] == "-" else "inf")
        return None


def find_form(path: object, texts: Iterable[str]) -> NumberForm:
    """How the numbers among all cells of a file are written, where it can be told.

    Raises:
      DataError: some have a decimal point and some a decimal comma, or a comma may be
        either a decimal one or one between thousands.
    """
    texts = [text for text in set(texts) if "," in text or "." in text]
    point = any(_POINT.fullmatch(text) for text in texts)
    comma = any(_COMMA.fullmatch(text) for text in texts)
    if comma and not point:
        return NumberForm(decimal=",")
    if comma:
        raise errors.DataError(
            f"{path}: some numbers have a decimal point and some a decimal comma: "
            "write all in one way, or pass --config.data.columns.decimal=. or "
            "--config.data.columns.decimal=, (the others are then text)"
        )
    if any(_GROUPED.fullmatch(text) for text in texts):
        raise errors.DataError(
            f"{path}: a comma in numbers may be a decimal one or part thousands: pass "
            "--config.data.columns.decimal=, or --config.data.columns.thousands=,"
        )
    return NumberForm()


def looks_like_number(text: str) -> bool:
    """Whether a person would call a cell that is none a number."""
    return _LOOKS_LIKE.fullmatch(text) is not None


def is_spreadsheet_error(text: str) -> bool:
    """Such as `#DIV/0!`."""
    return _SPREADSHEET_ERROR.fullmatch(text) is not None
