"""arch2vec: unsupervised encodings by a variational graph isomorphism autoencoder."""
