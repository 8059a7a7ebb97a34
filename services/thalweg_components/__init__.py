"""The standard library of component releases: one module a release, imported only when it is asked for."""

from __future__ import annotations

_SOURCES, _PROCESSORS, _FILES = f"{__name__}.sources", f"{__name__}.processors", f"{__name__}.files"
_ENDPOINTS, _CONVERTERS = f"{__name__}.endpoints", f"{__name__}.converters"

INDEX: dict[str, str] = {
    "csv-source@1.0.0": f"{_SOURCES}.csv_source",
    "jsonl-source@1.0.0": f"{_SOURCES}.jsonl_source",
    "parquet-source@1.0.0": f"{_SOURCES}.parquet_source",
    "image-directory-source@1.0.0": f"{_SOURCES}.image_directory_source",
    "video-file-source@1.0.0": f"{_SOURCES}.video_file_source",
    "timer-source@1.0.0": f"{_SOURCES}.timer_source",
    "random-source@1.0.0": f"{_SOURCES}.random_source",
    "filter@1.0.0": f"{_PROCESSORS}.filter",
    "map@1.0.0": f"{_PROCESSORS}.map",
    "select@1.0.0": f"{_PROCESSORS}.select",
    "aggregate@1.0.0": f"{_PROCESSORS}.aggregate",
    "join@1.0.0": f"{_PROCESSORS}.join",
    "sort-by-time@1.0.0": f"{_PROCESSORS}.sort_by_time",
    "deduplicate@1.0.0": f"{_PROCESSORS}.deduplicate",
    "sample@1.0.0": f"{_PROCESSORS}.sample",
    "rate-limit@1.0.0": f"{_PROCESSORS}.rate_limit",
    "switch@1.0.0": f"{_PROCESSORS}.switch",
    "merge@1.0.0": f"{_PROCESSORS}.merge",
    "split-list@1.0.0": f"{_PROCESSORS}.split_list",
    "flatten@1.0.0": f"{_PROCESSORS}.flatten",
    "template@1.0.0": f"{_PROCESSORS}.template",
    "enrich@1.0.0": f"{_PROCESSORS}.enrich",
    "python@1.0.0": f"{_PROCESSORS}.python",
    "resize@1.0.0": f"{_PROCESSORS}.resize",
    "crop@1.0.0": f"{_PROCESSORS}.crop",
    "color@1.0.0": f"{_PROCESSORS}.color",
    "motion@1.0.0": f"{_PROCESSORS}.motion",
    "draw@1.0.0": f"{_PROCESSORS}.draw",
    "rename@1.0.0": f"{_CONVERTERS}.rename",
    "cast@1.0.0": f"{_CONVERTERS}.cast",
    "to-json@1.0.0": f"{_CONVERTERS}.to_json",
    "from-json@1.0.0": f"{_CONVERTERS}.from_json",
    "text-to-bytes@1.0.0": f"{_CONVERTERS}.text_to_bytes",
    "bytes-to-text@1.0.0": f"{_CONVERTERS}.bytes_to_text",
    "table-to-records@1.0.0": f"{_CONVERTERS}.table_to_records",
    "records-to-table@1.0.0": f"{_CONVERTERS}.records_to_table",
    "image-format@1.0.0": f"{_CONVERTERS}.image_format",
    "http-in@1.0.0": f"{_ENDPOINTS}.http_in",
    "http-out@1.0.0": f"{_ENDPOINTS}.http_out",
    "csv-file@1.0.0": f"{_FILES}.csv_file",
    "jsonl-file@1.0.0": f"{_FILES}.jsonl_file",
    "parquet-file@1.0.0": f"{_FILES}.parquet_file",
    "image-directory@1.0.0": f"{_FILES}.image_directory",
    "video-file@1.0.0": f"{_FILES}.video_file",
}

__all__ = ["INDEX"]
