"""Factorisations against numpy, alone and under vmap, and that none waits for ever."""

import os
import re
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shared

from nasjax.core import linalg

RNG = np.random.default_rng(0)
ROOTS = RNG.normal(size=(2, 3, 5, 5))
POSITIVE = ROOTS @ ROOTS.mT + np.eye(5)


def check_cholesky(matrix, found):
    np.testing.assert_allclose(found, np.linalg.cholesky(matrix), atol=1e-12)


def check_inverse(matrix, found):
    np.testing.assert_allclose(found @ np.tril(matrix), np.eye(5), atol=1e-12)
    assert not np.triu(found, 1).any()


def check_svd(matrix, found):
    u, s, vt = found
    np.testing.assert_allclose(s, np.linalg.svd(matrix)[1], rtol=1e-10)
    np.testing.assert_allclose(u[:, : len(s)] * s @ vt[: len(s)], matrix, atol=1e-12)
    np.testing.assert_allclose(u.T @ u, np.eye(u.shape[1]), atol=1e-12)
    np.testing.assert_allclose(vt @ vt.T, np.eye(len(vt)), atol=1e-12)


CASES = {
    "cholesky": (linalg.cholesky, POSITIVE, check_cholesky),
    "invert_lower": (linalg.invert_lower, np.tril(POSITIVE), check_inverse),
    "svd": (linalg.svd, ROOTS[..., :3], check_svd),
    "full svd": (
        lambda x: linalg.svd(x, full_matrices=True),
        ROOTS[..., :3, :],
        check_svd,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_matrix_and_batches_are_those_of_numpy(name):
    function, matrices, check = CASES[name]
    with jax.enable_x64(True):
        one = function(jnp.asarray(matrices[1, 2]))
        many = jax.vmap(jax.vmap(function))(jnp.asarray(matrices))
    check(matrices[1, 2], jax.tree.map(np.asarray, one))
    for i, j in np.ndindex(2, 3):
        check(
            matrices[i, j], jax.tree.map(lambda x, i=i, j=j: np.asarray(x[i, j]), many)
        )


def test_only_batched_arguments_are_looped_over():
    """Trees of arguments and of results; `shared` has no batch."""

    @linalg.one_by_one
    def function(pair, shared):
        assert pair["a"].ndim == 1 and shared.ndim == 1
        return {"sum": pair["a"] + pair["b"] * shared, "b": pair["b"]}

    a, b, shared_row = RNG.normal(size=(4, 2)), RNG.normal(size=4), RNG.normal(size=2)
    for axis_b, second in ((0, b), (None, b[0])):
        axes = ({"a": 0, "b": axis_b}, None)
        found = jax.vmap(function, axes)({"a": a, "b": second}, shared_row)
        expected = a + np.reshape(second, (-1, 1)) * shared_row
        np.testing.assert_allclose(found["sum"], expected, rtol=1e-5)
        assert found["b"].shape == (4,)


def lapack_ranks(function, *args):
    """Ranks of the operands of every LAPACK call of a program."""
    text = jax.jit(function).lower(*args).as_text()
    calls = re.findall(r"@lapack_\w+\(.*?\) .*?: \((.*?)\) ->", text)
    return [t.count("x") for call in calls for t in re.findall("tensor<(.*?)>", call)]


def test_a_batch_is_no_batched_kernel():
    def both(matrices):
        found = [jax.vmap(jax.vmap(f))(matrices) for f, _, _ in CASES.values()]
        return found

    ranks = lapack_ranks(both, jnp.zeros((2, 3, 5, 5)))
    assert ranks and max(ranks) <= 2
    # The measure itself: what must not be written.
    raw = lapack_ranks(jax.vmap(jnp.linalg.cholesky), jnp.zeros((3, 5, 5)))
    assert max(raw) == 3


CHILD = """
import os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
import jax, jax.numpy as jnp
from nasjax.core import linalg
x = jax.random.normal(jax.random.key(0), (50, 100, 100))
square = x @ x.mT / 100 + jnp.eye(100)[None]

@jax.jit
def independent(a, b):
    one = jax.vmap(lambda m: linalg.invert_lower(linalg.cholesky(m)))
    few = jax.vmap(linalg.svd)
    return one(a).sum() + one(b).sum() + few(a[:2])[1].sum() + few(b[:2])[1].sum()

for index in range(40):
    jax.block_until_ready(independent(square, square + 1))
    print(index, flush=True)
"""
PATIENCE = 300.0
"""Seconds without any progress that are a hang, not a busy machine."""


def test_independent_batches_never_wait_for_each_other():
    """On two threads `jax.vmap(solve_triangular)` in place of it stops within 25."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("XLA_FLAGS", "NPROC")
    }
    environment |= {"PYTHONPATH": str(shared.ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHILD]
    rounds, seen = [], [time.monotonic()]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True
    ) as child:

        def listen():
            for line in child.stdout:
                rounds.append(line)
                seen[0] = time.monotonic()

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        while child.poll() is None and time.monotonic() - seen[0] < PATIENCE:
            time.sleep(0.05)
        child.kill()
        listener.join()
    assert len(rounds) == 40, f"stopped after {len(rounds)} of 40 rounds"
