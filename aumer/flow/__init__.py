"""Optical flow: dense (`Flow`), at points, and in windows that stretch and bend."""

from aumer.flow.interface import Flow, FlowFunction, Region, resolve

__all__ = ["Flow", "FlowFunction", "Region", "resolve"]
