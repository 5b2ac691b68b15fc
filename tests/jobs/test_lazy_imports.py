"""A job that draws and stores at its end does not load for that at its start."""

import subprocess
import sys

PROGRAM = """
import pkgutil, sys
import nasjax.jobs
for module in pkgutil.walk_packages(nasjax.jobs.__path__, "nasjax.jobs."):
    __import__(module.name)
    for slow in ("matplotlib", "tensorboardX", "orbax.checkpoint", "grain"):
        if slow in sys.modules:
            sys.exit(f"{module.name} imports {slow}")
print(len([name for name in sys.modules if name.startswith("nasjax.jobs.")]))
"""


def test_no_job_loads_what_it_needs_at_its_end_only():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20
