#!/bin/sh
# Health check of a container: its service has touched its file lately, or has said that it has ended. Starts no interpreter.
file=${THALWEG_ALIVE_FILE:?} max_age_s=${1:-20}
[ -f "$file" ] || exit 1
[ "$(cat "$file")" = ended ] && exit 0
[ $(($(date +%s) - $(stat -c %Y "$file"))) -le "$max_age_s" ]
