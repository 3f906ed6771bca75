"""Published methods on aumer's features, for comparison under equal conditions.

Their full papers were not available, only abstracts and descriptions by others, so every preset is
called ``NAME-like``: it implements the idea that the paper states; what is unknown was chosen, and
each module says what. No code was read. They read aumer's ROI motion (not flow maps, not I3D), are
trained by aumer's loop on the training subjects only, with the decoder's threshold chosen on inner
ones, and are evaluated like aumer's network. So their figures belong to an idea under these
conditions and do not reproduce the figures of a paper.
"""
