//! The lecture's autoencoder: sigmoid latents kept mostly silent by a KL penalty.
