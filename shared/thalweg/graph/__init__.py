"""Stream types, acceptance, manifests, pipeline files and their validation, backends and their operation logs; pure."""
