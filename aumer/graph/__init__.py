"""Graphs over a face's regions of interest, from what action units do together."""

from aumer.graph.graph import NORMALIZATIONS, SHIPPED, WEIGHTINGS, AUGraph, published_counts

__all__ = ["NORMALIZATIONS", "SHIPPED", "WEIGHTINGS", "AUGraph", "published_counts"]
