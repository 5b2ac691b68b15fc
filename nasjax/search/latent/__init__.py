"""Searches in the latent space of an encoder, pre-trained or trained along."""
