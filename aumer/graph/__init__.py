"""Graphs over facial regions of interest, from co-occurrence of action units."""

from aumer.graph.graph import NORMALIZATIONS, SHIPPED, WEIGHTINGS, AUGraph, published_counts

__all__ = ["NORMALIZATIONS", "SHIPPED", "WEIGHTINGS", "AUGraph", "published_counts"]
