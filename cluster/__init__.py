"""Where a sweep runs: connecting to a Ray cluster, local or remote. Knows Ray core, nothing of the application."""
