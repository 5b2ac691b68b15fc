import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl import logging
from flax import struct

from nasjax.core import checkpoint, errors

# When a file of a damaged checkpoint cannot be read, orbax closes its event loop while
# tensorstore may still read another; the late answer finds no loop and is dropped.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


class State(struct.PyTreeNode):
    params: typing.Any
    optimizer: typing.Any
    key: typing.Any
    epoch: typing.Any


def make_state(seed=0):
    params = {
        "conv": {"kernel": jax.random.normal(jax.random.key(seed), (3, 2))},
        "half": jnp.bfloat16(seed + 0.5),
        "empty": jnp.zeros((0, 4)),
        "mask": jnp.array([True, False]),
    }
    optimizer = optax.adam(1e-3).init(params["conv"])
    keys = {
        "one": jax.random.key(seed),
        "many": jax.random.split(jax.random.key(seed, impl="rbg"), 3),
        "old": jax.random.PRNGKey(seed),
    }
    epoch = [
        seed,
        0.1 + seed,
        seed > 0,
        np.arange(seed, seed + 3),
        np.float64(seed / 3),
    ]
    return State(params, optimizer, keys, epoch)


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if isinstance(x, np.generic):
            x = np.asarray(x)
        assert isinstance(y, jax.Array) == isinstance(x, jax.Array)
        assert isinstance(x, jax.Array) or type(x) is type(y)
        if isinstance(x, jax.Array) and jax.dtypes.issubdtype(
            x.dtype, jax.dtypes.prng_key
        ):
            assert x.dtype == y.dtype
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        x, y = np.asarray(x), np.asarray(y)
        assert x.dtype == y.dtype and x.shape == y.shape
        assert x.tobytes() == y.tobytes()


@pytest.fixture
def warnings_of_absl(monkeypatch):
    lines = []
    monkeypatch.setattr(
        logging, "warning", lambda text, *args: lines.append(text % args)
    )
    return lines


def test_a_state_round_trips(tmp_path):
    with checkpoint.Checkpoints(tmp_path / "c") as checkpoints:
        assert checkpoints.restore(make_state()) is None
        assert checkpoints.latest() is None
        checkpoints.save(3, make_state(1))
    with checkpoint.Checkpoints(tmp_path / "c") as checkpoints:
        assert checkpoints.latest() == 3
        step, state = checkpoints.restore(make_state(0))
        assert step == 3
        assert_same(make_state(1), state)
        draw = jax.random.normal(state.key["one"], (2,))
        assert (draw == jax.random.normal(jax.random.key(1), (2,))).all()


def test_shapes_alone_are_a_template(tmp_path):
    state = {"w": jnp.arange(3.0), "key": jax.random.key(5, impl="rbg")}
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(0, state)
    _, restored = checkpoints.restore(jax.eval_shape(lambda: state))
    assert_same(state, restored)


