"""How a run is made again: its configuration as a file, the command, the versions."""

import pprint
from typing import Any

from nasjax.jobs.report.workdirs import Workdir
from nasjax.report import page
from nasjax.report.page import Markup

CONFIG_FILE = "config.py"


def config_text(found: Workdir) -> str:
    """A configuration file of a run, as `--config` takes it."""
    values = pprint.pformat(dict(found.config), width=86)
    return (
        '"""The configuration of a run, with every default written out."""\n\n'
        f"import ml_collections\n\nCONFIG = {values}\n\n\n"
        "def get_config() -> ml_collections.ConfigDict:\n"
        "    return ml_collections.ConfigDict(CONFIG)\n"
    )


def pieces(found: Workdir) -> list[Markup]:
    """The end of every section."""
    made = [page.heading(3, "Run it again")]
    if found.command:
        made += [
            page.block(f"{found.command} --config={CONFIG_FILE} --workdir=runs/again"),
            page.details(
                page.join([page.code(CONFIG_FILE), " of this run"]),
                page.block(config_text(found)),
            ),
        ]
    facts: dict[str, Any] = {"folder": page.code(found.name)}
    seconds = found.outcome.get("seconds")
    if isinstance(seconds, int | float):
        facts["took"] = f"{seconds:,.0f} s"
    versions = found.outcome.get("versions", {})
    facts["versions"] = ", ".join(f"{name} {v}" for name, v in versions.items()) or None
    return [*made, page.facts(facts)]
