"""From a model file to a graph. ONNX is the one canonical form; no operator is read in two places."""

from snnconvert.load.model import Loaded, load_model, survey_model

__all__ = ["Loaded", "load_model", "survey_model"]
