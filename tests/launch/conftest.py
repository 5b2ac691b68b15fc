"""One process that has imported every launch script's modules, and forks for a call."""

import pytest
import script_server

MODULES = (
    "ml_collections",
    "nasjax.jobs.arch2vec.pretrain",
    "nasjax.jobs.hmnas.modes",
    "nasjax.jobs.search.trials",
    "nasjax.jobs.train_architecture.run",
)


@pytest.fixture(scope="session")
def script():
    """`script("launch/NAME.py", ARGUMENT, ...)` runs it in the checkout."""
    with script_server.Server(MODULES) as server:
        yield lambda *arguments: server.run(arguments)
