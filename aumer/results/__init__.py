"""What comes out: `SpotResult`, its files and its plots, and `Prediction`.

Importing this needs numpy alone; pandas, matplotlib and cv2 are imported where they are used. A run
of a benchmark as one page is `aumer.report.report.report`.
"""

from aumer.results.crops import thumbnails
from aumer.results.inputs import InputRow, inputs_csv, inputs_dataframe
from aumer.results.plots import plot_timeline, timeline_frames
from aumer.results.prediction import Prediction
from aumer.results.spot_result import SCHEMA, SCHEMA_VERSION, SpotResult
from aumer.results.writers import SUFFIXES, check_suffix, csv_text, dataframe

__all__ = [
    "InputRow",
    "Prediction",
    "SpotResult",
    "SCHEMA",
    "SCHEMA_VERSION",
    "SUFFIXES",
    "check_suffix",
    "csv_text",
    "dataframe",
    "inputs_csv",
    "inputs_dataframe",
    "plot_timeline",
    "thumbnails",
    "timeline_frames",
]
