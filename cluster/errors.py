"""What can go wrong between a sweep and its cluster."""


class ClusterError(ValueError):
    """No cluster answers at the address given, or it can't give what is asked for."""
