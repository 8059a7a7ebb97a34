"""The standard library of component releases: one module a release, imported only when it is asked for."""

from __future__ import annotations

_SOURCES, _PROCESSORS, _FILES = f"{__name__}.sources", f"{__name__}.processors", f"{__name__}.files"
_ENDPOINTS = f"{__name__}.endpoints"

INDEX: dict[str, str] = {
    "csv-source@1.0.0": f"{_SOURCES}.csv_source",
    "jsonl-source@1.0.0": f"{_SOURCES}.jsonl_source",
    "parquet-source@1.0.0": f"{_SOURCES}.parquet_source",
    "image-directory-source@1.0.0": f"{_SOURCES}.image_directory_source",
    "video-file-source@1.0.0": f"{_SOURCES}.video_file_source",
    "replay-source@1.0.0": f"{_SOURCES}.replay_source",
    "filter@1.0.0": f"{_PROCESSORS}.filter",
    "map@1.0.0": f"{_PROCESSORS}.map",
    "select@1.0.0": f"{_PROCESSORS}.select",
    "aggregate@1.0.0": f"{_PROCESSORS}.aggregate",
    "join@1.0.0": f"{_PROCESSORS}.join",
    "sort-by-time@1.0.0": f"{_PROCESSORS}.sort_by_time",
    "deduplicate@1.0.0": f"{_PROCESSORS}.deduplicate",
    "resize@1.0.0": f"{_PROCESSORS}.resize",
    "crop@1.0.0": f"{_PROCESSORS}.crop",
    "color@1.0.0": f"{_PROCESSORS}.color",
    "motion@1.0.0": f"{_PROCESSORS}.motion",
    "draw@1.0.0": f"{_PROCESSORS}.draw",
    "http-in@1.0.0": f"{_ENDPOINTS}.http_in",
    "http-out@1.0.0": f"{_ENDPOINTS}.http_out",
    "csv-file@1.0.0": f"{_FILES}.csv_file",
    "jsonl-file@1.0.0": f"{_FILES}.jsonl_file",
    "parquet-file@1.0.0": f"{_FILES}.parquet_file",
    "image-directory@1.0.0": f"{_FILES}.image_directory",
    "video-file@1.0.0": f"{_FILES}.video_file",
}

__all__ = ["INDEX"]