def test_pieces_of_the_packed_bytes_are_joined_again(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_PIECE", 7)
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(0, make_state(2))
    assert_same(make_state(2), checkpoints.restore(make_state())[1])


def test_arrays_return_to_where_the_template_has_them(tmp_path):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    free, placed = jnp.arange(4.0), jax.device_put(jnp.arange(4.0), sharding)
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(0, {"free": free, "placed": placed})
    _, restored = checkpoints.restore({"free": free, "placed": placed})
    assert not restored["free"].committed
    assert restored["placed"].committed and restored["placed"].sharding == sharding


def test_restored_arrays_can_be_donated_and_numpy_ones_written(tmp_path):
    state = {"w": jnp.ones(64), "v": jnp.zeros(64), "n": np.zeros(3)}
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(0, state)
    _, restored = checkpoints.restore(state)
    restored["n"][0] = 1
    doubled = jax.jit(lambda w: w + 1, donate_argnums=0)(restored["w"])
    np.testing.assert_array_equal(doubled, np.full(64, 2.0))
    np.testing.assert_array_equal(restored["v"], np.zeros(64))
    assert_same(state, checkpoints.restore(state)[1])


def test_the_newest_are_kept(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path, keep=2)
    for step in (0, 5, 9, 10):
        checkpoints.save(step, {"x": step})
    assert sorted(os.listdir(tmp_path)) == ["10", "9"]
    assert checkpoints.restore({"x": 0}) == (10, {"x": 10})
    checkpoints.save(10, {"x": -1})  # the same step again
    assert sorted(os.listdir(tmp_path)) == ["10", "9"]
    assert checkpoints.restore({"x": 0}) == (10, {"x": -1})
    with pytest.raises(ValueError, match="keep"):
        checkpoint.Checkpoints(tmp_path, keep=0)


def test_what_cannot_be_saved_is_named(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path / "c")
    for leaf in ("text", np.array(["text"]), np.array([None])):
        with pytest.raises(TypeError, match="'a/b'"):
            checkpoints.save(0, {"a": {"b": leaf}})
    assert checkpoints.latest() is None


@pytest.mark.parametrize(
    "template, problem",
    [
        (
            {"w": jnp.zeros((3, 2)), "n": 0},
            r"'w' is float32\[2, 3\] there and float32\[3",
        ),
        (
            {"w": jnp.zeros((2, 3), jnp.bfloat16), "n": 0},
            r"and bfloat16\[2, 3\] in this",
        ),
        ({"v": jnp.zeros((2, 3)), "n": 0}, r"'v' is absent there and float32\[2, 3\]"),
        ({"w": jnp.zeros((2, 3))}, "'n' is a Python number there and absent in"),
        ({"w": jnp.zeros((2, 3)), "n": jnp.int32(0)}, r"'n' is a Python number there"),
    ],
)
def test_another_tree_is_a_workdir_error(template, problem, tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(7, {"w": jnp.zeros((2, 3)), "n": 4})
    with pytest.raises(errors.WorkdirError, match=problem) as error:
        checkpoints.restore(template)
    assert str(tmp_path / "7") in str(error.value) and "workdir" in str(error.value)
    assert checkpoints.latest() == 7


def test_another_kind_of_key_is_a_workdir_error(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(7, {"key": jax.random.key(0)})
    with pytest.raises(errors.WorkdirError, match="'key' is key<fry>.* key<rbg>"):
        checkpoints.restore({"key": jax.random.key(0, impl="rbg")})


def data_files(folder):
    """The files of one checkpoint that hold arrays, largest first."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return sorted(files, key=lambda file: -file.stat().st_size)


def flip(folder):
    file = data_files(folder)[0]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


def truncate(folder):
    file = data_files(folder)[0]
    os.truncate(file, file.stat().st_size // 2)


DAMAGES = {
    "flipped byte": flip,
    "truncated file": truncate,
    "lost file": lambda folder: data_files(folder)[0].unlink(),
    "all files empty": lambda folder: [os.truncate(f, 0) for f in data_files(folder)],
    "nothing but the folder": lambda folder: [f.unlink() for f in data_files(folder)],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    damage, tmp_path, warnings_of_absl
):
    def state(value):
        noise = np.random.default_rng(value).bytes(5000)
        return {"x": jnp.full(3, value), "noise": np.frombuffer(noise, np.uint8)}

    checkpoints = checkpoint.Checkpoints(tmp_path)
    for step in (4, 5):
        checkpoints.save(step, state(step))
    DAMAGES[damage](tmp_path / "5")
    checkpoints = checkpoint.Checkpoints(tmp_path)
    step, restored = checkpoints.restore(state(0))
    assert step == 4 and checkpoints.latest() == 4
    assert_same(state(4), restored)
    assert len(warnings_of_absl) == 1 and "\n" not in warnings_of_absl[0]
    assert str(tmp_path / "5") in warnings_of_absl[0]
    checkpoints.save(5, state(6))  # the run comes to this step again
    assert sorted(os.listdir(tmp_path)) == ["4", "5"]
    assert_same(state(6), checkpoint.Checkpoints(tmp_path).restore(state(0))[1])


def test_a_missing_chunk_is_not_read_as_zeros(tmp_path, warnings_of_absl):
    state = {"x": jnp.ones(3)}
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(1, state)
    packed = checkpoints._checkpointer().restore(tmp_path / "1")
    packed["data"] = [np.zeros_like(piece) for piece in packed["data"]]
    shutil.rmtree(tmp_path / "1")
    checkpoints._checkpointer().save(tmp_path / "1", packed)
    assert checkpoints.restore(state) is None
    assert len(warnings_of_absl) == 1 and "checksum" in warnings_of_absl[0]


def test_reading_changes_nothing_and_files_of_others_stay(tmp_path, warnings_of_absl):
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(1, {"x": 1})
    checkpoints.save(2, {"x": 2})
    truncate(tmp_path / "2")
    (tmp_path / "3.fresh.orbax-checkpoint-tmp").mkdir()  # a writer is at work
    (tmp_path / "notes.txt").write_text("mine")
    before = sorted(os.listdir(tmp_path))
    assert checkpoint.Checkpoints(tmp_path).restore({"x": 0}) == (1, {"x": 1})
    assert sorted(os.listdir(tmp_path)) == before
    checkpoint.Checkpoints(tmp_path).save(4, {"x": 4})
    assert sorted(os.listdir(tmp_path)) == ["2", "4", "notes.txt"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("again", [False, True], ids=["next step", "same step"])
def test_a_kill_between_any_two_file_operations_loses_nothing(
    again, tmp_path, monkeypatch
):
    """Dies before the n-th rename, removal or orbax save, for every n."""
    step = 2 if again else 3
    survived = False
    for fatal in range(1, 20):
        folder = tmp_path / str(fatal)
        checkpoints = checkpoint.Checkpoints(folder, keep=1)
        checkpoints.save(2, {"x": 2})
        checkpoints._checkpointer()
        calls = []

        def deadly(operation, calls=calls, fatal=fatal):
            def call(*args, **kwargs):
                calls.append(operation)
                if len(calls) == fatal:
                    raise Killed
                return operation(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(pathlib.Path, "rename", deadly(pathlib.Path.rename))
            patch.setattr(checkpoint.shutil, "rmtree", deadly(shutil.rmtree))
            patch.setattr(checkpoints._orbax, "save", deadly(checkpoints._orbax.save))
            try:
                checkpoints.save(step, {"x": 9})
                survived = True
            except Killed:
                pass
        latest = checkpoint.Checkpoints(folder).restore({"x": 0})
        assert latest in [(2, {"x": 2}), (step, {"x": 9})]
        reopened = checkpoint.Checkpoints(folder, keep=1)
        reopened.save(4, {"x": 4})
        assert os.listdir(folder) == ["4"]
        if survived:
            break
    assert survived and fatal > 3


WRITER = """
    import sys
    import jax, jax.numpy as jnp
    from nasjax.core import checkpoint

    def state(step):
        return {"step": step, "key": jax.random.key(0), "x": jnp.full((64, 64), step)}

    checkpoints = checkpoint.Checkpoints(sys.argv[1])
    found = checkpoints.restore(state(0))
    step = 0 if found is None else found[0]
    print("from", step, flush=True)
    while True:
        step += 1
        checkpoints.save(step, state(step))
        print(step, flush=True)
"""


def test_sigkill_at_any_moment_leaves_a_complete_checkpoint(tmp_path):
    rng = random.Random(0)
    last = 0
    for delay in (0.0, rng.uniform(0.05, 0.3), rng.uniform(0.05, 0.3)):
        process = subprocess.Popen(
            [
                sys.executable,
                "-W",
                "error",
                "-c",
                textwrap.dedent(WRITER),
                str(tmp_path),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == f"from {last}\n"
        lines = [process.stdout.readline()]
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            pass
        process.send_signal(signal.SIGKILL)
        rest, noise = process.communicate()
        assert noise == "" and process.returncode == -signal.SIGKILL
        acknowledged = int([*lines, *rest.split("\n")[:-1]][-1])
        template = {"step": 0, "key": jax.random.key(1), "x": jnp.zeros((64, 64), int)}
        last, state = checkpoint.Checkpoints(tmp_path).restore(template)
        assert acknowledged <= last <= acknowledged + 1
        assert state["step"] == last and (state["x"] == last).all()
