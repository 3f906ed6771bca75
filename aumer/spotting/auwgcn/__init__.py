"""AUW-GCN (Yin et al., ICME 2023) as published, including what it takes from ABPN (2022).

Normalization of features, targets, loss, decoder and checkpoints; tests compare them with golden
values of the published code. The network itself is the preset "published" of
`aumer.spotting.spotnet`; its features are measured by `aumer.motion.published`.
"""
