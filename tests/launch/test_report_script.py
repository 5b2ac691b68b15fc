"""`launch/report.py` from the command line, as a user calls it."""

import pytest
import report_page


@pytest.fixture
def run(script):
    return lambda *arguments: script("launch/report.py", *arguments)


def test_a_folder_that_is_none_is_a_line_of_a_page(run, tmp_path):
    process = run(
        f"--workdirs={tmp_path}/a,{tmp_path}/b", f"--output={tmp_path}/r.html"
    )
    assert process.returncode == 0, process.stderr
    assert f"left out: {tmp_path}/a: there is no such folder" in process.stdout
    found = report_page.read(tmp_path / "r.html")
    assert f"{tmp_path}/b: there is no such folder" in found.text("p")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--workdirs=FOLDER"),
        (("--workdir=runs/a",), "unknown flag --workdir (did you mean 'workdirs'?)"),
        (("--config=configs/digits.py",), "unknown flag --config"),
        (("--workdirs=runs/a", "runs/b"), "unexpected argument 'runs/b'"),
        (("--workdirs=runs/a", "--output="), "--output=report.html"),
    ],
)
def test_bad_input_is_one_line_and_a_status(run, arguments, message, tmp_path):
    process = run(*arguments)
    assert process.returncode == 1
    assert message in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1


def test_help_lists_its_flags_and_no_configuration(run):
    process = run("--help")
    assert process.returncode == 0
    for flag in ("--workdirs", "--output", "--figures"):
        assert flag in process.stdout
    assert "--config" not in process.stdout
