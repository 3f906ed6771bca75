"""Reports of benchmark runs as one self-contained page."""
