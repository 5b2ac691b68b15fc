"""What the columns of a CSV file of learning curves mean, said by the user."""

import dataclasses
import functools
import re
from collections.abc import Iterable, Sequence

from nasjax.core import errors

UNITS = ("fraction", "percent", "loss")
_CHOICES = {
    "epoch_zero": ("first", "untrained"),
    "unit": ("", *UNITS),
    "unfinished": ("leave_out", "refuse"),
}
_LISTS = ("features", "text", "drop", "index")
_PLACEHOLDER = "{epoch}"
_KEY = "config.data.columns"


@dataclasses.dataclass(frozen=True)
class Columns:
    """Which columns are the curve, which are features, and how values are written.

    One row a training: the columns that fit `epochs` are its curve. Or one row an
    epoch (`epoch_column` and `value_column`), its training named by `index`.

    Attributes:
      epochs: names of the curve's columns: a template with `{epoch}` for the number,
        or a regular expression whose only group is the number.
      epoch_zero: where a number is 0: `"first"`, numbers count from 0 and epoch n is
        the one numbered n - 1; `"untrained"`, it is the value before training and is
        left out.
      features: columns that are features; (): all that are named nowhere else here.
      text: features that are categories, though they look like numbers.
      drop: columns that are left out, as what was measured after the training; as in
        the other lists, `test_{epoch}` names all of a series.
      index: columns that name a training and are no features.
      unit: of the curve: `"fraction"` (accuracy in [0, 1]), `"percent"` (accuracy in
        [0, 100], which is scaled) or `"loss"` (nats); "": fraction or loss as the
        metric says.
      unfinished: trainings without a value at every epoch are `"leave_out"` (and
        counted) or `"refuse"`.
      epoch_column: where each row is an epoch: its number.
      value_column: where each row is an epoch: the curve's value there.
      delimiter: between columns; "": what the header shows.
      decimal: decimal mark; "": what the numbers show.
      thousands: mark between groups of three digits; "": none.
      encoding: of the text; "": its byte order mark, else UTF-8.
    """

    epochs: str = "acc_{epoch}"
    epoch_zero: str = "first"
    features: Sequence[str] = ()
    text: Sequence[str] = ()
    drop: Sequence[str] = ()
    index: Sequence[str] = ()
    unit: str = ""
    unfinished: str = "leave_out"
    epoch_column: str = ""
    value_column: str = ""
    delimiter: str = ""
    decimal: str = ""
    thousands: str = ""
    encoding: str = ""

    def __post_init__(self) -> None:
        for key, known in _CHOICES.items():
            if getattr(self, key) not in known:
                raise errors.unknown_name(f"{_KEY}.{key}", getattr(self, key), known)
        for key in _LISTS:
            value = getattr(self, key)
            names = (value,) if isinstance(value, str) else tuple(value)
            if not all(isinstance(name, str) for name in names):
                raise errors.ConfigError(
                    f"{_KEY}.{key} holds column names, as ('depth', 'width')"
                )
            object.__setattr__(self, key, names)
        if bool(self.epoch_column) != bool(self.value_column):
            raise errors.ConfigError(
                f"{_KEY}.epoch_column and .value_column belong together: where each "
                "row is an epoch, one names its number and the other the value"
            )
        if self.epoch_column and not self.index:
            raise errors.ConfigError(
                f"{_KEY}.index is empty: where each row is an epoch, name the columns "
                "that tell the trainings apart"
            )
        _ = self.pattern

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        """Fits names of the curve's columns; its group is the number."""
        if _PLACEHOLDER in self.epochs:
            parts = self.epochs.strip().split(_PLACEHOLDER)
            if len(parts) == 2:
                return re.compile(rf"{re.escape(parts[0])}(\d+){re.escape(parts[1])}")
        else:
            try:
                found = re.compile(self.epochs)
            except re.error as error:
                raise errors.ConfigError(
                    f"{_KEY}.epochs is neither a template such as acc_{{epoch}} nor a "
                    f"regular expression: {error}"
                ) from error
            if found.groups == 1:
                return found
        raise errors.ConfigError(
            f"{_KEY}.epochs is a template with one {{epoch}}, as acc_{{epoch}}, or "
            r"a regular expression with one group, such as acc_(\d+)"
        )

    @property
    def stem(self) -> str:
        """What names of the curve begin with, where a template says it."""
        return self.epochs.strip().partition(_PLACEHOLDER)[0]

    def number(self, name: str) -> int | None:
        """The epoch's number in a column's name, None for another column."""
        match = self.pattern.fullmatch(name)
        if match is None or not re.fullmatch(r"\d{1,7}", match[1] or ""):
            return None
        return int(match[1])

    def unit_of(self, metric: str) -> str:
        """The unit of a metric's curve.

        Raises:
          ConfigError: losses for an accuracy, or the reverse.
        """
        is_loss = metric.endswith("loss")
        unit = self.unit or ("loss" if is_loss else "fraction")
        if (unit == "loss") != is_loss:
            raise errors.ConfigError(
                f"{_KEY}.unit={unit} does not fit the metric {metric}: accuracies are "
                "fraction or percent, and losses need --config.data.metric=valid_loss "
                "(or train_loss, test_loss)"
            )
        return unit

    def check(self, known: Iterable[str], file: object) -> "Columns":
        """The same with every name one of `known`; `('a,b',)` means `('a', 'b')`.

        Raises:
          ConfigError: a name is none of the file's, or two keys have it.
        """
        known = list(known)
        changed: dict[str, tuple[str, ...]] = {}
        taken: dict[str, str] = {}
        for key in _LISTS:
            names: list[str] = []
            for given in getattr(self, key):
                alone = given in known or "," not in given
                parts = [given] if alone else [n.strip() for n in given.split(",")]
                names += [name for part in parts for name in _expand(part, known)]
            for name in names:
                if name not in known:
                    raise _no_column(key, name, known, file)
                if name in taken and {taken[name], key} != {"features", "text"}:
                    raise errors.ConfigError(
                        f"{_KEY}.{taken[name]} and .{key} both name {name[:40]!r}"
                    )
                taken[name] = key
            changed[key] = tuple(names)
        for key in ("epoch_column", "value_column"):
            name = getattr(self, key)
            if name and name not in known:
                raise _no_column(key, name, known, file)
        return dataclasses.replace(self, **changed)  # type: ignore[arg-type]


def _expand(given: str, known: Sequence[str]) -> list[str]:
    """All columns that a template with `{epoch}` fits, or the name itself."""
    if given in known or given.count(_PLACEHOLDER) != 1:
        return [given]
    before, after = map(re.escape, given.split(_PLACEHOLDER))
    fits = re.compile(rf"{before}\d+{after}", re.ASCII)
    return [name for name in known if fits.fullmatch(name)] or [given]


def _no_column(
    key: str, name: str, known: Sequence[str], file: object
) -> errors.ConfigError:
    shown = [other[:40] for other in known]
    listed = ", ".join(map(repr, shown[:10])) + (", ..." if len(shown) > 10 else "")
    return errors.ConfigError(
        f"{_KEY}.{key}: {file} has no column {name!r}{errors.suggest(name, shown)}; "
        f"its {len(known)}: {listed}"
    )
