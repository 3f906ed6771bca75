"""AUW-GCN (Yin et al., ICME 2023), and of it what it has from ABPN (2022), as published.

Its features' normalization, targets, loss, decoder and checkpoints, held to the golden values of
the published code. The network itself is the preset "published" of `aumer.spotting.spotnet`; how
its features are measured is told in `aumer.motion.published`.
"""
