"""What a configuration of trainings says beside the protocol.

jax is not loaded: a command line lists the defaults at once.
"""

import dataclasses

from nasjax.core import errors

TABLES = ("3.4", "3.5", "4.2", "4.3")
"""Tables of the thesis that trainings are rows of; it prints no genotypes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trainings:
    """Which architectures are trained, and how often.

    Attributes:
      space: of the protocol.
      arch: an architecture in the notation of `space`, a file with one a line (empty
        lines and lines that begin with # do not count), or a word in
        `architectures.DRAWN`.
      seeds: each architecture is trained once with each.
      num_archs: where `arch` is "random".
      sample_seed: of what is drawn.
      epochs: of the schedule to train; 0: all.
      tables: numbers of tables that the trainings are rows of.
      label: name of the row there.
      searched: a file of cells that searches found, where `arch` is "nasbench111".
      table: of NAS-Bench-101, to search in, where there is no such file.
    """

    space: str
    arch: str
    seeds: tuple[int, ...] = (0,)
    num_archs: int = 1
    sample_seed: int = 0
    epochs: int = 0
    tables: tuple[str, ...] = ()
    label: str = ""
    searched: str = ""
    table: str = ""

    def __post_init__(self) -> None:
        seeds = self.seeds
        if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise errors.ConfigError(
                f"seeds={list(seeds)}: give at least one, none twice, none negative"
            )
        for table in self.tables:
            if table not in TABLES:
                raise errors.unknown_name("table", table, TABLES)
