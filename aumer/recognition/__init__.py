"""Recognition: the class of an expression, from its motion between onset and apex."""
