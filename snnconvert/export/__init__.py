"""Exporters: the spiking network in forms that other tools run."""

from snnconvert.export.step_model import step_model

__all__ = ["step_model"]
