"""Checkpoints of a run, written by orbax; a process may be killed at any moment.

A tree of many small arrays is packed into a few long byte arrays with a manifest and
a checksum: 300 leaves take orbax half a second as they are and some .03 s packed.
"""

import json
import math
import os
import pathlib
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from nasjax.core import atomic_file, errors

_PIECE = 1 << 28
"""Bytes of one packed array at most: compressors refuse 2 GiB."""


class Checkpoints:
    """The newest checkpoints of one run, in `folder/<step>`.

    A step is written beside its final name and renamed when it is complete, so what
    carries a step's name can be restored after a SIGKILL. Damage from elsewhere (a
    full disk, a lost file, power loss) is found by the checksum, and the step before
    is restored instead. For one writing process on one host; other processes may
    read meanwhile, for reading changes nothing.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 2) -> None:
        """Opens `folder`, which need not exist; `keep` >= 1 newest steps stay."""
        if keep < 1:
            raise ValueError(f"keep must be at least 1, not {keep}")
        self._folder = pathlib.Path(folder).absolute()
        self._keep = keep
        self._damaged: set[int] = set()
        self._is_tidy = False
        self._orbax: Any = None

    def save(self, step: int, tree: Any) -> None:
        """Writes `tree` as the checkpoint of `step`; returns when it is complete.

        Args:
          step: at least 0. A checkpoint of the same step is replaced.
          tree: a pytree of arrays, typed PRNG keys and Python numbers.

        Raises:
          TypeError: a leaf, which the message names, is none of these.
          OSError: the folder cannot be written, or has too little room; what it held
            stays.
        """
        packed = _pack(tree)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._tidy()
        fresh = self._folder / f"{step}.fresh"
        with atomic_file.naming(self._folder / str(step)):
            _need_room(self._folder, sum(piece.size for piece in packed["data"]))
            self._checkpointer().save(fresh, packed, force=True)
        _discard(self._folder / str(step))
        fresh.rename(self._folder / str(step))
        atomic_file.sync_folder(self._folder)
        for old in sorted(self._steps())[: -self._keep]:
            _discard(self._folder / str(old))

    def restore(self, template: Any) -> tuple[int, Any] | None:
        """Reads the newest checkpoint that is whole.

        Args:
          template: a tree as it was saved. Its arrays (or `jax.ShapeDtypeStruct`s)
            say where the restored arrays go: numpy arrays stay on the host, jax
            arrays get the same sharding, Python numbers stay Python numbers. Or a
            function that returns it, given the saved shapes by path.

        Returns:
          The step and the tree, or None when there is no checkpoint to be read. Each
          damaged checkpoint on the way is one warning line.

        Raises:
          errors.WorkdirError: the checkpoint holds another tree; the message names
            the first leaf that differs.
        """
        found = self._read_newest()
        if found is None:
            return None
        step, leaves = found
        path = self._steps()[step]
        if callable(template):
            template = template({key: leaf.shape for key, leaf in leaves.items()})
        return step, _fill(path, leaves, template)

    def newest_whole(self) -> int | None:
        """The step that `restore` would restore, or None."""
        found = self._read_newest()
        return None if found is None else found[0]

    def _read_newest(self) -> tuple[int, dict[str, "_Leaf"]] | None:
        """Step and leaves of the newest checkpoint that is whole."""
        steps = self._steps()
        for step in sorted(steps, reverse=True):
            path = steps[step]
            try:
                return step, _unpack(self._checkpointer().restore(path))
            except (MemoryError, PermissionError):
                raise
            except Exception as error:  # whatever orbax makes of a damaged file
                self._damaged.add(step)
                reason = str(error).strip().split("\n")[0][:200]
                logging.warning(
                    "%s is damaged and skipped (%s: %s)",
                    path,
                    type(error).__name__,
                    reason,
                )
        return None

    def latest(self) -> int | None:
        """Returns the newest step, leaving out those that `restore` found damaged."""
        return max(self._steps(), default=None)

    def close(self) -> None:
        """Ends orbax' threads."""
        if self._orbax is not None:
            self._orbax.close()
            self._orbax = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checkpointer(self) -> Any:
        if self._orbax is None:
            # Imported here: it costs the better part of a second.
            import orbax.checkpoint as ocp

            self._orbax = ocp.Checkpointer(ocp.PyTreeCheckpointHandler())
        return self._orbax

    def _entries(self) -> Iterator[pathlib.Path]:
        return self._folder.iterdir() if self._folder.is_dir() else iter(())

    def _steps(self) -> dict[int, pathlib.Path]:
        """Complete checkpoints by step, without those known to be damaged.

        A complete `<step>.fresh` (orbax renames to it last) counts where a kill came
        between the removal of an older `<step>` and the renaming.
        """
        names = sorted(entry.name for entry in self._entries())
        matches = [re.fullmatch(r"(\d+)(\.fresh)?", name) for name in names]
        steps: dict[int, pathlib.Path] = {}
        for match in filter(None, matches):
            steps.setdefault(int(match[1]), self._folder / match[0])
        return {step: steps[step] for step in steps if step not in self._damaged}

    def _tidy(self) -> None:
        """Once, before the first save: ends what an earlier process left half done."""
        if self._is_tidy:
            return
        for step in self._damaged:
            _discard(self._folder / str(step))
            _discard(self._folder / f"{step}.fresh")
        self._damaged.clear()
        for step, path in self._steps().items():
            if path.name != str(step):
                path.rename(self._folder / str(step))
        for entry in list(self._entries()):
            if re.fullmatch(r"\d+\.(fresh|discarded).*", entry.name):
                shutil.rmtree(entry, ignore_errors=True)
        self._is_tidy = True


