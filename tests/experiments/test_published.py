"""Published numbers stand beside results of their own conditions only, and once."""

import ast
import importlib.util
import pathlib
import types

import filled
import pytest
import shared

from nasjax.experiments import published
from nasjax.jobs.hmnas import tables
from nasjax.jobs.train_architecture import run

GROUPS = [
    pytest.param(table, group, id=f"{table}-{number}")
    for table, groups in published.TABLES.items()
    for number, group in enumerate(groups)
]


def facts(group):
    return {name: allowed[0] for name, allowed in group.conditions.items()}


@pytest.mark.parametrize(("table", "group"), GROUPS)
def test_a_number_holds_under_every_condition_and_no_other(table, group):
    known = facts(group)
    assert group.numbers and len(known) >= 3
    for (row, column), number in group.numbers.items():
        assert published.find(table, row, column, known) == number
        for name, allowed in group.conditions.items():
            for value in allowed:
                assert published.find(table, row, column, known | {name: value})
            missing = {key: value for key, value in known.items() if key != name}
            assert published.find(table, row, column, missing) is None
            for other in (None, "another", -1, (0, 0.0), ()):
                if other in allowed:
                    continue
                changed = known | {name: other}
                found = published.find(table, row, column, changed)
                # Only where the other value is a condition of another group.
                assert found is None, (name, other)


@pytest.mark.parametrize(
    ("table", "row", "column", "change", "name"),
    [
        # What was confused: epochs of CIFAR-10 on CIFAR-100, a first-order run, a part
        # of the images, a shorter training, rewards of NAS-Bench-101 after 36 epochs.
        ("3.3", "RE", "test", 12, "reward_epoch"),
        ("2.3", "finetuned", "error", "first", "order"),
        ("2.3", "finetuned", "error", 10_000, "train_images"),
        ("2.3", "finetuned", "error", (10, 4, 12), "epochs"),
        ("3.2", "arch2vec-RL", "test", 36, "reward_epoch"),
        ("3.2", "arch2vec-RL", "test", True, "listed"),
        ("3.2", "Random Search", "test", (400, 0.0), "budget"),
    ],
)
def test_conditions_that_were_confused(table, row, column, change, name):
    for group in published.TABLES[table]:
        known = facts(group)
        if (row, column) not in group.numbers or known.get("reward_epoch") == 12:
            continue
        assert published.value(table, row, column, known) is not None
        assert published.value(table, row, column, known | {name: change}) is None


def config(folder, name):
    path = shared.ROOT / "configs" / folder / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"config_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return filled.fill(module.get_config())


def test_the_full_second_order_run_is_that_of_table_2_3():
    given = config("", "cifar10")

    def known(order="exact", images=50_000, **changes):
        stages = {
            key: types.SimpleNamespace(**given[key])
            for key in ("training", "masking", "finetuning")
        }
        stages["training"].order = order
        net = types.SimpleNamespace(**given["supernet"], image_shape=(32, 32, 3))
        split = types.SimpleNamespace(
            name="cifar10", train=range(images), test=range(10_000)
        )
        experiment = types.SimpleNamespace(
            batch_size=given["batch_size"],
            net=net,
            dataset=split,
            settings=types.SimpleNamespace(**stages),
        )
        facts = tables.conditions(experiment) | changes
        return published.value("2.3", "finetuned", "error", facts)

    assert known() == 2.41
    assert known(order="first") is None and known(images=10_000) is None
    assert known(epochs=(10, 4, 12)) is None


def test_the_full_training_of_a_genotype_is_that_of_tables_3_4_and_4_2(monkeypatch):
    images = types.SimpleNamespace(train=range(50_000))
    module = run
    monkeypatch.setattr(module.architecture, "image_splits", lambda _: images)
    given = config("train", "darts_cifar10")
    protocol = module.protocols.read(given)
    settings = {**protocol.network, "epochs": protocol.epochs}
    facts = module._conditions(protocol, settings)
    assert published.value("4.2", "DARTS", "error", facts) == 2.76
    assert published.value("3.4", "DARTS", "error", facts) == 2.71
    short = module._conditions(protocol, settings | {"epochs": 10})
    assert published.value("4.2", "DARTS", "error", short) is None


def test_no_group_of_a_table_contradicts_another():
    for table, groups in published.TABLES.items():
        for group in groups:
            for row, column in group.numbers:
                found = [
                    other
                    for other in groups
                    if (row, column) in other.numbers
                    and published._holds(other.conditions, facts(group))
                ]
                assert found == [group], (table, row, column)


def test_published_numbers_are_written_down_once():
    """No other job holds more than three of a table's numbers as constants."""
    known = {
        number.value
        for groups in published.TABLES.values()
        for group in groups
        for number in group.numbers.values()
        if number.value != round(number.value, 1)
    }
    jobs = pathlib.Path(shared.ROOT) / "nasjax" / "jobs"
    for file in jobs.glob("*.py"):
        if file.name == "published.py":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        constants = {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, float)
        }
        assert len(constants & known) < 3, file
