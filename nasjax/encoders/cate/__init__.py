"""CATE: computation-aware encodings by a Transformer (thesis, chapter 4).

For example:

    import jax
    from nasjax import spaces
    from nasjax.encoders.cate import model, settings

    made = model.make("nasbench201", settings.variant("thesis", num_layers=2))
    weights = jax.eval_shape(made.init, jax.random.key(0))
    arch = spaces.make("nasbench201").sample(jax.random.key(1))
    graph = made.form.to_graph(arch)
    inputs = model.read(made, graph.ops[None], graph.adjacency[None])
    print(jax.eval_shape(lambda w, i: model.embed(made, w, i), weights, inputs).shape)
"""

from nasjax.core import lazy

__all__ = [
    "adamw",
    "distinct",
    "evaluation",
    "forms",
    "masks",
    "model",
    "objective",
    "pairs",
    "pretraining",
    "settings",
    "training",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
