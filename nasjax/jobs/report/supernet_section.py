"""HM-NAS: errors and sizes of the three stages, curves, and the cells that are left."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nasjax.core import metric_log
from nasjax.experiments import plots
from nasjax.jobs.report import reproduction
from nasjax.jobs.report.parts import Headline, Part, attempt, number, tables
from nasjax.jobs.report.workdirs import Workdir
from nasjax.report import page

if TYPE_CHECKING:
    from nasjax.report.plot import Plot

STAGES = {"supernet": "supernet", "masked": "masked", "finetuned": "fine-tuned"}


def build(found: Workdir) -> Part:
    """The section of one run of HM-NAS."""
    outcome, config = found.outcome, found.config
    stages, data = outcome["stages"], config["data"]["name"]
    known = sorted(stages, key=lambda name: list(STAGES).index(name))
    rows = [
        [
            STAGES[name],
            number(100 * (1 - row["test_accuracy"]), 2),
            number(row["params"], 0),
            number(row["macs"], 0),
            number(100 * (1 - row["params"] / row["counts"]["params"]["dense"]), 1),
        ]
        for name, row in ((name, stages[name]) for name in known)
    ]
    columns = (
        "network",
        "test error (%)",
        "parameters",
        "MACs",
        "parameters saved (%)",
    )
    alive = (
        f"{100 * outcome['operations_alive']:.1f} % of the operations, "
        f"{100 * outcome['edges_alive']:.1f} % of the edges and "
        f"{100 * outcome['weights_alive']:.1f} % of the weights are left. One run, "
        f"seed {config['seed']}: it has no interval; other seeds differ."
    )
    pieces = [
        page.paragraph(alive),
        page.table(columns, rows),
        attempt(found.folder, lambda: _curves(found)),
        page.heading(3, "What is left of the cells"),
        *(
            attempt(found.folder, lambda name=name, cell=cell: _cell(name, cell))  # type: ignore[misc]
            for name, cell in outcome["genotype"]["cells"].items()
        ),
        page.heading(3, "Beside the thesis"),
        *tables(outcome["tables"]),
        *reproduction.pieces(found),
    ]
    last = stages["finetuned"]
    error = 100 * (1 - last["test_accuracy"])
    headline = Headline(
        f"HM-NAS, {data}",
        f"test error {error:.2f} % with {last['params']:,} parameters",
        "one run has none",
        f"seed {config['seed']}",
        f"supernet: {100 * (1 - stages['supernet']['test_accuracy']):.2f} %",
    )
    return Part(f"HM-NAS on {data}", headline, pieces)


def _curves(found: Workdir) -> "Plot":
    # Stages are logged by other names than the networks that they end with.
    fresh = {}
    if found.config["masking"]["recalibration_batches"]:
        fresh["masking"] = float(found.outcome["stages"]["masked"]["test_accuracy"])
    made: Plot = plots.supernet_plot(metric_log.read(found.folder), recalibrated=fresh)
    return made


def _cell(name: str, cell: Mapping[str, Any]) -> "Plot":
    made: Plot = plots.cell_plot(name, cell)
    return made
