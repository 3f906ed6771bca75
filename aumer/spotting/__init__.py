"""Spotting: rules, and networks with their targets, losses and decoders."""

from __future__ import annotations


def __getattr__(name: str) -> object:
    if name == "SpotNet":  # loads torch only when used
        from aumer.spotting.spotnet import SpotNet

        return SpotNet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
