"""What boto3 knows of S3: files of megabytes, read once for all clients of this process, and of those that are forked from it."""

from __future__ import annotations

import boto3
from botocore.loaders import create_loader
from botocore.session import Session

_loader = create_loader(Session().get_config_variable("data_path"))


def session(access_key: str | None, secret_key: str | None, region: str) -> boto3.session.Session:
    """A session that does not read them again."""
    core = Session()
    core.register_component("data_loader", _loader)
    return boto3.session.Session(aws_access_key_id=access_key, aws_secret_access_key=secret_key, region_name=region, botocore_session=core)


session("none", "none", "us-east-1").client("s3")
