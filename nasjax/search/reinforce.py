"""REINFORCE over independent genes, the reinforcement learning of NAS-Bench-101."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from nasjax.core import errors, sampling
from nasjax.core.types import Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.search.algorithm import SearchAlgorithm

VARIANTS: dict[str, Callable[[float], optax.GradientTransformation]] = {
    "thesis": optax.adam,
    "released": optax.sgd,
}


class ReinforceState(struct.PyTreeNode):
    """A policy of independent categorical genes, and the baseline.

    Attributes:
      logits: float32 `[G, K]`, -inf where a gene has fewer than K values.
      optimizer: state of the optimizer.
      reward_sum: float32 `[]`, exponentially weighted sum of rewards.
      weight_sum: float32 `[]`, of their weights; the ratio is the baseline.
      asked: int32 `[]`, how many trainings have been proposed.
    """

    logits: Array
    optimizer: Any
    reward_sum: Array
    weight_sum: Array
    asked: Array


def reinforce(
    space: SearchSpace,
    *,
    learning_rate: float = 0.1,
    momentum: float = 0.9,
    num_candidates: int = 16,
    gene_ranges: Sequence[Sequence[int]] | None = None,
    variant: str = "thesis",
) -> SearchAlgorithm:
    """REINFORCE with a moving baseline (Ying et al., 2019; Williams, 1992).

        logits += rate (r - b) d/d logits log p(arch)
        b = sum_i momentum^i r_(t-i) / sum_i momentum^i,  the current reward included

    Genes are drawn independently until the architecture is valid: the first valid of
    `num_candidates`, or a draw of `space.sample` where none is. Spaces whose genes
    depend on each other need narrower ranges; NAS-Bench-101's policy has all seven
    vertices and is `gene_ranges=((0, 1),) * 21 + ((0, 2),) * 5 + ((7, 7),)`.

    The rates are those of `experiment_scripts/run_rl.py` of github.com/automl/
    nas_benchmarks (read there), which the arch2vec searches are compared with.

    Args:
      space: what is searched.
      learning_rate: of the logits.
      momentum: of the baseline, in [0, 1).
      num_candidates: draws of one proposal.
      gene_ranges: lowest and highest value of each gene; None: those of the space.
      variant: "thesis": Adam. "released": plain gradient ascent, as in the published
        scripts of NAS-Bench-101; with rewards that differ by a few hundredths it hardly
        leaves the uniform policy within a few hundred queries.

    Raises:
      ConfigError: a setting is out of range, or there is no such variant.
    """
    if variant not in VARIANTS:
        raise errors.unknown_name("variant of REINFORCE", variant, VARIANTS)
    if num_candidates < 1:
        raise errors.ConfigError(
            f"num_candidates = {num_candidates} must be at least 1"
        )
    if not 0 <= momentum < 1:
        raise errors.ConfigError(f"momentum = {momentum} must be in [0, 1)")
    ranges = np.asarray(space.gene_ranges if gene_ranges is None else gene_ranges)
    if ranges.shape != (space.num_genes, 2) or (ranges[:, 0] > ranges[:, 1]).any():
        raise errors.ConfigError(
            f"gene_ranges must be {space.num_genes} pairs (lowest, highest) for "
            f"{space.name}, not {ranges.tolist()}"
        )
    optimizer = VARIANTS[variant](learning_rate)
    lowest, sizes = ranges[:, 0], ranges[:, 1] - ranges[:, 0] + 1
    known = np.arange(sizes.max())[None] < sizes[:, None]

    def init(key: Key) -> ReinforceState:
        del key
        logits = jnp.where(known, jnp.float32(0), -jnp.inf)
        zero = jnp.float32(0)
        return ReinforceState(
            logits=logits,
            optimizer=optimizer.init(logits),
            reward_sum=zero,
            weight_sum=zero,
            asked=jnp.int32(0),
        )

    def draw(key: Key, logits: Array) -> Array:
        """An architecture of the policy, `[G]`."""
        key_uniform, key_fallback = jax.random.split(key)
        uniform = sampling.uniform(key_uniform, num_candidates * space.num_genes)
        uniform = uniform.reshape(num_candidates, space.num_genes, 1)
        below = jnp.cumsum(jax.nn.softmax(logits, axis=1), axis=1)[None]
        values = jnp.sum(uniform >= below, axis=2).astype(jnp.int32)
        archs = (
            jnp.minimum(values, jnp.int32(sizes - 1)[None]) + jnp.int32(lowest)[None]
        )
        valid = jax.vmap(space.is_valid)(archs)
        fallback = space.sample(key_fallback)
        return jnp.where(jnp.any(valid), archs[jnp.argmax(valid)], fallback)

    def ask(key: Key, state: ReinforceState) -> tuple[Proposal, ReinforceState]:
        proposal = Proposal.single(draw(key, state.logits), trial=state.asked)
        return proposal, state.replace(asked=state.asked + 1)

    def tell(
        state: ReinforceState, proposal: Proposal, evaluation: Evaluation
    ) -> ReinforceState:
        reward = evaluation.valid[0]
        reward_sum = momentum * state.reward_sum + (1 - momentum) * reward
        weight_sum = momentum * state.weight_sum + (1 - momentum)
        advantage = reward - reward_sum / weight_sum
        chosen = proposal.archs[0] - jnp.int32(lowest)
        hits = chosen[:, None] == jnp.arange(known.shape[1])[None]
        score = hits - jax.nn.softmax(state.logits, axis=1)
        # optax descends.
        gradient = -advantage * jnp.where(known, score, 0)
        updates, moments = optimizer.update(gradient, state.optimizer)
        updated = state.replace(
            logits=state.logits + updates,
            optimizer=moments,
            reward_sum=reward_sum,
            weight_sum=weight_sum,
        )
        # Nothing is learnt from a training without a score.
        learns = proposal.mask[0] & jnp.isfinite(reward)
        keep = functools.partial(jnp.where, learns)
        kept: ReinforceState = jax.tree.map(keep, updated, state)
        return kept

    return SearchAlgorithm(init, ask, tell)
