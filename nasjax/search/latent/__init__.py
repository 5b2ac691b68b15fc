"""Searches in the latent space of an encoder, pre-trained or trained along.

For example:

    import jax
    from nasjax import search, spaces
    from nasjax.search import embedding_table
    from nasjax.spaces import nasbench201

    archs, space = nasbench201.enumerate_cells(), spaces.make("nasbench201")
    table = embedding_table.random_projection(jax.random.key(0), space, archs)
    algorithm = search.make("latent_reinforce", space, table=table)
"""

from nasjax.core import lazy

__all__ = [
    "joint_embedding",
    "lstm_policy",
    "reinforce",
    "rollout",
    "supervised_bo",
    "supervised_reinforce",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
