"""Spotting while a source runs: decisions over what is known so far, and what is told of them."""
