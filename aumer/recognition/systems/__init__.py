"""The published recognizers of whole clips, one file each, behind one class (`system`)."""
