"""What is found against what is true."""
