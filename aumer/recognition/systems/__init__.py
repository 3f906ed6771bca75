"""The published recognisers of whole clips, one file each, behind one class (`system`)."""
