"""Optical flow: of whole images (`Flow`), at points and in windows that bend."""

from aumer.flow.interface import Flow, Region

__all__ = ["Flow", "Region"]
