"""What the variational autoencoders of graphs share: how they train and are judged.

A model is a bundle of pure functions (`interface.Autoencoder`), for example:

    import jax
    from nasjax.encoders import stored_graphs
    from nasjax.encoders.autoencoder import training
    from nasjax.encoders.dvae import model
    from nasjax.spaces import nasbench201

    made = model.make("nasbench201", model.Settings(width=8, latent=2))
    graphs = stored_graphs.to_graphs(made.form, nasbench201.enumerate_cells()[:64])
    recipe = training.TrainSettings()
    state = training.start(jax.random.key(0), made, recipe)
    state, terms = training.run_epoch(jax.random.key(1), made, recipe, state, graphs, 1)
"""

from nasjax.core import lazy

__all__ = ["interface", "pretraining", "reconstruction", "training"]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
