"""Surrogates as files: the arrays of their nodes, and which node stands where.

A node of a known kind becomes `{"kind": NAME, "static": {...}, "children": {...}}` in
the metadata, its arrays stand under the path of its fields. Nothing but the kinds
listed here is ever made from a file.
"""

import dataclasses
import hashlib
import os
import types
import typing
from typing import Any

import jax
import numpy as np
from flax import struct

from nasjax.core import arrays, errors, read_guard
from nasjax.nasbench.surrogate import mlp, model, scaling, svd, vae
from nasjax.nasbench.surrogate.noise import epoch_std, gkde, seeds, sliding_window
from nasjax.nasbench.surrogate.trees import forest

FORM = "nasjax.surrogate/1"

KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        scaling.Scaler,
        forest.Chain,
        mlp.MLP,
        model.CurveModel,
        model.Member,
        model.Seconds,
        model.Surrogate,
        gkde.GKDE,
        seeds.SeedNoise,
        epoch_std.EpochNoise,
        sliding_window.WindowNoise,
        svd.SVD,
        vae.VAE,
    )
}


def save(
    path: str | os.PathLike[str], surrogate: model.Surrogate, *, single: bool = False
) -> model.Surrogate:
    """Writes a surrogate; returns it with its version, which names these very numbers.

    Args:
      path: the file, whole or not at all.
      surrogate: of `fitting.fit` or an importer.
      single: keep what leaves add in float32, in which predictions are computed unless
        64 bits are enabled; a file of forests is then smaller by a third.
    """
    tree: dict[str, np.ndarray] = {}
    description = _describe(surrogate.replace(version=""), "surrogate", tree)
    if single:
        leaves = [name for name in tree if name.endswith(".value")]
        tree |= {name: tree[name].astype(np.float32) for name in leaves}
    digest = hashlib.sha256(repr(description).encode())
    for name in sorted(tree):
        digest.update(name.encode() + np.ascontiguousarray(tree[name]).tobytes())
    version = f"{FORM} {'-'.join(surrogate.techniques)} {digest.hexdigest()[:12]}"
    description["static"]["version"] = version
    arrays.save(path, tree, metadata={"form": FORM, "surrogate": description})
    return surrogate.replace(version=version)


def load(path: str | os.PathLike[str]) -> model.Surrogate:
    """Reads a surrogate.

    Raises:
      DataError: the file is missing, damaged or of another kind.
    """
    metadata = arrays.load_metadata(path)
    if metadata.get("form") != FORM:
        raise errors.DataError(
            f"{path}: form {read_guard.show(metadata.get('form'))}, not {FORM!r}; fit "
            "or import the surrogate again with this version"
        )
    stored = {key: np.array(view) for key, view in arrays.memory_map(path).items()}
    what = "a part of the surrogate is missing or of another kind"
    with read_guard.guard(path, what, remedy="fit or import it again"):
        surrogate = _restore(metadata["surrogate"], "surrogate", stored)
        if not isinstance(surrogate, model.Surrogate):
            raise TypeError(f"{type(surrogate).__name__} is no surrogate")
        _check_curves(surrogate)
    return surrogate


def _check_curves(surrogate: model.Surrogate) -> None:
    """Raises `ValueError` where the parts do not fit together."""
    length = len(surrogate.epochs)
    if not length or list(surrogate.epochs) != sorted(set(surrogate.epochs)):
        raise ValueError("epochs that do not increase")
    for curve_model in surrogate.models.values():
        if not curve_model.members:
            raise ValueError("an ensemble without members")
        if curve_model.weights.shape != (len(curve_model.members),):
            raise ValueError("weights that are not those of the members")
        for member in curve_model.members:
            shape = _curve_shape(member)
            if shape is not None and shape != (length,):
                raise ValueError(f"curves of shape {shape}, not ({length},)")


