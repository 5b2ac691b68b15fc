"""`NAS-Bench-201-v1_1-096897.pth`: one pickle of some 4 GB, converted as it streams.

`torch.load` would build 28 GB of Python floats. Here every training becomes a few
arrays as soon as its dictionary is complete, every architecture a row of the table, and
the memo of the pickle forgets both. Weights are never read.
"""

import contextlib
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from nasjax.core import paths, pickle_stream, read_guard, safe_pickle
from nasjax.core.errors import DataError
from nasjax.core.progress import progress
from nasjax.nasbench.readers import archives, nasbench201
from nasjax.spaces.nasbench201 import SIZE

_SCHEDULES = {"less": 12, "full": 200}
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MAX_STRINGS, _MAX_LENGTH = 200_000, 200


def is_pth(path: pathlib.Path) -> bool:
    """Whether a file has the name of a torch file."""
    return path.suffix in (".pth", ".pt") and paths.is_file(path)


def convert(
    path: pathlib.Path, output: str | os.PathLike[str], source: dict[str, Any]
) -> None:
    """Writes the table file of all architectures of the file.

    Raises:
      DataError: the file is damaged, refused, or not of the official form.
    """
    with (
        nasbench201.building(output, source) as builder,
        progress(SIZE, description="reading", unit="architecture") as bar,
        _open(path) as (stream, is_zip),
    ):

        def emit(record: nasbench201.Record) -> None:
            builder.add(record, name=path.name)
            bar.update()

        machine = _Machine(stream, emit, name=str(path))
        if not is_zip:
            magic, protocol = machine.load(), machine.load()
            if (magic, protocol) != (_MAGIC, _PROTOCOL):
                raise DataError(f"{path}: not a torch file of the old or new form")
            machine.load()  # facts about the computer that wrote it
        machine.load()


@contextlib.contextmanager
def _open(path: pathlib.Path) -> Iterator[tuple[BinaryIO, bool]]:
    """The stream of pickles, and whether it comes from the zip form."""
    with read_guard.open_file(path) as file:
        start = file.read(4)
        file.seek(0)
        if start[:2] == b"\x80\x02":
            yield file, False
            return
        if start != b"PK\x03\x04":
            raise DataError(f"{path}: not a torch file of the old or new form")
    with archives.open_zip(path) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise DataError(f"{path}: has no data.pkl, so is no torch file")
        if archive.getinfo(pickles[0]).compress_type != zipfile.ZIP_STORED:
            raise DataError(f"{path}: refused a compressed data.pkl")
        with read_guard.guard(path, "not a whole zip archive"):
            stream = archive.open(pickles[0])
        with stream:
            yield stream, True  # type: ignore[misc]


class _Dict(dict[Any, Any]):
    """Stands for an ordered dictionary, whose attributes (torch sets some) are lost."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """Nothing is kept."""


def _no_tensor(*_: Any) -> None:
    """Stands for a weight."""


_ALLOW: safe_pickle.AllowList = {
    **safe_pickle.NUMPY,
    ("collections", "OrderedDict"): lambda items=(): _Dict(items),
    ("torch._utils", "_rebuild_tensor_v2"): _no_tensor,
    ("torch._utils", "_rebuild_parameter"): _no_tensor,
    **{
        ("torch", f"{kind}Storage"): _no_tensor
        for kind in ("Float", "Double", "Half", "Long", "Int", "Short", "Char", "Byte")
    },
}


class _Machine(pickle_stream.Machine):
    """Turns trainings into arrays and architectures into records on the way."""

    def __init__(
        self, stream: BinaryIO, emit: Callable[[nasbench201.Record], None], name: str
    ):
        super().__init__(stream, allow=_ALLOW, name=name, max_item_bytes=2**26)
        self._emit = emit
        self._strings: set[str] = set()
        self._kept: dict[int, Any] = {}

    def persistent_load(self, pid: Any) -> None:
        """The storage of a weight: dropped."""

    def on_items(
        self, target: dict[Any, Any], pairs: pickle_stream.Pairs
    ) -> pickle_stream.Pairs:
        keys = {key for key, _ in pairs if isinstance(key, str)}
        with read_guard.guard(
            self.name,
            "not of the official NAS-Bench-201 form",
            remedy="the NATS-tss files hold the same and are easier to read",
        ):
            if {"train_acc1es", "eval_acc1es"} <= keys:
                return [("run", nasbench201.read_run(dict(pairs)))]
            if keys and keys <= set(_SCHEDULES):
                results = {_SCHEDULES[key]: entry for key, entry in pairs}
                self._emit(nasbench201.read_record(results, _finished))
                self._forget()
                return []
        return pairs

    def _forget(self) -> None:
        """Thins out the memo: later architectures share names with this one, no more.

        A string that occurs for the second time is a copy that only its own
        architecture refers to.
        """
        for index, value in self.memo.items():
            if index in self._kept:
                continue
            is_short = isinstance(value, str) and len(value) <= _MAX_LENGTH
            is_new = is_short and value not in self._strings
            if is_new and len(self._strings) < _MAX_STRINGS:
                self._strings.add(value)
                self._kept[index] = value
            elif safe_pickle.is_stand_in(value):
                self._kept[index] = value
        self.memo = dict(self._kept)
        self.budget.renew()


def _finished(result: dict[str, Any]) -> nasbench201.Run:
    """The training that took the place of its dictionary already."""
    run = result["run"]
    if not isinstance(run, nasbench201.Run):
        raise TypeError("a training of another form")
    return run
