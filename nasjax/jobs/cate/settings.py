"""What a configuration of CATE says: pre-training, quality of encodings, searches.

jax is not loaded: a command line lists the defaults at once.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nasjax.core import errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretraining:
    """Which variants are pre-trained, on what and how.

    Attributes:
      space: a key of `encoders.cate.forms.FORMS`.
      variants: names of encoders; one that is no key of CATE's `settings.VARIANTS` says
        in `settings` whose `variant` it changes. One with `encoder` there, such as
        arch2vec or dvae, is another of `encoders.learned`, to be compared with.
      seeds: of the pre-trainings; each has its own split, weights, pairs and noise.
      num_archs: architectures; 0: all of a space that is listed, 200,000 of others.
      held_out: part of them that is not trained on.
      epochs: passes over the pairs.
      batch_size: pairs a step.
      learning_rate: of AdamW after the warm-up.
      settings: by variant the changes of `encoders.cate.pretraining.configure`; of
        another encoder the options of `encoders.learned.fit`.
    """

    space: str
    variants: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    num_archs: int = 0
    held_out: float = 0.05
    epochs: int = 10
    batch_size: int = 1024
    learning_rate: float = 1e-3
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.variants:
            raise errors.ConfigError("variants is empty: name at least one")
        if (
            not self.seeds
            or min(self.seeds) < 0
            or len(set(self.seeds)) < len(self.seeds)
        ):
            raise errors.ConfigError(
                f"seeds = {list(self.seeds)}: name at least one, none negative, none "
                "twice"
            )


@dataclasses.dataclass(frozen=True)
class Quality:
    """How well accuracies are predicted from encodings.

    Attributes:
      benchmark: accuracies, as `nasbench.load` takes it.
      data_set: of a benchmark that has several.
      encodings: keys of `encoders.ENCODINGS`; also `one_hot` (genes) and
        `random_projection` of these.
      tables: by name a file of embeddings, or one a seed, such as arch2vec's.
      controls: encodings that the others are compared with.
      labels: how many architectures are labelled.
      num_draws: of labelled architectures.
      num_tested: architectures that are ranked in each.
      num_archs: architectures that are drawn from; 0: all that are embedded and known.
      seed: of the draws.
    """

    benchmark: str = ""
    data_set: str = ""
    encodings: tuple[str, ...] = ()
    tables: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    controls: tuple[str, ...] = ("one_hot", "random_projection")
    labels: tuple[int, ...] = (100, 1000)
    num_draws: int = 100
    num_tested: int = 1000
    num_archs: int = 20_000
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A configuration of `launch/cate.py`, but for its searches.

    Attributes:
      pretraining: of all seeds.
      quality: of encodings.
    """

    pretraining: Pretraining
    quality: Quality = Quality()
