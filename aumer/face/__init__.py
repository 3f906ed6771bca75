"""Faces: detectors, landmarkers, and the tracker that combines them."""
