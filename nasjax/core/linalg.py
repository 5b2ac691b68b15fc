"""Factorisations of dense matrices that cannot wait for each other.

jaxlib's LAPACK kernels on CPU split a batch into tasks of XLA's thread pool and wait
for them inside a thread of the same pool. Two batched kernels that do not depend on
each other then wait for ever as soon as there are no more threads than kernels (two
triangular solves of `[50, 100, 100]` on two cores stop within some 20 calls; jaxlib
0.10). A kernel of one matrix runs where it is called, so that under vmap these
functions factorise one matrix after another on CPU, which costs nothing: LAPACK does
the same. On other platforms a batch stays a batch.

All of nasjax factorises by these functions; none of them is differentiated.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

from nasjax.core.types import Array

Result = TypeVar("Result")


def one_by_one(
    function: Callable[..., Result], *, over: int | None = None
) -> Callable[..., Result]:
    """The function of arrays whose batches under vmap are a loop on CPU.

    Whole computations that hold a loop of data-dependent length or a branch gain too:
    under plain vmap all members run as long as the slowest, through every branch.

    Args:
      function: of positional arrays (or trees of them); not differentiated.
      over: place of the argument whose batches are looped over: where it has none, the
        function is batched as any other. None: of all arguments.
    """

    @custom_vmap
    def alone(*args: Any) -> Any:
        return function(*args)

    @alone.def_vmap
    def batched(axis_size: int, in_batched: list[Any], *args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        mapped = jax.tree.leaves(in_batched)
        if over is not None and not any(jax.tree.leaves(in_batched[over])):
            axes = jax.tree.unflatten(tree, [0 if m else None for m in mapped])
            found = jax.vmap(function, axes)(*args)
            return found, jax.tree.map(lambda _: True, found)

        def joined(chosen: list[Any], others: list[Any]) -> Any:
            parts = iter(chosen), iter(others)
            return jax.tree.unflatten(tree, [next(parts[not m]) for m in mapped])

        others = [leaf for leaf, m in zip(leaves, mapped, strict=True) if not m]
        chosen = [leaf for leaf, m in zip(leaves, mapped, strict=True) if m]

        def loop(chosen: list[Any], others: list[Any]) -> Any:
            return lax.map(lambda leaves: alone(*joined(leaves, others)), chosen)

        def together(chosen: list[Any], others: list[Any]) -> Any:
            one = functools.partial(_apply_joined, function, joined)
            return jax.vmap(one, (0, None))(chosen, others)

        found = lax.platform_dependent(chosen, others, cpu=loop, default=together)
        return found, jax.tree.map(lambda _: True, found)

    wrapped: Callable[..., Result] = functools.wraps(function)(alone)
    return wrapped


def _apply_joined(
    function: Callable[..., Any],
    joined: Callable[[list[Any], list[Any]], Any],
    chosen: list[Any],
    others: list[Any],
) -> Any:
    return function(*joined(chosen, others))


@one_by_one
def cholesky(matrix: Array) -> Array:
    """Lower factor L `[N, N]` of L L^T; NaN where the matrix is not positive definite.

    Args:
      matrix: symmetric `[N, N]`.
    """
    return lax.linalg.cholesky(matrix, symmetrize_input=False)


@one_by_one
def solve_lower(factor: Array, right: Array) -> Array:
    """x `[N]` of L x = right for a lower triangular L `[N, N]`."""
    solved = lax.linalg.triangular_solve(
        factor, right[:, None], left_side=True, lower=True
    )
    return solved[:, 0]


@one_by_one
def invert_lower(factor: Array) -> Array:
    """Inverse `[N, N]` of a lower triangular matrix `[N, N]`."""
    eye = jnp.eye(factor.shape[0], dtype=factor.dtype)
    return lax.linalg.triangular_solve(factor, eye, left_side=True, lower=True)


def svd(matrix: Array, *, full_matrices: bool = False) -> tuple[Array, Array, Array]:
    """Singular value decomposition U, s, V^T of a matrix `[M, N]`.

    Args:
      matrix: `[M, N]`.
      full_matrices: U `[M, M]` and V^T `[N, N]`; else both have min(M, N) vectors.
    """
    return (_full_svd if full_matrices else _thin_svd)(matrix)


@one_by_one
def _full_svd(matrix: Array) -> tuple[Array, Array, Array]:
    u, s, vt = jnp.linalg.svd(matrix, full_matrices=True)
    return u, s, vt


@one_by_one
def _thin_svd(matrix: Array) -> tuple[Array, Array, Array]:
    u, s, vt = jnp.linalg.svd(matrix, full_matrices=False)
    return u, s, vt
