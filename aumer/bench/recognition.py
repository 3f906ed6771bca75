"""Deprecated and empty: for one release its error names the new modules."""

from aumer._moved import moved

__getattr__ = moved(
    __name__,
    {
        "run": "aumer.bench.run (seeds are the protocol's; progress is told what is done, first)",
        "stored": "aumer.bench.run",
        "composite": "aumer.training.composite",
        "factory": "aumer.bench.recognizers",
        "loso": "aumer.bench.tasks.recognition",
        "scored": "aumer.bench.tasks.recognition_result",
        "Fold": "aumer.bench.tasks.recognition_result.RecognitionFold",
        "RecognitionResult": "aumer.bench.tasks.recognition_result",
        "read_fold": "aumer.bench.store, with RecognitionFold.of",
    },
)
