#!/bin/sh
# Runs what the first argument names: a service, or any command of the image.
case ${1:-} in
coordinator | gateway | vertex)
    service=thalweg_$1
    shift
    exec python -m "$service" "$@"
    ;;
capture)
    shift
    exec python -m thalweg_coordinator.capture "$@"
    ;;
*) exec "$@" ;;
esac
