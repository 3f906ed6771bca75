"""Training of spotting networks, recognizers and AU readers."""
