"""What can be wrong with a search space, as one tree.

SpaceError (ValueError)       a space, or a configuration held against it; the message says key, rule and value
└── YamlFileError             a YAML file can't be read as one; the message says file and line
"""


class SpaceError(ValueError):
    """A search space, or a configuration that should lie in it, breaks a rule."""


class YamlFileError(SpaceError):
    """A YAML file can't be read, is not YAML, or uses more of YAML than these files need."""
