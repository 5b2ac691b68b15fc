"""arch2vec: unsupervised encodings by a variational graph isomorphism autoencoder.

For example:

    import jax
    from nasjax import spaces
    from nasjax.encoders import graph_inputs
    from nasjax.encoders.arch2vec import model

    made = model.make("nasbench201", model.Settings())
    weights = jax.eval_shape(made.init, jax.random.key(0))
    arch = spaces.make("nasbench201").sample(jax.random.key(1))
    inputs = graph_inputs.read(made.form, arch[None])
    print(jax.eval_shape(lambda w, i: model.embed(made, w, i), weights, inputs).shape)
"""

from nasjax.core import lazy

__all__ = [
    "decoder",
    "evaluation",
    "generation",
    "message_passing",
    "model",
    "objective",
    "pretraining",
    "reconstruction",
    "supervised",
    "training",
    "uniqueness",
    "validity",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
