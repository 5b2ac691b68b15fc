"""Pre-norm Transformer blocks as pure functions (Vaswani et al., 2017).

    x <- x + drop(W_o attend(norm(x)) + b_o)
    x <- x + drop(W_2 drop(relu(W_1 norm(x) + b_1)) + b_2)

States are `[D, N, B]`, batch last as feature maps are: a product with a kernel is one
large matrix product, and all else runs over contiguous vectors. The layers are one
`lax.scan` with a backward pass written by hand, which keeps what it needs once and
draws the dropout of outputs anew instead of storing it. Scale and bias of a layer norm
are folded into the kernel behind it.

For example:

    import jax
    import jax.numpy as jnp
    from nasjax.core import attention

    sizes = attention.Sizes(num_layers=2, width=16, num_heads=4, hidden=32)
    params = attention.init(jax.random.key(0), sizes)
    causal = jnp.tril(jnp.ones((5, 5), bool))[None, :, :, None]
    print(attention.apply(params, jnp.ones((16, 5, 3)), causal, num_heads=4).shape)
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.core import attention_weights as weighing
from nasjax.core import hashed_bits
from nasjax.core.types import Array, Key

Params = Any

EPSILON = 1e-5
"""Added to the variance of a layer norm."""
# Uses of one layer's random bits.
_ON_WEIGHTS, _ON_ATTENTION, _ON_HIDDEN, _ON_OUTPUT = range(4)


class Sizes(NamedTuple):
    """Of a stack.

    Attributes:
      num_layers: L.
      width: D, of the states.
      num_heads: H, a divisor of D.
      hidden: F, of the feed-forward layers.
    """

    num_layers: int
    width: int
    num_heads: int
    hidden: int


class _Static(NamedTuple):
    """What a program is compiled for."""

    num_heads: int
    dropout: float
    uniform: bool


def init(key: Key, sizes: Sizes) -> Params:
    """Initial parameters, a leading axis L on those of the layers.

    Kernels are Glorot uniform, biases 0, norms the identity.
    """
    keys = jax.random.split(key, 4)
    count, width, hidden = sizes.num_layers, sizes.width, sizes.hidden

    def linear(key: Key, inputs: int, outputs: int, parts: int = 1) -> Params:
        limit = (6 / (inputs + outputs)) ** 0.5
        shape = (count, inputs, outputs * parts)
        kernel = jax.random.uniform(key, shape, minval=-limit, maxval=limit)
        return {"kernel": kernel, "bias": jnp.zeros((count, outputs * parts))}

    return {
        "layers": {
            "attention_norm": _norm((count, width)),
            "qkv": linear(keys[0], width, width, 3),
            "attention_out": linear(keys[1], width, width),
            "hidden_norm": _norm((count, width)),
            "hidden": linear(keys[2], width, hidden),
            "hidden_out": linear(keys[3], hidden, width),
        },
        "norm": _norm((width,)),
    }


def apply(
    params: Params,
    x: Array,
    mask: Array,
    *,
    num_heads: int,
    key: Key | None = None,
    dropout: float = 0.0,
    uniform: bool = False,
) -> Array:
    """States `[D, N, B]` after all layers and the last norm.

    Args:
      params: of `init`.
      x: float `[D, N, B]`.
      mask: bool `[H, N, N, B]`, whether row i may attend column j; an axis may be 1.
      num_heads: H.
      key: of the dropout; None: there is none.
      dropout: of attention weights, hidden units and both outputs.
      uniform: what a row does that may attend nothing. False: it receives nothing.
        True: it attends all N positions alike, as where scores of -1e9 take the place
        of masked ones.
    """
    static = _Static(num_heads, dropout if key is not None else 0.0, uniform)
    layers = _fold(params["layers"])
    seed = jnp.uint32(0) if key is None else jax.random.bits(key, (), jnp.uint32)
    normal, _ = _normalize(_stack(static, layers, x, mask, seed))
    scale, bias = (params["norm"][part] for part in ("scale", "bias"))
    states: Array = normal * scale[:, None, None] + bias[:, None, None]
    return states


def _fold(layers: Params) -> Params:
    """Kernels `[L, out, in]` and biases `[L, out]` that take the norms along."""

    def behind(norm: Params, linear: Params) -> Params:
        kernel = norm["scale"][..., None] * linear["kernel"]
        bias = linear["bias"] + jnp.einsum("li,lio->lo", norm["bias"], linear["kernel"])
        return jnp.swapaxes(kernel, 1, 2), bias

    def turned(linear: Params) -> Params:
        return jnp.swapaxes(linear["kernel"], 1, 2), linear["bias"]

    return {
        "qkv": behind(layers["attention_norm"], layers["qkv"]),
        "attention_out": turned(layers["attention_out"]),
        "hidden": behind(layers["hidden_norm"], layers["hidden"]),
        "hidden_out": turned(layers["hidden_out"]),
    }


def weights(params: Params, x: Array, mask: Array, *, num_heads: int) -> Array:
    """Attention weights `[H, N, N, B]` of the first layer, for looking at."""
    layer = jax.tree.map(lambda leaf: leaf[0], _fold(params["layers"]))
    static = _Static(num_heads, 0.0, True)
    qkv = _linear(layer["qkv"], _normalize(x)[0])
    queries, keys, _ = _heads(static, qkv)
    return weighing.attend(queries, keys, mask, uniform=True)


def _norm(shape: tuple[int, ...]) -> Params:
    return {"scale": jnp.ones(shape), "bias": jnp.zeros(shape)}


# ------------------------------------------------------------------------------ layers


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _stack(static: _Static, layers: Params, x: Array, mask: Array, seed: Array) -> Any:
    def step(carry: Any, layer: Params) -> tuple[Any, None]:
        index, x = carry
        seeds = _seeds(seed, index)
        return (index + 1, _forward(static, layer, seeds, x, mask)[0]), None

    return lax.scan(step, (jnp.uint32(0), x), layers)[0][1]


def _stack_forward(
    static: _Static, layers: Params, x: Array, mask: Array, seed: Array
) -> Any:
    def step(carry: Any, layer: Params) -> Any:
        index, x = carry
        x, saved = _forward(static, layer, _seeds(seed, index), x, mask)
        return (index + 1, x), saved

    (_, x), saved = lax.scan(step, (jnp.uint32(0), x), layers)
    return x, (layers, seed, mask, saved)


def _stack_backward(static: _Static, kept: Any, slope: Array) -> Any:
    layers, seed, mask, saved = kept
    count = layers["qkv"][1].shape[0]

    def step(carry: Any, given: Any) -> Any:
        index, slope = carry
        layer, saved = given
        seeds = _seeds(seed, index)
        slope, slopes = _backward(static, layer, seeds, saved, mask, slope)
        return (index - 1, slope), slopes

    start = (jnp.uint32(count - 1), slope)
    (_, slope), slopes = lax.scan(step, start, (layers, saved), reverse=True)
    return slopes, slope, None, None


def _seeds(seed: Array, index: Array) -> list[Array]:
    """Of the uses of one layer's bits."""
    return [hashed_bits.fold_in(seed, 4 * index + use) for use in range(4)]


