import json
import struct

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from nasjax.core import metric_log


def read_rows(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def without_time(rows):
    return [{k: v for k, v in row.items() if k != "time"} for row in rows]


def read_events(workdir):
    """Events of all files in the order TensorBoard reads them."""
    events = []
    for path in sorted((workdir / "tensorboard").iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            events.append(event_pb2.Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return events


def scalars(workdir):
    return [
        (event.step, value.tag, value.simple_value)
        for event in read_events(workdir)
        for value in event.summary.value
    ]


def test_rows_and_scalars_are_written(tmp_path):
    with metric_log.MetricLog(tmp_path / "w", resume_step=None) as log:
        log.write(1, {"loss": jnp.float32(0.1), "epoch": 1}, stage="supernet")
        assert len(read_rows(tmp_path / "w")) == 1  # at once, not at the end
        log.write(2, {"loss": np.float64(0.1)}, stage="masked")
    first, second = read_rows(tmp_path / "w")
    assert list(first) == ["stage", "step", "time", "loss", "epoch"]
    assert first["stage"] == "supernet" and first["step"] == 1 and first["time"] > 1e9
    assert np.float32(first["loss"]) == np.float32(0.1) and first["epoch"] == 1
    assert second["loss"] == 0.1
    assert scalars(tmp_path / "w") == [
        (1, "supernet/loss", pytest.approx(0.1)),
        (1, "supernet/epoch", 1.0),
        (2, "masked/loss", pytest.approx(0.1)),
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_null(value, tmp_path):
    with metric_log.MetricLog(tmp_path, resume_step=None) as log:
        log.write(0, {"loss": jnp.float32(value)}, stage="s")
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    row = json.loads(line, parse_constant=lambda name: pytest.fail(name))
    assert row["loss"] is None
    np.testing.assert_equal(scalars(tmp_path)[0][2], value)


def test_a_resumed_log_equals_an_uninterrupted_one(tmp_path):
    def write(workdir, steps, resume_step):
        with metric_log.MetricLog(workdir, resume_step=resume_step) as log:
            for step in steps:
                log.write(step, {"loss": 1 / step}, stage="s")
                log.write(step, {"accuracy": step / 9}, stage="s")

    write(tmp_path / "whole", range(1, 7), None)
    write(tmp_path / "cut", range(1, 5), None)
    with open(tmp_path / "cut" / "metrics.jsonl", "a") as file:
        file.write('{"stage": "s", "step": 3, "lo')  # killed while writing
    write(tmp_path / "cut", range(3, 7), 2)
    cut, whole = read_rows(tmp_path / "cut"), read_rows(tmp_path / "whole")
    assert without_time(cut) == without_time(whole)
    starts = [e for e in read_events(tmp_path / "cut") if e.HasField("session_log")]
    assert [event.step for event in starts] == [0, 3]  # TensorBoard hides steps >= 3


@pytest.mark.parametrize("torn", [b'{"stage": "s", "step": 1}', b"\xff\n", b"3\n"])
def test_a_torn_line_is_dropped_and_the_next_row_stands_alone(torn, tmp_path):
    whole = b'{"stage": "s", "step": 1, "loss": 2.0}\n'
    (tmp_path / "metrics.jsonl").write_bytes(whole + torn)
    with metric_log.MetricLog(tmp_path, resume_step=5) as log:
        log.write(6, {"loss": 1.0}, stage="s")
    assert [row["step"] for row in read_rows(tmp_path)] == [1, 6]


def test_a_run_that_starts_anew_drops_old_rows(tmp_path):
    for value in (1.0, 2.0):
        with metric_log.MetricLog(tmp_path, resume_step=None) as log:
            log.write(0, {"loss": value}, stage="s")
    assert [row["loss"] for row in read_rows(tmp_path)] == [2.0]


def test_step_zero_can_be_resumed_from(tmp_path):
    with metric_log.MetricLog(tmp_path, resume_step=None) as log:
        log.write(0, {"loss": 1.0}, stage="s")
        log.write(1, {"loss": 2.0}, stage="s")
    metric_log.MetricLog(tmp_path, resume_step=0).close()
    assert [row["step"] for row in read_rows(tmp_path)] == [0]


def test_a_metric_named_like_a_field_is_refused(tmp_path):
    with metric_log.MetricLog(tmp_path, resume_step=None) as log:
        with pytest.raises(ValueError, match="'step'"):
            log.write(0, {"step": 1.0}, stage="s")
    assert read_rows(tmp_path) == []
