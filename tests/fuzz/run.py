"""Feeds mutants of files to every reader and counts what is no clean refusal.

    python tests/fuzz/run.py --mutants=10000             # all readers
    python tests/fuzz/run.py --mutants=100 --targets=tables,images

A mutant may be read, or be refused with a `NasjaxError` of one line. Everything else is
a failure: another exception, a signal, 5 seconds of CPU time, or more than 1 GB of
memory above what the process had. Readers run in child processes, which a failure may
end.
"""

import argparse
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings

TESTS = pathlib.Path(__file__).parents[1]
SECONDS = 5
MEMORY = 1 << 30
_ERRORS = ("crash", "hang", "memory", "message")


def limit_memory() -> None:
    """No more address space than this process has now, and 1 GB."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def judge(read, content: bytes, folder: str) -> str:
    """`"read"`, `"refused"`, or what is wrong and the traceback."""
    from nasjax.core.errors import NasjaxError

    try:
        read(content, folder)
    except NasjaxError as error:
        cause, text = error, str(error)
        while cause is not None:
            if isinstance(cause, MemoryError):
                return f"memory: {text}"
            cause = cause.__cause__
        if "\n" in text or len(text) > 1000 or not text.isprintable():
            return f"message: {text[:2000]!r}"
        return "refused"
    except BaseException:
        return f"crash: {traceback.format_exc()[-3000:]}"
    return "read"


def child(names: list[str], first: int, last: int, log: pathlib.Path) -> None:
    """Runs mutants `first` to `last` of each reader; a line of `log` for each."""
    sys.path.insert(0, str(TESTS))
    warnings.simplefilter("ignore")
    os.environ.setdefault("NASJAX_PROGRESS", "")
    from absl import logging
    from fuzz import mutations, targets

    logging.set_verbosity(logging.ERROR)  # damaged chunks are told and done again

    made = {name: targets.TARGETS[name]() for name in names}
    with tempfile.TemporaryDirectory() as folder, log.open("a") as lines:
        for seeds, read in made.values():
            for seed in seeds:
                judge(read, seed, folder)  # warm: imports and compilations
        limit_memory()
        for name, (seeds, read) in made.items():
            for number in range(first, last):
                lines.write(f"{name} {number} ")
                lines.flush()
                content = mutations.mutate(seeds, name, number)
                signal.setitimer(signal.ITIMER_PROF, SECONDS)  # ends the process
                began = time.process_time()
                verdict = judge(read, content, folder)
                seconds = time.process_time() - began
                signal.setitimer(signal.ITIMER_PROF, 0)
                lines.write(json.dumps([verdict, round(seconds, 3)]) + "\n")
                lines.flush()


def run(names: list[str], mutants: int) -> dict[str, dict]:
    """Counts and failures of each reader."""
    results = {name: {"read": 0, "refused": 0, "slowest": 0.0} for name in names}
    failures: dict[str, list] = {name: [] for name in names}
    todo = [(list(names), 0, mutants)]
    while todo:
        some, first, last = todo.pop()
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / "log"
            log.touch()
            arguments = [f"--child={','.join(some)}", f"--log={log}"]
            arguments += [f"--first={first}", f"--last={last}"]
            status = subprocess.run(
                [sys.executable, __file__, *arguments],
                stderr=subprocess.PIPE,
                text=True,
            )
            lines = log.read_text().splitlines()
        name, number = "", first
        for line in lines:
            name, number, *rest = line.split(" ", 2)
            if rest and rest[0]:
                verdict, seconds = json.loads(rest[0])
                kind = verdict.split(":")[0]
                results[name]["slowest"] = max(results[name]["slowest"], seconds)
                if kind in ("read", "refused"):
                    results[name][kind] += 1
                else:
                    failures[name].append([int(number), verdict])
        if status.returncode:
            if not lines:
                raise RuntimeError(f"{some}: {status.stderr[-3000:]}")
            hang = status.returncode == -signal.SIGPROF
            kind = "hang" if hang else f"crash: signal {-status.returncode}"
            failures[name].append([int(number), kind + status.stderr[-500:]])
            rest = some[some.index(name) + 1 :]
            if rest:
                todo.append((rest, first, last))
            if int(number) + 1 < last:
                todo.append(([name], int(number) + 1, last))
    return {
        name: {
            **results[name],
            "failures": len(failures[name]),
            "first": failures[name][:5],
        }
        for name in names
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mutants", type=int, default=10_000)
    parser.add_argument("--targets", default="")
    parser.add_argument("--child", default="")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=0)
    parser.add_argument("--log", default="")
    options = parser.parse_args()
    if options.child:
        log = pathlib.Path(options.log)
        child(options.child.split(","), options.first, options.last, log)
        return
    sys.path.insert(0, str(TESTS))
    from fuzz import targets

    names = options.targets.split(",") if options.targets else list(targets.TARGETS)
    for name in names:
        found = run([name], options.mutants)[name]
        print(
            json.dumps({"reader": name, "mutants": options.mutants, **found}),
            flush=True,
        )


if __name__ == "__main__":
    main()
