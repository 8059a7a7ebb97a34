"""Stream types, acceptance, manifests, pipeline files and their validation; pure."""
