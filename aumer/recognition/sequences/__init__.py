"""Inputs of recognizers of whole clips: gray, landmark and flow sequences, and windows of them,
with magnification, temporal interpolation, augmentation and splits.
"""
