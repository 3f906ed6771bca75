"""Training of spotting networks: labeled videos in, weights with their decoder out."""
