"""Convert trained ReLU networks to spiking ones, and prove that they still are the same network."""

__version__ = "0.1.0"
