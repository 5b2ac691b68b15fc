"""D-VAE: encodings by a variational autoencoder for directed acyclic graphs.

For example:

    import jax
    from nasjax import spaces
    from nasjax.encoders import graph_inputs
    from nasjax.encoders.dvae import model

    made = model.make("nasbench101", model.variant("cpu"))
    weights = jax.eval_shape(made.init, jax.random.key(0))
    arch = spaces.make("nasbench101").sample(jax.random.key(1))
    inputs = graph_inputs.read(made.form, arch[None])
    print(jax.eval_shape(lambda w, i: model.embed(made, w, i), weights, inputs).shape)
"""

from nasjax.core import lazy

__all__ = ["asynchronous", "decoder", "model", "pretraining", "reconstruction"]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