def _need_room(folder: pathlib.Path, size: int) -> None:
    """Raises `OSError` unless a file of `size` bytes fits: orbax says it at length."""
    if hasattr(os, "posix_fallocate"):
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)


def _discard(path: pathlib.Path) -> None:
    """Removes a checkpoint; renamed first, so that no half of it keeps its name."""
    if path.exists():
        doomed = path.with_name(f"{path.name}.discarded")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


class _Leaf(NamedTuple):
    """One leaf of a tree, described and perhaps loaded.

    Attributes:
      kind: a dtype's name, a key type such as `"key<fry>"`, or `"python"`.
      shape: shape of the leaf.
      impl: name of the key implementation, `""` for anything but keys.
      value: its data on the host, or the Python number.
    """

    kind: str
    shape: tuple[int, ...]
    impl: str
    value: Any


def _pack(tree: Any) -> dict[str, Any]:
    """The tree as what orbax stores: byte arrays and a manifest of JSON bytes."""
    leaves = {key: _describe(key, leaf) for key, leaf in _flatten(tree)}
    data = jax.device_get(
        {
            key: jax.random.key_data(leaf.value) if leaf.impl else leaf.value
            for key, leaf in leaves.items()
            if leaf.kind != "python"
        }
    )
    manifest, chunks = [], []
    for key, leaf in leaves.items():
        stored = leaf.value
        if key in data:
            array = np.asarray(data[key])
            chunks.append(array.tobytes())
            stored = [array.dtype.name, list(array.shape)]
        manifest.append([key, leaf.kind, list(leaf.shape), leaf.impl, stored])
    # One byte more, for orbax does not store an array of none.
    payload = b"".join([*chunks, b"\0"])
    text = json.dumps({"leaves": manifest, "crc32": zlib.crc32(payload)})
    pieces = [payload[i : i + _PIECE] for i in range(0, len(payload), _PIECE)]
    return {
        "data": [np.frombuffer(piece, np.uint8) for piece in pieces],
        "manifest": np.frombuffer(text.encode(), np.uint8),
    }


def _unpack(packed: Any) -> dict[str, _Leaf]:
    """Inverse of `_pack`; raises whatever comes of bytes that are not what it made."""
    header = json.loads(np.asarray(packed["manifest"]).tobytes())
    payload = np.concatenate([np.asarray(piece) for piece in packed["data"]])
    if zlib.crc32(payload.data) != header["crc32"]:
        raise ValueError("its checksum is wrong")
    leaves, start = {}, 0
    for key, kind, shape, impl, stored in header["leaves"]:
        value = stored
        if kind != "python":
            dtype, stored_shape = jnp.dtype(stored[0]), tuple(stored[1])
            stop = start + dtype.itemsize * math.prod(stored_shape)
            # A copy of its own: jax may adopt the memory, which must be aligned.
            value = payload[start:stop].copy().view(dtype).reshape(stored_shape)
            start = stop
        leaves[key] = _Leaf(kind, tuple(shape), impl, value)
    return leaves


def _fill(path: pathlib.Path, leaves: dict[str, _Leaf], template: Any) -> Any:
    """Puts the leaves into the structure of `template` after checking them all."""
    remedy = "use another --workdir or delete this one"
    expected = {key: _describe(key, leaf) for key, leaf in _flatten(template)}
    for key in [*expected, *leaves]:
        want, have = expected.get(key), leaves.get(key)
        if want is None or have is None or want[:2] != have[:2]:
            raise errors.WorkdirError(
                f"{path}: holds another state: {key!r} is {_show(have)} there and "
                f"{_show(want)} in this run; {remedy}"
            )
    filled = [_place(leaves[key], leaf) for key, leaf in _flatten(template)]
    return jax.tree.unflatten(jax.tree.structure(template), filled)


def _place(leaf: _Leaf, template: Any) -> Any:
    """Gives a restored value the type and the place of its template."""
    if leaf.kind == "python":
        return type(template)(leaf.value)
    if isinstance(template, np.ndarray | np.generic):
        return leaf.value
    value = leaf.value
    if leaf.impl:
        value = jax.random.wrap_key_data(value, impl=leaf.impl)
    # An uncommitted array must stay so, or jit compiles everything again.
    sharding = getattr(template, "sharding", None)
    if sharding is None or not getattr(template, "committed", True):
        return jnp.asarray(value)
    return jax.device_put(value, sharding)


def _flatten(tree: Any) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = [
        (jax.tree_util.keystr(path, simple=True, separator="/"), leaf)
        for path, leaf in leaves
    ]
    if len(dict(named)) != len(named):
        raise ValueError("two leaves of the tree have the same path")
    return named


def _describe(key: str, leaf: Any) -> _Leaf:
    if isinstance(leaf, bool | int | float) and not isinstance(leaf, np.generic):
        return _Leaf("python", (), "", leaf)
    dtype = getattr(leaf, "dtype", None)
    if dtype is None or getattr(dtype, "kind", "") in ("O", "S", "U", "M", "m"):
        raise TypeError(f"{key!r} cannot be saved: {type(leaf).__name__}")
    is_key = jnp.issubdtype(dtype, jax.dtypes.prng_key)
    loaded = is_key and isinstance(leaf, jax.Array)
    impl = str(jax.random.key_impl(leaf)) if loaded else ""
    return _Leaf(str(dtype), tuple(leaf.shape), impl, leaf)


def _show(leaf: _Leaf | None) -> str:
    if leaf is None:
        return "absent"
    if leaf.kind == "python":
        return "a Python number"
    return f"{leaf.kind}{list(leaf.shape)}"
