"""NIR, the Neuromorphic Intermediate Representation (Pedersen et al. 2024), as networks of ours are written in it."""
