import errno
import json
import os
import pathlib

import pytest
import script_server

from nasjax.jobs import defaults

CONFIG = """
import ml_collections


def get_config(preset="full"):
    sizes = {"full": 3, "smoke": 1}
    if preset not in sizes:
        raise ValueError("presets are full, smoke")
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.flag = False
    config.name = "digits"
    config.sizes = (8, 8)
    config.supernet = ml_collections.ConfigDict()
    config.supernet.num_cells = sizes[preset]
    config.supernet.learning_rate = 0.1
    config.supernet.inner = ml_collections.ConfigDict()
    return config
"""

SCRIPT = '''
"""Trains a thing.

More about it.
"""

import json
import os
import signal

import command_line
from absl import flags, logging

flags.DEFINE_string("input", "", "A file to read.")


def main(config, workdir, mode):
    from nasjax.core import errors

    logging.info("a note that nobody asked for")
    if config and config["name"] == "mistake":
        raise errors.DataError("data/x.bin is truncated;\\\\nget it again")
    if config and config["name"] == "warning":
        logging.warning("%s is\\\\nodd", "x")
    if config and config["name"] == "terminate":
        os.kill(os.getpid(), signal.SIGTERM)
    if config and config["name"] == "interrupt":
        raise KeyboardInterrupt
    if config and config["name"].startswith("disk"):
        number = int(config["name"].split()[1])
        raise OSError(number, os.strerror(number), "runs/d/x")
    if config and config["name"] == "bug":
        raise RuntimeError("a bug")
    print(json.dumps([config, workdir, mode, flags.FLAGS.input]))


if __name__ == "__main__":
    command_line.run(main, modes=("train", "evaluate"), bare_modes=("convert",))
'''.replace("\\\\", "\\")

FULL = {
    "seed": 0,
    "flag": False,
    "name": "digits",
    "sizes": [8, 8],
    "supernet": {"num_cells": 3, "learning_rate": 0.1, "inner": {}},
}
SHORT = """
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict({"space": "nasbench201", "variants": ("thesis",), "name": "x"})
    config.table = ""
    config.search = {"data_sets": {"a": {}}, "settings": {"b": {}}}
    config.search.settings.b.table = config.get_ref("table")
    return config
"""
"""What a file for `launch/arch2vec.py` says; the rest has defaults."""
OWN = {
    "syntax": b"\n\nx = (1,\n",
    "indent": b"def get_config():\nreturn 1",
    "name": b"config = ml_collections.ConfigDict()",
    "module": b"import ml_colections",
    "bytes": b"\0",
}
USUAL = ("--config=configs/digits.py", "--workdir=runs/d")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkout")
    (root / "configs").mkdir()
    (root / "configs" / "digits.py").write_text(CONFIG)
    (root / "configs" / "plain.py").write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config():\n    return ConfigDict({'seed': 1, 'name': 'a'})"
    )
    (root / "configs" / "listed.py").write_text(
        "from ml_collections import ConfigDict\n"
        "PRESETS = {'full': 1, 'smoke': 2, 'wrong': None}\n"
        "def get_config(preset='full'):\n"
        "    return ConfigDict({'seed': 1 + PRESETS[preset], 'name': 'a'})"
    )
    (root / "configs" / "keyed.py").write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config(preset='full'):\n"
        "    return ConfigDict({'seed': {'full': 1}[preset], 'name': 'a'})"
    )
    (root / "configs" / "broken.py").write_text("def get_config():\n    return 1 / 0")
    (root / "configs" / "empty.py").write_text("x = 1")
    (root / "configs" / "odd.py").write_text("def get_config():\n    return {'a': 1}")
    (root / "script.py").write_text(SCRIPT)
    (root / "own").mkdir()
    (root / "own" / "short.py").write_text(SHORT)
    for name, content in OWN.items():
        (root / "own" / f"{name}.py").write_bytes(content)
    return root