_stack.defvjp(_stack_forward, _stack_backward)


def _forward(
    static: _Static, layer: Params, seeds: list[Array], x: Array, mask: Array
) -> tuple[Array, Any]:
    """A layer, and what its slopes need."""
    shape = x.shape
    before, scale_before = _normalize(x)
    qkv = _linear(layer["qkv"], before)
    queries, keys, values = _heads(static, qkv)
    attention = weighing.attend(queries, keys, mask, uniform=static.uniform)
    if static.dropout:
        seed, keep = seeds[_ON_WEIGHTS], 1 - static.dropout
        kept = hashed_bits.bernoulli(seed, keep, attention.shape)
        attention = weighing.signed(attention, kept)
    read = weighing.read(weighing.survivors(attention, static.dropout), values)
    read = read.reshape(shape)
    added = _linear(layer["attention_out"], read)
    x = x + hashed_bits.drop(seeds[_ON_ATTENTION], static.dropout, added)
    after, scale_after = _normalize(x)
    hidden = jax.nn.relu(_linear(layer["hidden"], after))
    hidden = hashed_bits.drop(seeds[_ON_HIDDEN], static.dropout, hidden)
    added = _linear(layer["hidden_out"], hidden)
    x = x + hashed_bits.drop(seeds[_ON_OUTPUT], static.dropout, added)
    return x, (before, scale_before, qkv, attention, read, after, scale_after, hidden)


