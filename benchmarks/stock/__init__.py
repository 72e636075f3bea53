"""The same search as users of MONAI and Ray Tune write it, and what is read from the logs of it and of ours."""
