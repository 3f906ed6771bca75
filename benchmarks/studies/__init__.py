"""What choices were made by."""
