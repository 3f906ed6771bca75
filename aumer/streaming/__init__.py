"""Live spotting: repeated decisions while a source runs, and events that report them."""