@pytest.fixture(scope="module")
def launch(checkout):
    with script_server.Server(["ml_collections", "nasjax.jobs"]) as server:
        yield lambda *arguments: server.run(["script.py", *arguments], checkout)


def assert_one_line(done, problem, status=1):
    assert done.returncode == status, done.stderr
    assert done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert problem in done.stderr
    return done.stderr


def assert_calls(done, config=FULL, workdir="runs/d", mode="train", source=""):
    assert done.returncode == 0 and done.stderr == ""
    assert json.loads(done.stdout) == [config, workdir, mode, source]


def test_main_gets_plain_values(launch):
    assert_calls(launch(*USUAL))
    smoke = {**FULL, "supernet": {**FULL["supernet"], "num_cells": 1}}
    assert_calls(
        launch("--config", "configs/digits.py:smoke", "--workdir", "runs/d"), smoke
    )


def test_overrides_of_every_type(launch):
    done = launch(
        *USUAL,
        "--mode=evaluate",
        "--input=x.tar",
        "--config.seed=5",
        "--config.flag",
        "--config.name",
        "other",
        "--config.sizes=(4, 2, 1)",
        "--config.supernet.learning_rate=2",
        "--config.supernet.num_cells=7",
    )
    supernet = {"num_cells": 7, "learning_rate": 2.0, "inner": {}}
    config = {
        "seed": 5,
        "flag": True,
        "name": "other",
        "sizes": [4, 2, 1],
        "supernet": supernet,
    }
    assert_calls(done, config, mode="evaluate", source="x.tar")
    assert type(json.loads(done.stdout)[0]["supernet"]["learning_rate"]) is float


def test_what_a_file_leaves_out_can_be_given(launch):
    done = launch(
        "--config=own/short.py",
        "--config.epochs=3",
        "--config.table=FILE",
        "--config.settings.thesis.kl_weight=0.5",
        "--config.search.data_sets.a.queries=9",
        "--workdir=runs/d",
    )
    assert (done.returncode, done.stderr) == (0, "")
    config = json.loads(done.stdout)[0]
    given = {"space": "nasbench201", "variants": ["thesis"], "epochs": 3}
    given["settings"] = {"thesis": {"kl_weight": 0.5}}
    given["search"] = {"data_sets": {"a": {"queries": 9}}}
    given["search"]["settings"] = {"b": {"table": "FILE"}}
    own = {"name": "x", "table": "FILE"}
    assert config == defaults.fill("launch/arch2vec.py", given) | own
    listed = launch("--config=own/short.py", "--help").stdout
    assert "  --config.analysis.walk_length=16\n" in listed
    assert "  --config.settings.gae.width=None\n" in listed


SHORT_MISTAKES = [
    ("--config.analysis.walk_lenght=3", "(did you mean 'analysis.walk_length'?)"),
    ("--config.settings.gae.width=x", "'settings.gae.width' takes int (default null)"),
    ("--config.epochs=1.5", "config key 'epochs' takes int (default 10), not '1.5'"),
    ("--config.analysis=3", "'analysis' is a group: give its keys, as --config.ana"),
]


@pytest.mark.parametrize("argument, problem", SHORT_MISTAKES)
def test_a_mistake_in_what_a_file_leaves_out_is_one_line(argument, problem, launch):
    done = launch("--config=own/short.py", "--workdir=runs/d", argument)
    assert_one_line(done, problem)


def test_a_home_folder_is_expanded(launch):
    done = launch(USUAL[0], "--workdir=~/runs")
    assert_calls(done, workdir=str(pathlib.Path("~/runs").expanduser()))


def test_a_bare_mode_needs_neither_config_nor_workdir(launch):
    assert_calls(launch("--mode=convert", "--input=x"), {}, "", "convert", "x")
    assert_calls(launch("--mode=convert", *USUAL), mode="convert")


DISK = ["ENOSPC", "EACCES", "ELOOP"]


