"""A local web page for viewing results beside the video and correcting them."""
