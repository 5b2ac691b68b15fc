"""Settings of the training of a language model, whose defaults load no jax."""

import dataclasses
from typing import TYPE_CHECKING

from nasjax.core import errors

if TYPE_CHECKING:
    from nasjax.training import text_windows


@dataclasses.dataclass(frozen=True)
class LanguageModelSettings:
    """The defaults are the benchmark's.

    Attributes:
      epochs: T.
      batch_size: pieces of the training text that are read side by side.
      window: nominal length of a window, tokens of each piece.
      random_windows: whether lengths are drawn around it (`text_windows.Windows`).
      eval_batch_size: pieces of a text whose loss is measured.
      learning_rate: Adam's, for a window of the nominal length.
      weight_decay: L2, on all parameters.
      clip: largest global norm of the gradient, before weight decay; 0 for none.
      activation: weight of the mean square of the dropped outputs (alpha, AR).
      slowness: weight of the mean square of what the outputs change from one token to
        the next (beta, TAR).
      embedding_size: also the size of the last layer.
      hidden_size: of the other layers.
      num_layers: recurrent layers, all of the same recipe.
      dropout_words: see `networks.language_model.Dropouts`, also for the next four.
    """

    epochs: int = 50
    batch_size: int = 20
    window: int = 70
    random_windows: bool = True
    eval_batch_size: int = 50
    learning_rate: float = 1e-3
    weight_decay: float = 1.2e-6
    clip: float = 0.25
    activation: float = 2.0
    slowness: float = 1.0
    embedding_size: int = 400
    hidden_size: int = 600
    num_layers: int = 3
    dropout_words: float = 0.0
    dropout_embedded: float = 0.4
    dropout_between: float = 0.25
    dropout_output: float = 0.1
    dropout_weights: float = 0.1

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            fits, wanted = value >= 0, "not negative"
            if field.name.startswith("dropout_"):
                fits, wanted = 0 <= value < 1, "in [0, 1)"
            elif field.name == "learning_rate":
                fits, wanted = value > 0, "positive"
            elif field.type is int:
                fits, wanted = value >= 1, "at least 1"
            if not fits:
                raise errors.ConfigError(
                    f"{field.name}={value} of a language model must be {wanted}"
                )

    @property
    def windows(self) -> "text_windows.Windows":
        """How the training text is read."""
        from nasjax.training import text_windows

        return text_windows.Windows(self.window, self.random_windows)
