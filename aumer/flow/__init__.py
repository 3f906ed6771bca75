"""Optical flow: of whole images (`Flow`), at points and in windows that bend."""

from aumer.flow.interface import Flow, FlowFunction, Region, resolve

__all__ = ["Flow", "FlowFunction", "Region", "resolve"]
