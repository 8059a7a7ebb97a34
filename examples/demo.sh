#!/usr/bin/env bash
# Runs the example pipelines on real data: for each, what goes in, what came out and where it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for name in weather video; do
    pipeline="examples/$name/pipeline.yaml"
    out="out/$name"
    mkdir -p "$out"
    printf '\n== %s: %s\nin:\n' "$name" "$pipeline"
    find "examples/$name/data" -type f -printf '  %10s bytes  %p\n' | sort -k3
    .venv/bin/thalweg run "$pipeline" --out "$out"
    printf 'out:\n'
    find "$out" -type f -not -name '.*' -printf '  %10s bytes  %p\n' | sort -k3
done

printf '\n== inference: examples/inference/pipeline.yaml, as a service\nin:\n'
find examples/inference/data -type f -printf '  %10s bytes  %p\n' | sort -k3
printf 'out:\n'
.venv/bin/python examples/inference/demo.py
