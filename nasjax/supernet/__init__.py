"""HM-NAS: the one-shot supernet, its bilevel training, masking and fine-tuning.

For example:

    import jax
    from nasjax.supernet import mixing, network, spec

    net = spec.SupernetSpec(
        num_cells=2, channels=4, num_steps=2, num_classes=10, image_shape=(8, 8, 1)
    )
    init = jax.eval_shape(lambda key: network.init_params(key, net), jax.random.key(0))
    print(mixing.coefficients(mixing.init_arch(jax.random.key(1), net), net).shape)
"""

from nasjax.core import lazy

__all__ = [
    "bilevel",
    "cell",
    "counting",
    "derive",
    "families",
    "finetune_stage",
    "masking",
    "masking_stage",
    "mixing",
    "network",
    "objective",
    "pipeline",
    "saved_model",
    "settings",
    "slim",
    "slim_network",
    "spec",
    "stage",
    "training_stage",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
