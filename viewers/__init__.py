"""Drawing: photos, projected meshes, keypoints, 3D panes, curves. Knows arrays, not annotations; never imports torch.

Importing the package imports nothing: Qt is needed by the widgets alone and VTK only when something is rendered.
"""
