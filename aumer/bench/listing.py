"""Nothing: for one release it says where its names have gone."""

from aumer._moved import moved

__getattr__ = moved(
    __name__,
    dict.fromkeys(("Example", "Listing", "Unseen", "listed"), "aumer.training.listing"),
)
