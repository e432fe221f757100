"""Methods that make fits, one file each."""

ANNOTATORS = ("neuralannot", "smplifyx", "smplify", "eft")
"""Names that `run --annotator` takes."""
LEARNS = "neuralannot"
"""The one of them that learns: it has rounds, and a network that can be tuned."""
PARTS_OF = {
    "neuralannot": ("body", "hands", "face", "whole"),
    "smplifyx": ("whole", "body", "hands", "face"),
    "smplify": ("body",),
    "eft": ("body",),
}
"""Parts that each makes fits of. One that optimises takes the first by default, one that learns those of its recipe."""
FAMILY_OF = {"smplifyx": "smplx", "smplify": "smpl"}
"""The body model of those that optimise; they learn nothing and have no rounds."""
