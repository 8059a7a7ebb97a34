"""Says of a deployment where the flow of records ends and why, from its log alone."""

from thalweg.client.diagnosis.findings import Diagnosis, Finding
from thalweg.client.diagnosis.flow import diagnose

__all__ = ["Diagnosis", "Finding", "diagnose"]