@pytest.mark.parametrize("name", DISK)
def test_what_the_disk_refuses_is_one_line(name, launch):
    number = getattr(errno, name)
    line = assert_one_line(launch(*USUAL, f"--config.name=disk {number}"), "runs/d/x:")
    assert os.strerror(number) in line and "; " in line


MISTAKES = [
    ("--config.supernet.num_cell=3", "'supernet.num_cell' (did you mean 'supernet.nu"),
    ("--config.num_cells=3", "'num_cells' (did you mean 'supernet.num_cells'?)"),
    ("--config.learning_rat=3", "(did you mean 'supernet.learning_rate'?)"),
    ("--config.zzz=3", "unknown config key 'zzz'; --help with the same --config"),
    ("--noconfig.flg", "unknown config key 'flg' (did you mean 'flag'?)"),
    ("--config.seed.x=3", "unknown config key 'seed.x' (did you mean 'seed'?)"),
    ("--config.supernet={'a': 1}", "'supernet' is a group: give its keys, as --co"),
    ("--config.seed=1.5", "config key 'seed' takes int (default 0), not '1.5'"),
    ("--config.seed=many", "config key 'seed' takes int (default 0), not 'many'"),
    ("--config.flag=perhaps", "config key 'flag' takes bool (default false), not"),
    ("--config.supernet.learning_rate=x", "takes float (default 0.1), not 'x'"),
    ("--config.sizes=a", "'sizes' takes a tuple of int (default (8, 8)), not 'a'"),
    ("--config.sizes=(1, 2.5)", "'sizes' takes a tuple of int (default (8, 8)), not"),
    ("--mode=evaluat", "--mode=evaluat: value should be one of <train|evaluate|conv"),
    ("--workdr=x", "unknown flag --workdr (did you mean 'workdir'?)"),
    ("train", "unexpected argument 'train'"),
    ("--workdir=", "--workdir is empty"),
    ("--flagfile=none.txt", "none.txt"),
]


@pytest.mark.parametrize("argument, problem", MISTAKES)
def test_a_mistake_is_one_line(argument, problem, launch):
    assert_one_line(launch(*USUAL, argument), problem)


FILES = [
    ("configs/digit.py", "no config file configs/digit.py (did you mean 'configs/dig"),
    ("digits.py", "there are: configs/broken.py, configs/digits.py, configs/empty.py"),
    ("configs", "no config file configs"),
    ("", "--config names no file; there are: configs/broken.py"),
    ("configs/digits.py:smok", "unknown preset 'smok': presets are full, smoke"),
    ("configs/digits.py:", "unknown preset '': presets are full, smoke"),
    ("configs/listed.py:smok", "'smok' (did you mean 'smoke'?); known: full, smoke,"),
    ("configs/keyed.py:smoke", "configs/keyed.py: unknown preset 'smoke'"),
    ("configs/plain.py:smoke", "configs/plain.py has no presets; leave out :smoke"),
    ("configs/empty.py", "configs/empty.py has no function get_config"),
    ("configs/odd.py", "configs/odd.py: get_config returns no ConfigDict"),
    ("configs/broken.py", "error: configs/broken.py, line 2: ZeroDivisionError: divi"),
    ("configs/listed.py:wrong", "error: configs/listed.py, line 4: TypeError: unsup"),
    ("own/syntax.py", "error: own/syntax.py, line 3: SyntaxError: '(' was never clos"),
    ("own/indent.py", "error: own/indent.py, line 2: IndentationError: expected an"),
    ("own/name.py", "error: own/name.py, line 1: NameError: name 'ml_collections'"),
    ("own/module.py", "error: own/module.py, line 1: ModuleNotFoundError: No module"),
    ("own/bytes.py", "error: own/bytes.py"),
    ("own/none.py", "there are: configs/broken.py"),
]


