"""A local web page on which results are looked at beside the video, and corrected."""
