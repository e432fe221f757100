"""Methods that make fits, one file each."""

ANNOTATORS = ("neuralannot", "eft")
"""Names that `run --annotator` takes."""
