"""SMPLify-X: the published objective and schedule, the people to fit, and what solves them.

The objective knows nothing of any solver, and a solver nothing of bodies; `docs/smplifyx.md` explains every term.
"""
