"""The supervised counterpart of arch2vec-BO: the encoder is part of the predictor."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.scipy.special import ndtr

from nasjax.core import errors, registry
from nasjax.core.types import Array, Key, SearchSpace
from nasjax.predictors import Prediction, Predictor, bayesian_linear, dngo, minibatches
from nasjax.predictors.predictor import (
    Features,
    assemble,
    check_choice,
    check_positive,
)
from nasjax.search.algorithm import SearchAlgorithm
from nasjax.search.latent import joint_embedding
from nasjax.search.latent.joint_embedding import EncoderNetwork
from nasjax.search.model_based import acquisition, pool_search

VARIANTS = ("thesis", "released")
_RELEASED_INCUMBENT = 0.95


class NetworkDngoState(struct.PyTreeNode):
    """A fitted encoder and the regression on top of it.

    Attributes:
      params: of the `network` and, as in DNGO, of the `head` above it.
      moments: of the trainings that were fitted to.
      belief: about the weights of the hidden units.
    """

    params: Any
    moments: Any
    belief: bayesian_linear.Posterior


def network_dngo(
    network: EncoderNetwork,
    *,
    num_hidden: int = 128,
    epochs: int = 100,
    batch_size: int = 10,
    rate: float = 1e-2,
    variant: str = "thesis",
) -> Predictor:
    """DNGO whose inputs are learnt: encoder, tanh layer and output train as one.

    As in `predictors.dngo` every fit starts from fresh weights, the incomplete batch of
    an epoch is left out, and a Bayesian linear regression on the tanh units replaces
    the last layer. Batches are normalised by their own moments, predictions by those of
    all observations. Features are gene vectors int32 `[P, G]`.

    Args:
      network: the encoder.
      num_hidden: H, basis functions.
      epochs: of training.
      batch_size: rows of a minibatch.
      rate: learning rate of Adam.
      variant: "released": the released evidence, and predictions are normalised by the
        moments of the block of candidates that they are part of.

    Raises:
      ConfigError: an option is unknown or not above 0.
    """
    check_choice("variant of supervised BO", variant, VARIANTS)
    check_positive(
        "supervised BO",
        num_hidden=num_hidden,
        epochs=epochs,
        batch_size=batch_size,
        rate=rate,
    )
    released = variant == "released"

    def loss(params: Any, batch: tuple[Array, Array], valid: Array) -> Array:
        archs, targets = batch
        vectors, _ = network.embed_batch(params["network"], archs, valid)
        return dngo.squared_loss(dngo.apply(params["head"], vectors), targets, valid)

    def fit(
        key: Key, features: Features, targets: Array, mask: Array
    ) -> NetworkDngoState:
        key_network, key_head, key_train = jax.random.split(key, 3)
        params = {
            "network": network.init(key_network),
            "head": dngo.init(key_head, network.num_features, num_hidden),
        }
        params = minibatches.train(
            key_train,
            params,
            loss,
            optax.adam(rate),
            (features, targets),
            mask,
            epochs=epochs,
            batch_size=batch_size,
            drop_last=True,
        )
        weights = mask.astype(targets.dtype)
        vectors, moments = network.embed_batch(params["network"], features, weights)
        belief = bayesian_linear.fit(
            dngo.hidden(params["head"], vectors),
            targets,
            mask,
            variant="released" if released else "textbook",
        )
        return NetworkDngoState(params, moments, belief)

    def predict(state: NetworkDngoState, features: Features) -> Prediction:
        weights, head = state.params["network"], state.params["head"]

        def score(archs: Array, counted: Array) -> Prediction:
            if released:
                vectors, _ = network.embed_batch(weights, archs, counted)
            else:
                vectors = network.embed(weights, state.moments, archs)
            mean, variance = bayesian_linear.predict(
                state.belief, dngo.hidden(head, vectors)
            )
            return Prediction(mean, jnp.sqrt(variance))

        predicted: Prediction = joint_embedding.by_blocks(score, features)
        return predicted

    return assemble(fit, predict)


def supervised_bo(
    space: SearchSpace,
    *,
    network: EncoderNetwork | None = None,
    candidates: Any = None,
    predictor_options: Mapping[str, Any] | None = None,
    acquisition_function: str = "expected_improvement",
    exploration: float = 0.5,
    incumbent: float | None = None,
    num_init: int = 16,
    batch_size: int = 5,
    capacity: int = 200,
    variant: str = "thesis",
) -> SearchAlgorithm:
    """BO of table 3.2 (thesis, section 3.4.2): encoder and regression learn jointly.

    Args:
      space: what is searched.
      network: the encoder; needed.
      candidates: int `[N, G]`, the architectures to choose from; needed.
      predictor_options: of `network_dngo`.
      acquisition_function: a key of `acquisition.ACQUISITIONS`.
      exploration: of the upper confidence bound.
      incumbent: of the expected improvement; None: the best score so far.
      num_init: random candidates at the start.
      batch_size: Q, candidates of one round.
      capacity: P, trainings that are fitted to.
      variant: "released": as `latent_dngo`, and the expected improvement misses its
        parentheses (`unparenthesized_improvement`), over 0.95.

    Raises:
      ConfigError: network or candidates are missing, there is no such name, or a size
        is out of range.
    """
    check_choice("variant of supervised BO", variant, VARIANTS)
    options = dict(predictor_options or {})
    registry.check("supervised BO", network_dngo, options, taken=1)
    options.setdefault("variant", variant)
    needed = max(num_init, batch_size)
    encoder, table = joint_embedding.check(network, candidates, space, needed=needed)
    acquire = acquisition.make(acquisition_function, exploration=exploration)
    released = variant == "released"
    if released:
        if acquisition_function != "expected_improvement":
            raise errors.ConfigError(
                "variant = 'released' is by expected_improvement, not "
                f"{acquisition_function}"
            )
        acquire = _rank_unparenthesized
        incumbent = _RELEASED_INCUMBENT if incumbent is None else incumbent
    return pool_search.search_pool(
        space,
        network_dngo(encoder, **options),
        table,
        acquire,
        incumbent=incumbent,
        num_init=num_init,
        batch_size=batch_size,
        capacity=capacity,
        repeats=released,
        one_by_one=True,
        elementwise=True,  # The encoder normalises batches on the way.
    )


def unparenthesized_improvement(
    mean: Array, variance: Array, incumbent: Array | float
) -> Array:
    """What the published supervised searches maximised in place of the improvement.

        variance (u Phi(u) + phi(u)),   u = mean - incumbent / variance

    where the improvement has u = (mean - incumbent) / std. All that counts is a large
    variance: the prediction hardly moves u.
    """
    u = mean - incumbent / variance
    return variance * (u * ndtr(u) + jnp.exp(-jnp.square(u) / 2) / jnp.sqrt(2 * jnp.pi))


def _rank_unparenthesized(key: Key, prediction: Prediction, incumbent: Array) -> Array:
    mean, std = prediction
    scores = unparenthesized_improvement(mean, jnp.square(std), incumbent)
    # Most are 0 in float32; the published runs met those in a random order.
    order = jax.random.uniform(key, scores.shape)
    return jnp.where(scores > 0, scores, -order)
