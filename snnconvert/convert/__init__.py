"""Conversion methods: from activation statistics to the scale of every activation."""

from snnconvert.convert.percentile import percentile_scales

__all__ = ["percentile_scales"]
