"""The function of `bench-fahrenheit` served by FastAPI alone: what a user would write who needs neither a log nor a graph.

python fastapi_alone.py nats://unused --port 18080
"""

from __future__ import annotations

import argparse

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Reading(BaseModel):
    """One reading."""

    id: int
    name: str
    value: float
    unit: str
    ok: bool
    tags: list[str]
    note: str


@app.post("/convert")
async def convert(reading: Reading) -> Reading:
    """Converts one reading."""
    return reading.model_copy(update={"value": reading.value * 1.8 + 32})


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("--port", type=int, required=True)
    uvicorn.run(app, port=arguments.parse_args().port, log_level="warning", access_log=False)
