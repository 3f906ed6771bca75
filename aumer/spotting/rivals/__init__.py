"""Methods of others on our features, to be compared with ours under one roof.

None of their papers was at hand whole, only abstracts and what others say of them, so every preset
is called ``NAME-like``: it is made from the idea that the paper states, and what the paper leaves
open here is chosen and said in the module. No code was read. They read our ROI motion (not flow
maps, not I3D), are trained by our loop on the training subjects alone, with the decoder's threshold
chosen on inner ones, and are judged as ours is. A figure of theirs is thus of an idea under our
conditions and no reproduction of a paper's figure.
"""
