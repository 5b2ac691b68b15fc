"""Settings of the whole suite, made before jax starts.

Every test process computes on one CPU thread, compiles without optimisation, shares one
compilation cache with its siblings and children, and treats implicit rank promotion as
an error.
"""

import os
import pathlib

import file_order
import pytest
import script_server

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(pathlib.Path(__file__).parents[1] / ".cache" / "xla"),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES", "none")
# Compiling takes most of the suite's time; what is compiled runs for milliseconds.
# A word that is no flag ends the list: what follows it is ignored without a message.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_multi_thread_eigen=false "
    "--xla_backend_optimization_level=0 "
    "--xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1",
)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"

JOBS = (
    "ml_collections",
    "nasjax.jobs.arch2vec.pretrain",
    "nasjax.jobs.hmnas.modes",
    "nasjax.jobs.nasbench_x11.modes",
    "nasjax.jobs.report.run",
    "nasjax.jobs.search.trials",
    "nasjax.jobs.train_architecture.run",
)
"""What launch scripts import."""


def pytest_addoption(parser: pytest.Parser) -> None:
    file_order.add_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Examples may take as long as a busy machine needs."""
    import hypothesis

    hypothesis.settings.register_profile("patient", deadline=None)
    hypothesis.settings.load_profile("patient")
    config.pluginmanager.register(file_order)


@pytest.fixture(scope="session")
def script():
    """`script("launch/NAME.py", ARGUMENT, ...)` runs it in the checkout."""
    with script_server.Server(JOBS) as server:
        yield lambda *arguments: server.run(arguments)
