"""The language model around a recurrent cell (AWD: Merity et al., 2018).

Embedding, recurrent layers of one recipe with weights of their own, and a softmax layer
that shares its matrix with the embedding; so the last layer has the embedding's size.
Dropout acts on words of the embedding, on the embedded text, between layers, on the
output and on the recurrent weights; but for the first and last kind one mask holds for
all tokens of a piece of text.
"""

import math
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from nasjax.core.types import Array, Key
from nasjax.networks import recurrent

Hidden = tuple[tuple[Array, ...], ...]
"""`[B, H]` for each hidden state of each layer."""

_EMBEDDING_RANGE = 0.1


class Params(NamedTuple):
    """Attributes:
    embedding: `[V, D]`, also the matrix of the softmax layer.
    bias: `[V]`, of the softmax layer.
    layers: weights of the cells.
    """

    embedding: Any
    bias: Any
    layers: tuple[recurrent.Weights, ...]


class Outputs(NamedTuple):
    """Attributes:
    logits: `[T, B, V]`, of the word that follows each token.
    hidden: the states after the last token.
    last: `[T, B, D]`, outputs of the last layer.
    dropped: `[T, B, D]`, the same after dropout.
    """

    logits: Array
    hidden: Hidden
    last: Array
    dropped: Array


class Init(Protocol):
    def __call__(self, key: Key) -> Params: ...


class InitialHidden(Protocol):
    def __call__(self, batch_size: int) -> Hidden: ...


class Apply(Protocol):
    def __call__(
        self,
        params: Params,
        hidden: Hidden,
        tokens: Array,
        *,
        length: Array | int | None = None,
        key: Key | None = None,
    ) -> Outputs: ...


class LanguageModel(NamedTuple):
    """A language model as pure functions.

    Attributes:
      init: `(key) -> params`.
      initial_hidden: `(batch_size) -> hidden`, zeros.
      apply: `(params, hidden, tokens [T, B], *, length=None, key=None) -> Outputs`.
        `length` is how many of the T tokens there are (all by default); outputs past it
        mean nothing. With a key the dropouts act, without there are none.
    """

    init: Init
    initial_hidden: InitialHidden
    apply: Apply


class Dropouts(NamedTuple):
    """Probabilities in [0, 1) of the benchmark's recipe.

    Attributes:
      words: of a word's whole row of the embedding.
      embedded: of a feature of the embedded text.
      between: of a feature between two layers.
      output: of a feature of the last layer's output.
      weights: of a number of the recurrent maps (`recurrent.drop_weights`).
    """

    words: float = 0.0
    embedded: float = 0.4
    between: float = 0.25
    output: float = 0.1
    weights: float = 0.1


def language_model(
    arch: Any,
    *,
    num_tokens: int,
    embedding_size: int = 400,
    hidden_size: int = 600,
    num_layers: int = 3,
    dropouts: Dropouts | None = None,
) -> LanguageModel:
    """The language model of one NAS-Bench-NLP recipe.

    Args:
      arch: int `[63]`, concrete genes.
      num_tokens: V, the size of the vocabulary.
      embedding_size: D.
      hidden_size: H of all layers but the last.
      num_layers: recurrent layers.
      dropouts: probabilities; those of `Dropouts` by default.

    Raises:
      UnknownArchitecture: the genes are no recipe of the space.
    """
    cell = recurrent.read(arch)
    given = Dropouts() if dropouts is None else dropouts
    widths = (embedding_size, *(hidden_size,) * (num_layers - 1), embedding_size)

    def init(key: Key) -> Params:
        """Uniform within .1 (embedding), 1 / sqrt(H) (cells); the softmax bias is 0."""
        # One draw for everything: many small ones take long to compile.
        embedding = (num_tokens, embedding_size)
        layers = tuple(map(_layer_shapes, widths[:-1], widths[1:]))
        leaves, tree = jax.tree.flatten((embedding, layers), is_leaf=_is_shape)
        bounds = [_EMBEDDING_RANGE]
        for width, layer in zip(widths[1:], layers, strict=True):
            count = len(jax.tree.leaves(layer, is_leaf=_is_shape))
            bounds += [1 / math.sqrt(width)] * count
        stops = [0]
        for shape in leaves:
            stops.append(stops[-1] + math.prod(shape))
        numbers = jax.random.uniform(key, (stops[-1],), minval=-1, maxval=1)
        arrays = [
            bound * numbers[start:stop].reshape(shape)
            for bound, start, stop, shape in zip(
                bounds, stops[:-1], stops[1:], leaves, strict=True
            )
        ]
        drawn, weights = jax.tree.unflatten(tree, arrays)
        return Params(drawn, jnp.zeros(num_tokens, drawn.dtype), weights)

    def _layer_shapes(input_size: int, width: int) -> recurrent.Weights:
        return recurrent.shapes(cell, input_size, width)

    def initial_hidden(batch_size: int) -> Hidden:
        return tuple(
            tuple(jnp.zeros((batch_size, width)) for _ in cell.hidden)
            for width in widths[1:]
        )

    def apply(
        params: Params,
        hidden: Hidden,
        tokens: Array,
        *,
        length: Array | int | None = None,
        key: Key | None = None,
    ) -> Outputs:
        rates = Dropouts(0, 0, 0, 0, 0) if key is None else given
        # Without a key nothing is drawn from the keys below.
        keys = jax.random.split(jax.random.key(0) if key is None else key, 5)
        key_words, key_embedded, key_between, key_output, key_weights = keys
        rows = (num_tokens, 1)
        embedding = recurrent.dropout(key_words, params.embedding, rates.words, rows)
        x = _locked(key_embedded, embedding[tokens], rates.embedded)
        last, after = x, []
        for i, (weights, states) in enumerate(zip(params.layers, hidden, strict=True)):
            if i:
                key_locked = jax.random.fold_in(key_between, i)
                x = _locked(key_locked, last, rates.between)
            key_layer = jax.random.fold_in(key_weights, i)
            weights = recurrent.drop_weights(key_layer, cell, weights, rates.weights)
            last, states = recurrent.run(cell, weights, x, states, length=length)
            after.append(states)
        dropped = _locked(key_output, last, rates.output)
        # The softmax layer has the whole embedding, dropped words included.
        logits = dropped @ params.embedding.T + params.bias[None, None]
        return Outputs(logits, tuple(after), last, dropped)

    return LanguageModel(init, initial_hidden, apply)


def num_params(model: LanguageModel) -> int:
    """Numbers in the model; the shared matrix counts once."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def _is_shape(node: Any) -> bool:
    """Whether a node of a tree of shapes is a shape: a tuple of sizes."""
    return type(node) is tuple and all(isinstance(size, int) for size in node)


def _locked(key: Key, x: Array, rate: float) -> Array:
    """Dropout of `[T, B, D]` with one mask for all T."""
    return recurrent.dropout(key, x, rate, (1, *x.shape[1:]))
