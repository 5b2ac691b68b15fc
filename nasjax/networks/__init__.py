"""Networks an architecture stands for, and the primitives they are built of.

For example:

    import jax
    from nasjax import spaces
    from nasjax.networks import nasbench201

    arch = spaces.make("nasbench201").sample(jax.random.key(0))
    net = nasbench201.network(nasbench201.Skeleton(num_cells=1, channels=4))
    params, statistics = jax.eval_shape(net.init, jax.random.key(1), arch)
"""

from nasjax.core import lazy

__all__ = [
    "batch_norm",
    "classifier",
    "convolution",
    "darts",
    "darts_auxiliary",
    "darts_cell",
    "depthwise",
    "initialization",
    "language_model",
    "nasbench101",
    "nasbench201",
    "operations",
    "pooling",
    "recurrent",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