def _backward(
    static: _Static,
    layer: Params,
    seeds: list[Array],
    saved: Any,
    mask: Array,
    slope: Array,
) -> tuple[Array, Params]:
    before, scale_before, qkv, attention, read, after, scale_after, hidden = saved
    slopes = {}

    given = hashed_bits.drop(seeds[_ON_OUTPUT], static.dropout, slope)
    inner, slopes["hidden_out"] = _linear_slopes(layer["hidden_out"], hidden, given)
    # A hidden unit is 0 where the ReLU or dropout made it so.
    inner = jnp.where(hidden > 0, inner / (1 - static.dropout), 0)
    inner, slopes["hidden"] = _linear_slopes(layer["hidden"], after, inner)
    slope = slope + _normalize_slopes(after, scale_after, inner)

    given = hashed_bits.drop(seeds[_ON_ATTENTION], static.dropout, slope)
    inner, slopes["attention_out"] = _linear_slopes(layer["attention_out"], read, given)
    parts = _heads(static, qkv)
    inner = weighing.slopes(
        parts,
        attention,
        mask,
        inner.reshape(parts.shape[1:]),
        dropout=static.dropout,
        uniform=static.uniform,
    ).reshape(qkv.shape)
    inner, slopes["qkv"] = _linear_slopes(layer["qkv"], before, inner)
    return slope + _normalize_slopes(before, scale_before, inner), slopes


def _linear(linear: Any, x: Array) -> Array:
    """`[out, N, B]` of `[in, N, B]`."""
    kernel, bias = linear
    rows: Array = kernel @ x.reshape(x.shape[0], -1) + bias[:, None]
    return rows.reshape(-1, *x.shape[1:])


def _linear_slopes(linear: Any, x: Array, slope: Array) -> tuple[Array, Any]:
    rows, given = x.reshape(x.shape[0], -1), slope.reshape(slope.shape[0], -1)
    # Of the bias: a product with ones is faster than a sum over the last axis.
    ones = jnp.ones((given.shape[1], 1), given.dtype)
    inner = (linear[0].T @ given).reshape(x.shape)
    return inner, (given @ rows.T, (given @ ones)[:, 0])


def _normalize(x: Array) -> tuple[Array, Array]:
    """Columns `[D, ...]` of mean 0 and variance 1, and what scaled them `[1, ...]`."""
    centred = x - x.mean(0, keepdims=True)
    scale = lax.rsqrt((centred * centred).mean(0, keepdims=True) + EPSILON)
    return centred * scale, scale


def _normalize_slopes(normal: Array, scale: Array, slope: Array) -> Array:
    along = (slope * normal).mean(0, keepdims=True)
    return scale * (slope - slope.mean(0, keepdims=True) - normal * along)


def _heads(static: _Static, qkv: Array) -> Array:
    """Queries, keys and values `[3, H, D / H, N, B]` of `[3 D, N, B]`."""
    return qkv.reshape(3, static.num_heads, -1, *qkv.shape[1:])
