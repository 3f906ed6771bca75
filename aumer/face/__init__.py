"""Faces: detectors, landmarkers, and the tracker that joins them into a `FaceTrack`."""
