"""What recognizers of whole clips read: gray, landmark and flow sequences, and windows of them.

And what is done to them on the way: magnification, interpolation in time, augmentation, splits.
"""
