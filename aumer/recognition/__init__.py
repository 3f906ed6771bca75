"""Recognition: which class an expression is of, by its motion from onset to apex."""