def _curve_shape(member: model.Member) -> tuple[int, ...] | None:
    """Of a member's curves; None where the regressor does not say what it takes.

    Of trees the number of components is known without tracing a prediction.
    """
    regressor = member.regressor
    if isinstance(regressor, forest.Chain):
        codes = jax.ShapeDtypeStruct((regressor.num_components,), np.float32)
        return tuple(jax.eval_shape(member.compressor.decompress, codes).shape)
    count = getattr(regressor, "num_features", None)
    if count is None:
        return None
    inputs = jax.ShapeDtypeStruct((count,), np.float32)
    return tuple(jax.eval_shape(member.predict, inputs).shape)


def _describe(node: Any, path: str, tree: dict[str, np.ndarray]) -> dict[str, Any]:
    """Puts the arrays below `node` into `tree`; returns what restores it."""
    if node is None:
        return {"kind": "none"}
    if isinstance(node, dict):
        return {"kind": "dict", "children": _children(node.items(), path, tree)}
    if isinstance(node, (list, tuple)):
        kind = "list" if isinstance(node, list) else "tuple"
        items = [(str(i), child) for i, child in enumerate(node)]
        return {"kind": kind, "children": _children(items, path, tree)}
    if isinstance(node, struct.PyTreeNode):
        return _describe_node(node, path, tree)
    tree[path] = np.asarray(node)
    return {"kind": "array"}


def _describe_node(
    node: struct.PyTreeNode, path: str, tree: dict[str, np.ndarray]
) -> dict[str, Any]:
    kind = type(node).__name__
    if hasattr(node, "to_arrays"):
        stored, static = node.to_arrays()
        tree |= {f"{path}.{name}": value for name, value in stored.items()}
        return {"kind": kind, "static": static, "arrays": sorted(stored)}
    fields = dataclasses.fields(node)  # type: ignore[arg-type]
    is_child = {f.name: f.metadata.get("pytree_node", True) for f in fields}
    children = [(n, getattr(node, n)) for n, child in is_child.items() if child]
    return {
        "kind": kind,
        "static": {n: getattr(node, n) for n, child in is_child.items() if not child},
        "children": _children(children, path, tree),
    }


def _children(items: Any, path: str, tree: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: _describe(child, f"{path}.{name}", tree) for name, child in items}


def _restore(
    description: dict[str, Any], path: str, tree: dict[str, np.ndarray]
) -> Any:
    kind = description["kind"]
    if not isinstance(kind, str):
        raise TypeError("a kind that is no text")
    if kind == "none":
        return None
    if kind == "array":
        return jax.device_put(tree[path])
    if kind in KINDS and "arrays" in description:
        stored = {name: tree[f"{path}.{name}"] for name in description["arrays"]}
        return KINDS[kind].from_arrays(stored, description["static"])  # type: ignore[attr-defined]
    children = {
        name: _restore(child, f"{path}.{name}", tree)
        for name, child in description["children"].items()
    }
    if kind == "dict":
        return children
    if kind in ("list", "tuple"):
        items = [children[str(i)] for i in range(len(children))]
        return items if kind == "list" else tuple(items)
    if kind not in KINDS:
        raise ValueError(f"the kind {read_guard.show(kind)}")
    static = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in description["static"].items()
    }
    for name, hint in typing.get_type_hints(KINDS[kind]).items():
        if name in children or name in static:
            _check_type(f"{kind}.{name}", (children | static)[name], hint)
    return KINDS[kind](**children, **static)


def _check_type(name: str, value: Any, hint: Any) -> None:
    """Raises `TypeError` where a value is not what the annotation of its field says."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in inner:
            return
        inner = tuple(kind for kind in inner if kind is not type(None))
        origin = None
        hint = inner[0] if len(inner) == 1 else Any
    items: Any
    if origin is tuple:
        items, wanted = value if isinstance(value, tuple) else None, inner[0]
    elif origin is list:
        items, wanted = value if isinstance(value, list) else None, inner[0]
    elif origin is dict:
        values = value.values() if isinstance(value, dict) else None
        items, wanted = values, inner[1]
    else:
        known = hint is not Any and isinstance(hint, type)
        if known and not isinstance(value, hint):
            raise TypeError(f"{name} is a {type(value).__name__}")
        return
    if items is None:
        raise TypeError(f"{name} is a {type(value).__name__}")
    for item in items:
        _check_type(name, item, wanted)
