"""From a model file to a graph. ONNX is the one canonical form; no operator is read in two places."""

from snnconvert.load.asked import Asked
from snnconvert.load.model import Loaded, load_model, model_digest, open_model, read_model, survey_model

__all__ = ["Asked", "Loaded", "load_model", "model_digest", "open_model", "read_model", "survey_model"]
