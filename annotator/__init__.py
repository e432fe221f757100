"""The science of NeuralAnnot Desk: samples, fits, verdicts, body models, networks, procedures.

Never imports Qt or VTK. The modules that only hold what we know (`sample`, `fit`, `verdict`, `camera`,
`skeleton`, `images`, `project`, `runs`, `reviews`) import without torch, so that the desk starts quickly.
"""
