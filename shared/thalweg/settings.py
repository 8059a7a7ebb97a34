"""Settings of a process, read once at its entry point from options, the environment, then `thalweg.toml`."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from thalweg.errors import UsageError
from thalweg.launching import LauncherName

SETTINGS_FILE = "thalweg.toml"
EMBEDDED_NATS = "thalweg-embedded"  # name of the embedded server, which syncs what it acknowledges
SECRET_PREFIX = "THALWEG_SECRET_"  # and a secret's name, for runs without a store of secrets
SEALING_KEYS = ("THALWEG_SECRET_KEY", "THALWEG_SIGNING_KEY")
_ALIVE_FILE = "THALWEG_ALIVE_FILE"  # of this process, not of its children
DeclaredSync = Literal["always", "lazy"]
_STORE_KEYS = ("THALWEG_S3_ACCESS_KEY", "THALWEG_S3_SECRET_KEY")


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class Settings(BaseSettings):
    """What a Thalweg process is told about where it is; each field is the variable `THALWEG_<FIELD>`.

    Attributes:
        nats_url: server to use, or several of one cluster, joined by commas; None means that the embedded stack is brought up.
        nats_sync: what whoever runs that server says of it: whether it has on disk what it acknowledges. It cannot be asked.
        replicas: on how many servers of the cluster each stream and bucket is kept.
        http_url: gateway to use.
        s3_endpoint: file store to use; None means that the embedded stack is brought up.
        s3_bucket: bucket of all workspaces.
        s3_access_key: key id for the file store; None leaves it to boto3's own lookup.
        s3_secret_key: its secret; never shown by `repr`.
        secret_key: base64 of the 32 bytes that seal secrets; None for the file `<data>/secret.key`; never shown by `repr`.
        signing_key: base64 of the 32 bytes that sign evidence; None for the file `<data>/signing.key`; never shown by `repr`.
        workspace: namespace of everything that is made.
        data: folder of the embedded stack.
        lease_ttl_s: how long what a killed `run` has made is held, until it is rolled back.
        components: further folders or files with components; as a variable, joined like `PATH`.
        log_max_age_s, log_max_bytes: how long log records are kept, and how many bytes of them.
        metrics_port: where the coordinator serves Prometheus metrics; 0 for nowhere.
        metrics_host: on which address.
        alive_file: touched every 2 s while a service works, for health checks of containers; None for no such file.
        launcher: what starts the vertices of deployments that do not say.
        vertex_image: container image of vertices; None for the one of this version.
        vertex_memory_bytes, vertex_cpus: what the container of a vertex may use at most; 0 for no limit.
        docker_network: network that containers of vertices join.
    """

    model_config = SettingsConfigDict(env_prefix="THALWEG_", toml_file=SETTINGS_FILE, extra="forbid", frozen=True)

    nats_url: str | None = None
    nats_sync: DeclaredSync | None = None
    replicas: Annotated[Literal[1, 3, 5], BeforeValidator(_number)] = 1
    http_url: str | None = None
    s3_endpoint: str | None = None
    s3_bucket: str = Field("thalweg", min_length=3)
    s3_access_key: str | None = None
    s3_secret_key: str | None = Field(None, repr=False)
    secret_key: str | None = Field(None, repr=False)
    signing_key: str | None = Field(None, repr=False)
    workspace: str = Field("default", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    data: Path = Path(".thalweg")
    lease_ttl_s: float = Field(60.0, ge=1.0, le=86_400.0)
    components: Annotated[tuple[Path, ...], NoDecode] = ()
    log_max_age_s: float = Field(7 * 86_400.0, ge=1, le=10 * 366 * 86_400)
    log_max_bytes: int = Field(256 << 20, ge=1 << 20)
    metrics_port: int = Field(0, ge=0, le=65_535)
    metrics_host: str = Field("127.0.0.1", min_length=1)
    alive_file: Path | None = None
    launcher: LauncherName = "process"
    vertex_image: str | None = None
    vertex_memory_bytes: int = Field(0, ge=0)
    vertex_cpus: float = Field(0.0, ge=0, le=1024)
    docker_network: str = Field("thalweg", min_length=1)

    @field_validator("components", mode="before")
    @classmethod
    def _split_paths(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [part for part in value.split(os.pathsep) if part]
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: options, environment, `thalweg.toml` of the working directory."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def child_environment(*, with_store: bool, with_keys: bool = False) -> dict[str, str]:
    """This process's environment as a child of it may see it.

    Args:
        with_store: whether it needs the file store's keys.
        with_keys: whether it needs the keys that seal secrets and sign evidence.
    """
    kept = {**os.environ}
    for name in os.environ:
        is_key = name in SEALING_KEYS
        if (
            name == _ALIVE_FILE
            or (is_key and not with_keys)
            or (not is_key and name.startswith(SECRET_PREFIX))
            or (name in _STORE_KEYS and not with_store)
        ):
            del kept[name]
    return kept


def load_settings(**options: Any) -> Settings:
    """Read the settings; options that are None count as not given. Call it at entry points only.

    Raises:
        UsageError: a value is not valid (`settings.invalid`); the message names the field, never a secret's value.
    """
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_input=False))
        raise UsageError(f"settings: {faults}", code="settings.invalid", hint=f"see THALWEG_* and {SETTINGS_FILE}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{SETTINGS_FILE}: {error}", code="settings.invalid") from None