@pytest.mark.parametrize("file, problem", FILES)
def test_a_wrong_config_file_is_one_line(file, problem, launch):
    assert_one_line(launch(f"--config={file}", "--workdir=runs/d"), problem)


def test_missing_flags_are_one_line_with_an_example(launch):
    for given, missing in [(1, "--config"), (0, "--workdir")]:
        line = assert_one_line(launch(USUAL[given]), f"{missing} is missing")
        assert "python script.py --config=configs/FILE.py --workdir=FOLDER" in line
    assert_one_line(
        launch("--config.seed=3", "--workdir=d"), "--config.seed=3 needs --config=FILE"
    )
    assert_calls(launch("--config.seed=3", *USUAL), {**FULL, "seed": 3})


def test_an_error_of_the_run_is_one_line(launch):
    line = assert_one_line(launch(*USUAL, "--config.name=mistake"), "")
    assert line == "error: data/x.bin is truncated; get it again\n"


def test_an_interrupt_is_one_line(launch):
    done = launch(*USUAL, "--config.name=interrupt")
    assert assert_one_line(done, "", status=130) == "interrupted\n"


def test_a_warning_is_one_plain_line(launch):
    done = launch(*USUAL, "--config.name=warning")
    assert (done.returncode, done.stderr) == (0, "warning: x is odd\n")


def test_a_terminated_script_says_so(launch):
    line = assert_one_line(launch(*USUAL, "--config.name=terminate"), "", status=143)
    assert line == "stopped; the same command continues what was saved\n"


def test_bugs_keep_their_traceback(launch):
    done = launch(*USUAL, "--config.name=bug")
    assert done.returncode == 1 and done.stderr.startswith("Traceback")
    assert done.stderr.endswith("RuntimeError: a bug\n")


@pytest.mark.parametrize("flag", ["--help", "-h", "--helpshort"])
def test_help_shows_the_script_its_flags_and_how_to_override(flag, launch):
    done = launch(flag)
    assert done.returncode == 0 and done.stderr == ""
    for text in (
        "Trains a thing.",
        "--config: FILE or FILE:PRESET",
        "--workdir: Folder",
        "--mode: <train|evaluate|convert>",
        "--input: A file to read.",
        "--config.GROUP.KEY=VALUE",
    ):
        assert text in done.stdout
    assert "--verbosity" not in done.stdout


def test_help_with_a_config_lists_its_keys(launch):
    done = launch("--config=configs/digits.py:smoke", "--help")
    assert done.returncode == 0
    assert "  --config.supernet.num_cells=1\n" in done.stdout
    assert "  --config.name='digits'\n" in done.stdout


def test_one_mode_makes_no_flag(checkout, launch):
    whole = (checkout / "script.py").read_text()
    try:
        (checkout / "script.py").write_text(
            whole.replace(', modes=("train", "evaluate"), bare_modes=("convert",)', "")
        )
        assert_calls(launch(*USUAL))
        assert_one_line(launch(*USUAL, "--mode=train"), "unknown flag --mode")
    finally:
        (checkout / "script.py").write_text(whole)


CHECKPOINTING = """
import command_line


def main(config, workdir, mode):
    import jax.numpy as jnp

    from nasjax.core import checkpoint, metric_log

    with metric_log.MetricLog(workdir, resume_step=None) as log:
        log.write(0, {"loss": 1.0}, stage="s")
    with checkpoint.Checkpoints(f"{workdir}/checkpoints") as checkpoints:
        for step in range(2):
            checkpoints.save(step, {"x": jnp.ones(3)})
        print(checkpoints.restore({"x": jnp.ones(3)})[0])


command_line.run(main)
"""


def test_checkpoints_and_logs_are_silent_under_a_launch_script(checkout, launch):
    whole = (checkout / "script.py").read_text()
    try:
        (checkout / "script.py").write_text(CHECKPOINTING)
        done = launch(USUAL[0], f"--workdir={checkout / 'runs'}")
    finally:
        (checkout / "script.py").write_text(whole)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
