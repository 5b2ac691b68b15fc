"""Graph convolutional predictors of the cell itself.

`gcn` is the neural predictor of Wen et al. (2020), `bogcn` puts a Bayesian linear
regression on its last hidden layer (BO-GCN; Shi et al., 2020). Both take a batch of
`core.types.Graph` instead of a feature matrix.
"""

import jax
import jax.numpy as jnp
import optax
from flax import struct

from nasjax.core.types import Array, Graph, Key
from nasjax.predictors import (
    bayesian_linear,
    graph_inputs,
    initial_weights,
    minibatches,
    scaling,
)
from nasjax.predictors.predictor import (
    Prediction,
    Predictor,
    assemble,
    check_positive,
)

Params = dict[str, Array]


class GcnState(struct.PyTreeNode):
    """A fitted graph network.

    Attributes:
      outputs: moments of the targets.
      params: of the network.
    """

    outputs: scaling.Scale
    params: Params


class BogcnState(struct.PyTreeNode):
    """A fitted graph network and the regression on its last hidden layer.

    Attributes:
      outputs: moments of the targets.
      params: of the network.
      belief: about the weights of the hidden units and of a constant.
    """

    outputs: scaling.Scale
    params: Params
    belief: bayesian_linear.Posterior


def init(key: Key, num_inputs: int, *, layers: int, width: int, head: int) -> Params:
    """Initial weights: Glorot's uniform kernels, no bias in the convolutions.

    Returns:
      `forward.<n>` and `backward.<n>` `[W_n, W]` of layer n, `head_kernel` `[W, H]`,
      `head_bias` `[H]`, `out_kernel` `[H]`, `out_bias` `[]`.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for index in range(layers):
        shape = (width if index else num_inputs, width)
        shapes |= {f"forward.{index}": shape, f"backward.{index}": shape}
    shapes |= {"head_kernel": (width, head), "out_kernel": (head, 1)}
    draws = jax.random.uniform(
        key, (initial_weights.size(shapes),), minval=-1, maxval=1
    )
    params: Params = {
        name: (6 / sum(value.shape)) ** 0.5 * value
        for name, value in initial_weights.cut(draws, shapes).items()
    }
    params["out_kernel"] = params["out_kernel"][:, 0]
    params["head_bias"] = jnp.zeros(head)
    params["out_bias"] = jnp.zeros(())
    return params


def hidden(params: Params, inputs: graph_inputs.PreparedGraphs) -> Array:
    """The last hidden layer `[M, H]`.

    One layer is the mean of a convolution along the edges and one against them,

        X <- (relu(A_forward X W_forward) + relu(A_backward X W_backward)) / 2;

    the nodes are averaged and pass one fully connected ReLU layer.
    """
    x = inputs.nodes
    layers = sum(name.startswith("forward") for name in params)
    for index in range(layers):
        along = jax.nn.relu(inputs.forward @ (x @ params[f"forward.{index}"]))
        against = jax.nn.relu(inputs.backward @ (x @ params[f"backward.{index}"]))
        x = (along + against) / 2
    pooled = jnp.einsum("mn,mnw->mw", inputs.pooling, x)
    return jax.nn.relu(pooled @ params["head_kernel"] + params["head_bias"][None])


def apply(params: Params, inputs: graph_inputs.PreparedGraphs) -> Array:
    """Outputs `[M]` of the network, in the unit of standardised targets."""
    return hidden(params, inputs) @ params["out_kernel"] + params["out_bias"]


def train(
    key: Key,
    inputs: graph_inputs.PreparedGraphs,
    targets: Array,
    mask: Array,
    *,
    layers: int,
    width: int,
    head: int,
    epochs: int,
    batch_size: int,
    rate: float,
    weight_decay: float,
) -> Params:
    """Fits a network to standardised targets by AdamW and the squared error.

    Args:
      key: PRNG key.
      inputs: P graphs.
      targets: `[P]`.
      mask: bool `[P]`.
      layers: graph convolutions.
      width: units of a convolution.
      head: units of the fully connected layer.
      epochs: passes over the graphs in the mask.
      batch_size: rows of a minibatch; the last one of an epoch may hold fewer.
      rate: initial learning rate, which falls to 0 along half a cosine.
      weight_decay: decoupled, times the learning rate.
    """
    key_init, key_train = jax.random.split(key)

    def loss(
        params: Params, batch: tuple[graph_inputs.PreparedGraphs, Array], valid: Array
    ) -> Array:
        errors = apply(params, batch[0]) - batch[1]
        return minibatches.mean(jnp.square(errors), valid)

    return minibatches.train(
        key_train,
        init(key_init, inputs.nodes.shape[-1], layers=layers, width=width, head=head),
        loss,
        optax.adamw(rate, weight_decay=weight_decay),
        (inputs, targets),
        mask,
        epochs=epochs,
        batch_size=batch_size,
        anneal=True,
    )


def gcn(
    *,
    num_ops: int,
    cell_axis: bool = False,
    layers: int = 3,
    width: int = 144,
    head: int = 128,
    epochs: int = 300,
    batch_size: int = 10,
    rate: float = 1e-3,
    weight_decay: float = 1e-3,
) -> Predictor:
    """The neural predictor; it knows no uncertainty, its standard deviation is 0.

    Features are a `Graph` with a leading axis P. Sizes, batches, epochs and annealing
    are those of github.com/ultmaster/neuralpredictor.pytorch (read in copies of its
    train.py), which naszilla and NASLib took over with a fourth layer, batches of 7 and
    weight decay 3e-4. There the rate is
    1e-4, weight decay is L2 and dropout .1 acts while training; here the rate is 1e-3,
    weight decay is decoupled and there is no dropout: with 90 labels of NAS-Bench-101
    Spearman's rho is .86, at 1e-4 it is .80. Paper: a sigmoid output and two stages;
    here, as in that code, standardised targets and one.

    Args:
      num_ops: O, operation ids of a cell, such as `len(space.graph_op_names)`.
      cell_axis: the graphs of one architecture have a leading axis of cells.
      layers: graph convolutions.
      width: units of a convolution.
      head: units of the fully connected layer.
      epochs: of training.
      batch_size: rows of a minibatch.
      rate: initial learning rate.
      weight_decay: decoupled, times the learning rate.

    Raises:
      ConfigError: an option is not above 0.
    """
    settings = {"layers": layers, "width": width, "head": head, "epochs": epochs}
    check_positive("GCN", num_ops=num_ops, batch_size=batch_size, rate=rate, **settings)

    def fit(key: Key, features: Graph, targets: Array, mask: Array) -> GcnState:
        outputs = scaling.measure(targets, mask)
        params = train(
            key,
            graph_inputs.prepare(features, num_ops),
            scaling.apply(outputs, targets),
            mask,
            batch_size=batch_size,
            rate=rate,
            weight_decay=weight_decay,
            **settings,
        )
        return GcnState(outputs, params)

    def predict(state: GcnState, features: Graph) -> Prediction:
        mean = apply(state.params, graph_inputs.prepare(features, num_ops))
        return scaling.undo(state.outputs, mean, jnp.zeros_like(mean))

    return assemble(fit, predict, rank=3 if cell_axis else 2)


def bogcn(
    *,
    num_ops: int,
    cell_axis: bool = False,
    layers: int = 4,
    width: int = 64,
    head: int = 64,
    epochs: int = 100,
    batch_size: int = 10,
    rate: float = 1e-3,
    weight_decay: float = 0.0,
) -> Predictor:
    """A graph network whose last layer is replaced by Bayesian linear regression.

    Four layers of 64 and 100 epochs are those of naslib/predictors/bonas.py in
    github.com/automl/NASLib. There a batch is 128 and the rate 1e-4; here they are 10
    and 1e-3, as a search has few labels: with 90 of NAS-Bench-101 Spearman's rho is
    .84, and .75 in batches of 128 at 1e-3. Paper: a global node gathers the graph;
    here: the mean of all nodes, as in `gcn`.

    Args:
      num_ops: O, operation ids of a cell, such as `len(space.graph_op_names)`.
      cell_axis: the graphs of one architecture have a leading axis of cells.
      layers: graph convolutions.
      width: units of a convolution.
      head: units of the fully connected layer, the features of the regression.
      epochs: of training.
      batch_size: rows of a minibatch.
      rate: initial learning rate.
      weight_decay: decoupled, times the learning rate.

    Raises:
      ConfigError: an option is not above 0.
    """
    settings = {"layers": layers, "width": width, "head": head, "epochs": epochs}
    check_positive(
        "BO-GCN", num_ops=num_ops, batch_size=batch_size, rate=rate, **settings
    )

    def fit(key: Key, features: Graph, targets: Array, mask: Array) -> BogcnState:
        outputs = scaling.measure(targets, mask)
        inputs, y = (
            graph_inputs.prepare(features, num_ops),
            scaling.apply(outputs, targets),
        )
        params = train(
            key,
            inputs,
            y,
            mask,
            batch_size=batch_size,
            rate=rate,
            weight_decay=weight_decay,
            **settings,
        )
        belief = bayesian_linear.fit(_basis(params, inputs), y, mask)
        return BogcnState(outputs, params, belief)

    def predict(state: BogcnState, features: Graph) -> Prediction:
        basis = _basis(state.params, graph_inputs.prepare(features, num_ops))
        mean, variance = bayesian_linear.predict(state.belief, basis)
        return scaling.undo(state.outputs, mean, jnp.sqrt(variance))

    return assemble(fit, predict, rank=3 if cell_axis else 2)


def _basis(params: Params, inputs: graph_inputs.PreparedGraphs) -> Array:
    """The hidden units and a constant, `[M, H + 1]`."""
    units = hidden(params, inputs)
    return jnp.pad(units, ((0, 0), (0, 1)), constant_values=1)
