"""NAS-Bench-x11 (chapter 5): tables, the embedded benchmark, and surrogates.

`convert` and `query` work on tables; `build` trains the embedded benchmark and
`install` puts it into the package; `fit`, `evaluate` and `sample` make, judge and use
surrogates of learning curves, `verify` trains the best of an embedded benchmark's;
`import` reads the official ones.
"""

import os
import pathlib
from typing import Any

import numpy as np

from nasjax.core import (
    atomic_file,
    compilation,
    errors,
    malloc,
    registry,
    result,
    settings,
    workdir,
)
from nasjax.experiments import embedded_benchmarks
from nasjax.jobs import config_door
from nasjax.jobs.nasbench_x11 import build as pieces
from nasjax.jobs.nasbench_x11 import surrogates, verify
from nasjax.jobs.nasbench_x11.settings import Build, Fits
from nasjax.nasbench import sampled_digits
from nasjax.nasbench.readers import official_surrogates
from nasjax.nasbench.reliability import reliability
from nasjax.nasbench.surrogate import storage
from nasjax.nasbench.table import TabularBenchmark


def run(config: dict[str, Any], folder: str, mode: str) -> dict[str, Any]:
    """Runs a mode that needs a configuration and a working directory.

    Args:
      config: as in `configs/nasbench_x11/`.
      folder: working directory.
      mode: `"fit"`, `"evaluate"`, `"sample"`, `"verify"`, `"build"` or `"install"`.

    Raises:
      NasjaxError: bad configuration, data or working directory.
    """
    job = registry.find("mode", MODES, mode)
    path = config_door.working_directory(folder)
    command = "launch/nasbench_x11.py"
    if mode in ("build", "install"):
        return job(config_door.enter(f"{command} --mode=build", config), path)
    config = config_door.enter(command, config)
    config.pop("build", None)  # what a benchmark is built of is nothing to its fits
    compilation.enable_cache()
    malloc.keep_memory()
    return job(config, path)


def build(config: dict[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Trains an embedded benchmark.

    Args:
      config: `build`, the fields of `settings.Build`.
      folder: working directory.
    """
    wanted = _settings(config)
    file = embedded_benchmarks.get(wanted.benchmark).file
    workdir.claim(folder, {"benchmark": file.name})
    output = pieces.build(folder, wanted)
    table = file.load(output)
    print(f"{output}: seeds {', '.join(map(str, table.seeds))}")
    outcome = {
        "output": output.name,
        "seeds": list(table.seeds),
        **_facts(table, output.stat().st_size),
        "config": dict(config),
        "versions": result.versions(),
    }
    result.write(folder / "result.json", outcome)
    return outcome


def _facts(table: TabularBenchmark, size: int) -> dict[str, Any]:
    """What the documentation says of the embedded benchmark."""
    valid, test = (
        np.asarray(table.curves[name].values)[..., -1]
        for name in ("valid_accuracy", "test_accuracy")
    )
    facts: dict[str, Any] = {
        "architectures": len(table.archs),
        "trainings": int(np.isfinite(valid).sum()),
        "megabytes": size / 1e6,
    }
    if table.seconds is not None:
        facts["cpu_seconds_a_training"] = float(np.nanmean(table.seconds.values))
    complete = np.isfinite(valid).all(axis=1)  # trained with every seed
    if valid.shape[1] > 1 and complete.sum() > 1:
        scores = reliability(valid[complete], by=test[complete])
        facts["reliability"] = scores._asdict()
    return facts


def install(config: dict[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Puts what `build` or `fit` made in `folder` into the package.

    Of a fit that is the surrogate `config.sample.surrogate`.
    """
    name = _settings(config).benchmark
    if (folder / surrogates.SURROGATES).is_dir():
        return _install_surrogate(config, folder, name)
    trainings = pieces.install(folder, name)
    file = embedded_benchmarks.get(name).file.installed
    seeds = sorted(set(trainings.seed.tolist()))
    print(f"{file}: {len(trainings.row)} trainings, seeds {', '.join(map(str, seeds))}")
    return {"output": os.fspath(file), "seeds": seeds}


def _install_surrogate(
    config: dict[str, Any], folder: pathlib.Path, name: str
) -> dict[str, Any]:
    if name not in sampled_digits.SAMPLED:
        raise errors.ConfigError(
            f"config.build.benchmark is {name}: only "
            f"{', '.join(sampled_digits.SAMPLED)} have a surrogate in the package"
        )
    filled = config_door.enter("launch/nasbench_x11.py", config)
    fits = config_door.read(Fits, filled)
    source = surrogates.saved(folder, fits, fits.sample.surrogate)
    surrogate, sampled = storage.load(source), sampled_digits.SAMPLED[name]
    if (surrogate.space, surrogate.features) != (sampled.space, sampled.features):
        raise errors.DataError(
            f"{source}: a surrogate of {surrogate.space or 'features'} that reads "
            f"{surrogate.features}, not of {sampled.space} with {sampled.features}"
        )
    with atomic_file.replacing(sampled.surrogate_file) as temporary:
        surrogate = storage.save(temporary, surrogate, single=True)
    print(f"{sampled.surrogate_file}: {surrogate.version}")
    return {"output": os.fspath(sampled.surrogate_file), "version": surrogate.version}


def _settings(config: dict[str, Any]) -> Build:
    section = config.get("build")
    if section is None:
        raise errors.ConfigError("this configuration has no section `build`")
    return settings.read(Build, "build", section)


def import_official(input: str, output: str, runtime: str = "") -> None:
    """Imports an official surrogate, prints what it is and writes our file.

    Args:
      input: folder or zip of one benchmark of nas-bench-x11 or nasbench301.
      output: the file to write.
      runtime: nasbench301's model of training seconds, "" for none.

    Raises:
      ConfigError: a path is missing.
      DataError: the input is of no known form, damaged or unsafe.
    """
    for name, value in (("input", input), ("output", output)):
        if not value:
            raise errors.ConfigError(f"--{name} is missing")
    atomic_file.require_writable(output)
    surrogate = storage.save(output, official_surrogates.read(input, runtime))
    metric, curve_model = next(iter(surrogate.models.items()))
    print(
        f"{output}: {surrogate.space}, {metric} of {len(surrogate.epochs)} epochs, "
        f"{len(curve_model.members)} distinct members; {surrogate.version}"
    )


MODES = {
    "fit": surrogates.fit,
    "evaluate": surrogates.evaluate,
    "sample": surrogates.sample,
    "verify": verify.verify,
    "build": build,
    "install": install,
}
