"""Results: `SpotResult`, its files and plots, and `Prediction`.

Importing this needs only numpy; pandas, matplotlib and cv2 are imported where they are used. A run
of a benchmark as one page is `aumer.report.report.report`.
"""

from typing import TYPE_CHECKING

from aumer._moved import moved
from aumer.results.crops import thumbnails
from aumer.results.formats import Format, check_suffix, suffixes
from aumer.results.inputs import InputRow, inputs_csv, inputs_dataframe
from aumer.results.plots import plot_timeline, timeline_frames
from aumer.results.prediction import Prediction
from aumer.results.predictions import predictions_csv, predictions_dataframe
from aumer.results.spot_result import SCHEMA, SCHEMA_VERSION, SpotResult
from aumer.results.writers import csv_text, dataframe

__all__ = [
    "Format",
    "InputRow",
    "Prediction",
    "SpotResult",
    "SCHEMA",
    "SCHEMA_VERSION",
    "check_suffix",
    "csv_text",
    "dataframe",
    "inputs_csv",
    "inputs_dataframe",
    "plot_timeline",
    "predictions_csv",
    "predictions_dataframe",
    "suffixes",
    "thumbnails",
    "timeline_frames",
]


if not TYPE_CHECKING:  # unknown names must stay errors for mypy
    __getattr__ = moved(__name__, {"SUFFIXES": "aumer.results.suffixes"})
