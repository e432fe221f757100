"""Methods that make fits, one file each."""

ANNOTATORS = ("neuralannot",)
"""Names that `run --annotator` takes."""
