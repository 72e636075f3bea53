"""Search spaces as pure data: parameters, the space, its YAML form, and presets for the Decathlon's tasks."""
