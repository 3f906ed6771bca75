"""Faces in motion whose expressions are known exactly: features and videos."""
