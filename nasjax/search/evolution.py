"""Regularized (aging) evolution (Real et al., 2019)."""

import jax
import jax.numpy as jnp
from flax import struct

from nasjax.core import errors, sampling
from nasjax.core.types import Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.search.algorithm import SearchAlgorithm


class EvolutionState(struct.PyTreeNode):
    """A ring buffer of the last `P` architectures told.

    Attributes:
      archs: int32 `[P, G]`.
      fitness: float32 `[P]`, higher is better, `-inf` where nothing was told.
      asked: int32 `[]`, how many trainings have been proposed.
      told: int32 `[]`, how many results have come back.
    """

    archs: Array
    fitness: Array
    asked: Array
    told: Array


def regularized_evolution(
    space: SearchSpace,
    *,
    population_size: int = 100,
    sample_size: int = 10,
    with_replacement: bool = True,
) -> SearchAlgorithm:
    """Aging evolution (Real et al., 2019, algorithm 1); the first `P` asks are random.

    Each child is a mutant of the best of a random sample of the population and takes
    the place of the oldest member. Cells that were trained before are trained again, as
    in the paper.

    The defaults are those of the searches that arch2vec is compared with
    (`experiment_scripts/run_regularized_evolution.py` of github.com/automl/
    nas_benchmarks, read there); the paper has samples of 25. NAS-Bench-x11 uses a
    population of 20, naszilla one of 30, NAS-Bench-101 one of 50 whose samples are
    drawn without replacement.

    Args:
      space: what is searched.
      population_size: P.
      sample_size: candidates for one parent.
      with_replacement: whether a member may be drawn several times, as in the paper.

    Raises:
      ConfigError: a size is below 1, or the sample is larger than the population.
    """
    if not 1 <= sample_size <= population_size:
        raise errors.ConfigError(
            f"sample_size = {sample_size} must be 1 to population_size = "
            f"{population_size}"
        )

    def init(key: Key) -> EvolutionState:
        archs = jax.vmap(space.sample)(jax.random.split(key, population_size))
        fitness = jnp.full(population_size, -jnp.inf)
        return EvolutionState(archs, fitness, asked=jnp.int32(0), told=jnp.int32(0))

    def draw(key: Key) -> Array:
        """Places of the sample, `[sample_size]`."""
        if not with_replacement:
            scores = sampling.uniform(key, population_size)
            return jax.lax.top_k(scores, sample_size)[1]
        return sampling.randint(key, sample_size, population_size)

    def ask(key: Key, state: EvolutionState) -> tuple[Proposal, EvolutionState]:
        key_draw, key_mutate = jax.random.split(key)
        drawn = draw(key_draw)
        parent = state.archs[drawn[jnp.argmax(state.fitness[drawn])]]
        child = space.mutate(key_mutate, parent)
        first = state.archs[jnp.minimum(state.asked, population_size - 1)]
        arch = jnp.where(state.asked < population_size, first, child)
        proposal = Proposal.single(arch, trial=state.asked)
        return proposal, state.replace(asked=state.asked + 1)

    def tell(
        state: EvolutionState, proposal: Proposal, evaluation: Evaluation
    ) -> EvolutionState:
        used = proposal.mask[0]
        # What is beyond the end is dropped.
        oldest = jnp.where(used, state.told % population_size, population_size)
        return state.replace(
            archs=state.archs.at[oldest].set(proposal.archs[0], mode="drop"),
            fitness=state.fitness.at[oldest].set(evaluation.valid[0], mode="drop"),
            told=state.told + used,
        )

    return SearchAlgorithm(init, ask, tell)
