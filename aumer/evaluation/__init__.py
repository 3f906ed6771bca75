"""Comparison of spotted with annotated expressions. No torch, no cv2."""
