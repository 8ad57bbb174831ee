"""The data of the course: R's random stream, the three data sets and the simulators."""

from helpers.data.datasets import (
    FOLDER_VARIABLE,
    DataFileError,
    data_note,
    example_file,
    load_gpa,
    load_pupils,
    load_sleepstudy,
    load_speed,
)
from helpers.data.prepare import (
    date_orders,
    merge_spellings,
    months_since,
    read_file,
    stack_occasions,
    tidy_columns,
    within_between,
)
from helpers.data.r_random import RRandom, check_integer, check_number
from helpers.data.simulate import (
    GPA_SETTINGS,
    SCENARIOS,
    create_data,
    gpa_setting,
    treatment_clusters,
    true_coefficients,
)

__all__ = [
    "FOLDER_VARIABLE",
    "GPA_SETTINGS",
    "SCENARIOS",
    "DataFileError",
    "RRandom",
    "check_integer",
    "check_number",
    "create_data",
    "data_note",
    "date_orders",
    "example_file",
    "gpa_setting",
    "load_gpa",
    "load_pupils",
    "load_sleepstudy",
    "load_speed",
    "merge_spellings",
    "months_since",
    "read_file",
    "stack_occasions",
    "tidy_columns",
    "within_between",
    "treatment_clusters",
    "true_coefficients",
]
