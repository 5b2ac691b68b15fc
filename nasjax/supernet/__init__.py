"""HM-NAS: the one-shot supernet, its bilevel training, masking and fine-tuning."""
