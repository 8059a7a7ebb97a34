#!/usr/bin/env bash
# Runs the example pipelines on real data: for each, what goes in, what came out and where it is. With `all`, every example there is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Files of a folder with their sizes.
list() {
    find "$1" -type f -not -name '.*' -printf '  %10s bytes  %p\n' | sort -k3
}

# Runs a pipeline; its files come into a folder.
run() {
    local pipeline="$1" out="$2"
    mkdir -p "$out"
    printf '\n== %s\nin:\n' "$pipeline"
    list "$(dirname "$pipeline")/data"
    .venv/bin/thalweg run "$pipeline" --out "$out"
    printf 'out:\n'
    list "$out"
}

# Runs an example that is a service: its `demo.py` starts it, asks it and ends it.
serve() {
    printf '\n== %s, as a service\nin:\n' "$1/pipeline.yaml"
    list "$1/data"
    printf 'out:\n'
    .venv/bin/python "$1/demo.py"
}

run examples/weather/pipeline.yaml out/weather
run examples/video/pipeline.yaml out/video
serve examples/inference
[[ "${1:-}" == all ]] || exit 0

for pipeline in examples/*/pipeline.yaml; do
    folder="$(dirname "$pipeline")"
    case "$folder" in examples/weather | examples/video | examples/inference) continue ;; esac
    if [[ -f "$folder/demo.py" ]]; then serve "$folder"; else run "$pipeline" "out/$(basename "$folder")"; fi
done
for pipeline in examples/library/*.yaml; do
    run "$pipeline" "out/library/$(basename "$pipeline" .yaml)"
done
