"""Training of spotting networks: labelled videos in, weights with their decoder out."""
