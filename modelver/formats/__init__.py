"""Model file formats: read structure, split and join tensors, digest."""
