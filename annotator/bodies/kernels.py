"""The loops of the body model on the CPU, forward and backward, compiled by numba on first use and kept beside this file.

One pass over the people replaces some hundred small torch operations. A thread may run any of them; none starts threads.

Legend: B people, J joints, U vertices evaluated, K points. A matrix `m` is nine numbers by rows, a transform twelve: three
rows of a rotation with the offset behind each. Parents come before their children. Tables of sparse rows are `starts`,
`columns`, `weights`: the entries of row r are those from `starts[r]` to `starts[r + 1]`.
"""

# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUntypedFunctionDecorator=false, reportUnknownMemberType=false
from __future__ import annotations

import math

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
_SMALL = 1e-3
LANES = 64
"""People that lie side by side in a tile: their transforms, 170 KB for 55 joints, stay in a processor's second cache."""
_NEAR = 8


@_compiled
def _coefficients(t):
    """Of Rodrigues' formula for a squared angle: cosine, sin / angle, (1 - cos) / angle^2, and the slopes of the last two."""
    if t < _SMALL:
        return (
            1 - t / 2 + t * t / 24,
            1 - t / 6 + t * t / 120,
            0.5 - t / 24 + t * t / 720,
            -1 / 6 + t / 60 - t * t / 1680,
            -1 / 24 + t / 360 - t * t / 13440,
        )
    angle = math.sqrt(t)
    c, a = math.cos(angle), math.sin(angle) / angle
    b = (1 - c) / t
    return c, a, b, (c - a) / (2 * t), (a / 2 - b) / t


@_compiled
def to_matrices(vectors, matrices):
    """`(N, 3)` axis-angle -> `(N, 9)` rotations."""
    for n in range(len(vectors)):
        x, y, z = float(vectors[n, 0]), float(vectors[n, 1]), float(vectors[n, 2])
        c, a, b, _, _ = _coefficients(x * x + y * y + z * z)
        m = matrices[n]
        m[0], m[4], m[8] = c + b * x * x, c + b * y * y, c + b * z * z
        m[1], m[3] = b * x * y - a * z, b * x * y + a * z
        m[2], m[6] = b * x * z + a * y, b * x * z - a * y
        m[5], m[7] = b * y * z - a * x, b * y * z + a * x


@_compiled
def to_matrices_backward(vectors, of_matrices, of_vectors):
    """Gradients `(N, 9)` of rotations -> `(N, 3)` of axis-angle."""
    for n in range(len(vectors)):
        x, y, z = float(vectors[n, 0]), float(vectors[n, 1]), float(vectors[n, 2])
        _, a, b, da, db = _coefficients(x * x + y * y + z * z)
        g = of_matrices[n]
        twist_x, twist_y, twist_z = g[7] - g[5], g[2] - g[6], g[3] - g[1]
        along_x = 2 * g[0] * x + (g[1] + g[3]) * y + (g[2] + g[6]) * z
        along_y = (g[1] + g[3]) * x + 2 * g[4] * y + (g[5] + g[7]) * z
        along_z = (g[2] + g[6]) * x + (g[5] + g[7]) * y + 2 * g[8] * z
        slope = -a * (g[0] + g[4] + g[8])
        slope += 2 * da * (twist_x * x + twist_y * y + twist_z * z)
        slope += db * (along_x * x + along_y * y + along_z * z)
        of_vectors[n, 0] = slope * x + a * twist_x + b * along_x
        of_vectors[n, 1] = slope * y + a * twist_y + b * along_y
        of_vectors[n, 2] = slope * z + a * twist_z + b * along_z


@_compiled
def chain(local, rest, parents, turned, placed, transforms, inputs, first):
    """Poses the joints of everybody.

    Args:
        local: `(B, J, 9)` rotations of joints in their parents. rest: `(B, J, 3)` joints at rest. parents: `(J,)`.
        turned, placed: out: `(B, J, 9)` global rotations and `(B, J, 3)` places.
        transforms: out: `(B, J, 12)` from rest to posed. inputs: out: from column `first` on the pose feature `(B, 9 (J - 1))`.
    """
    for person in range(len(local)):
        for joint in range(len(parents)):
            m, t, p = local[person, joint], turned[person, joint], placed[person, joint]
            r, out = rest[person, joint], transforms[person, joint]
            if joint == 0:
                for k in range(9):
                    t[k] = m[k]
                for k in range(3):
                    p[k] = r[k]
            else:
                above = parents[joint]
                u, q, s = turned[person, above], placed[person, above], rest[person, above]
                bone_x, bone_y, bone_z = r[0] - s[0], r[1] - s[1], r[2] - s[2]
                for i in range(3):
                    ux, uy, uz = u[3 * i], u[3 * i + 1], u[3 * i + 2]
                    t[3 * i] = ux * m[0] + uy * m[3] + uz * m[6]
                    t[3 * i + 1] = ux * m[1] + uy * m[4] + uz * m[7]
                    t[3 * i + 2] = ux * m[2] + uy * m[5] + uz * m[8]
                    p[i] = q[i] + ux * bone_x + uy * bone_y + uz * bone_z
                feature = inputs[person, first + 9 * (joint - 1) : first + 9 * joint]
                for k in range(9):
                    feature[k] = m[k]
                feature[0] -= 1
                feature[4] -= 1
                feature[8] -= 1
            for i in range(3):
                tx, ty, tz = t[3 * i], t[3 * i + 1], t[3 * i + 2]
                out[4 * i], out[4 * i + 1], out[4 * i + 2] = tx, ty, tz
                out[4 * i + 3] = p[i] - tx * r[0] - ty * r[1] - tz * r[2]


@_compiled
def _transforms_backward(rest, turned, of_transforms, of_turned, of_placed, of_rest):
    """Gradients of one person's transforms: those of `rest` are begun, those of the other two added to."""
    for joint in range(len(rest)):
        r, t = rest[joint], turned[joint]
        g, gt, gp, gr = of_transforms[joint], of_turned[joint], of_placed[joint], of_rest[joint]
        for k in range(3):
            gr[k] = -(g[3] * t[k] + g[7] * t[3 + k] + g[11] * t[6 + k])
        for i in range(3):
            gp[i] += g[4 * i + 3]
            for k in range(3):
                gt[3 * i + k] += g[4 * i + k] - g[4 * i + 3] * r[k]


@_compiled
def chain_backward(
    local, rest, parents, turned, of_turned, of_placed, of_transforms, of_inputs, first, of_local, of_rest
):
    """Gradients of what `chain` makes -> of `local` and `rest`; `of_turned` and `of_placed` are used up."""
    for person in range(len(local)):
        given = rest[person], turned[person], of_transforms[person]
        _transforms_backward(*given, of_turned[person], of_placed[person], of_rest[person])
        for joint in range(len(parents) - 1, 0, -1):
            above = parents[joint]
            m, r, s = local[person, joint], rest[person, joint], rest[person, above]
            u, gu = turned[person, above], of_turned[person, above]
            gt, gp, gq = of_turned[person, joint], of_placed[person, joint], of_placed[person, above]
            gm, feature = of_local[person, joint], of_inputs[person, first + 9 * (joint - 1) : first + 9 * joint]
            for i in range(3):
                gq[i] += gp[i]
                for k in range(3):
                    gu[3 * i + k] += (
                        gt[3 * i] * m[3 * k] + gt[3 * i + 1] * m[3 * k + 1] + gt[3 * i + 2] * m[3 * k + 2]
                    ) + gp[i] * (r[k] - s[k])
                    gm[3 * i + k] = u[i] * gt[k] + u[3 + i] * gt[3 + k] + u[6 + i] * gt[6 + k] + feature[3 * i + k]
                bone = u[i] * gp[0] + u[3 + i] * gp[1] + u[6 + i] * gp[2]
                of_rest[person, joint, i] += bone
                of_rest[person, above, i] -= bone
        for k in range(9):
            of_local[person, 0, k] = of_turned[person, 0, k]
        for k in range(3):
            of_rest[person, 0, k] += of_placed[person, 0, k]


@_compiled
def _blend(transforms, starts, columns, weights, vertex, blended):
    blended[:] = 0
    for entry in range(starts[vertex], starts[vertex + 1]):
        weight, of_joint = weights[entry], transforms[columns[entry]]
        for k in range(12):
            blended[k] += weight * of_joint[k]


@_compiled
def skin(rest, transforms, starts, columns, weights, posed, first):
    """`(B, U, 3)` vertices at rest, each moved by the weighted transforms `(B, J, 12)` of its joints, from row `first` on."""
    blended = np.empty(12, np.float32)
    for person in range(len(rest)):
        for vertex in range(rest.shape[1]):
            _blend(transforms[person], starts, columns, weights, vertex, blended)
            x, y, z = rest[person, vertex, 0], rest[person, vertex, 1], rest[person, vertex, 2]
            for i in range(3):
                posed[person, first + vertex, i] = (
                    blended[4 * i] * x + blended[4 * i + 1] * y + blended[4 * i + 2] * z + blended[4 * i + 3]
                )


@_compiled
def tile(transforms, moved, tiles):
    """`(B, J, 12)` transforms, each person's moved by `moved` `(B, 3)`, into zeros `(T, J, 12 LANES)`, people side by side."""
    for person in range(len(transforms)):
        of_joints, lane = tiles[person // LANES], person % LANES
        for joint in range(transforms.shape[1]):
            for k in range(12):
                of_joints[joint, k * LANES + lane] = transforms[person, joint, k]
            for i in range(3):
                of_joints[joint, (4 * i + 3) * LANES + lane] += moved[person, i]


@_compiled
def _blend_four(tile, columns, weights, blended):
    a, b, c, d = tile[columns[0]], tile[columns[1]], tile[columns[2]], tile[columns[3]]
    wa, wb, wc, wd = weights[0], weights[1], weights[2], weights[3]
    for i in range(12 * LANES):
        blended[i] = wa * a[i] + wb * b[i] + wc * c[i] + wd * d[i]


@_compiled
def _blend_one_more(of_joint, weight, blended):
    for i in range(12 * LANES):
        blended[i] += weight * of_joint[i]


@_compiled
def _move_lanes(blended, x, y, z, moved):
    for i in range(3):
        row = 4 * i * LANES
        for lane in range(len(x)):
            moved[i * LANES + lane] = (
                blended[row + lane] * x[lane]
                + blended[row + LANES + lane] * y[lane]
                + blended[row + 2 * LANES + lane] * z[lane]
                + blended[row + 3 * LANES + lane]
            )


@_compiled
def skin_tiles(rest, tiles, starts, columns, weights, posed, first):
    """`skin` of many people, in lanes side by side: `rest` is `(3 U, B)`, `tiles` what `tile` makes.

    A vertex has four weights at least, zeros among them. Vertices are put together by `_NEAR` before they are written, so
    that a person's lie in one piece of memory.
    """
    blended, moved = np.empty(12 * LANES, np.float32), np.empty((_NEAR, 3 * LANES), np.float32)
    vertices = len(rest) // 3
    for t in range(len(tiles)):
        people = slice(t * LANES, min((t + 1) * LANES, rest.shape[1]))
        for begin in range(0, vertices, _NEAR):
            near = min(_NEAR, vertices - begin)
            for k in range(near):
                vertex = begin + k
                entry, end = starts[vertex], starts[vertex + 1]
                _blend_four(tiles[t], columns[entry : entry + 4], weights[entry : entry + 4], blended)
                for more in range(entry + 4, end):
                    _blend_one_more(tiles[t, columns[more]], weights[more], blended)
                x, y, z = rest[3 * vertex, people], rest[3 * vertex + 1, people], rest[3 * vertex + 2, people]
                _move_lanes(blended, x, y, z, moved[k])
            for lane in range(people.stop - people.start):
                of_person = posed[people.start + lane, first + begin : first + begin + near]
                for k in range(near):
                    for i in range(3):
                        of_person[k, i] = moved[k, i * LANES + lane]


@_compiled
def skin_backward(rest, transforms, starts, columns, weights, of_posed, of_rest, of_transforms):
    """Gradients of `posed` -> of `rest`, and added to those of `transforms`."""
    blended, of_blended = np.empty(12, np.float32), np.empty(12, np.float32)
    for person in range(len(rest)):
        for vertex in range(rest.shape[1]):
            _blend(transforms[person], starts, columns, weights, vertex, blended)
            g = of_posed[person, vertex]
            for k in range(3):
                of_rest[person, vertex, k] = blended[k] * g[0] + blended[4 + k] * g[1] + blended[8 + k] * g[2]
            for i in range(3):
                for k in range(3):
                    of_blended[4 * i + k] = g[i] * rest[person, vertex, k]
                of_blended[4 * i + 3] = g[i]
            for entry in range(starts[vertex], starts[vertex + 1]):
                weight, of_joint = weights[entry], of_transforms[person, columns[entry]]
                for k in range(12):
                    of_joint[k] += weight * of_blended[k]


@_compiled
def gather(source, starts, columns, weights, points):
    """`(B, K, 3)` points: to each is added its weighted sum of `source` `(B, n, 3)`."""
    for person in range(len(source)):
        for point in range(points.shape[1]):
            for entry in range(starts[point], starts[point + 1]):
                for k in range(3):
                    points[person, point, k] += weights[entry] * source[person, columns[entry], k]


@_compiled
def gather_backward(of_points, starts, columns, weights, of_source):
    """Gradients of points, added to those of what they were gathered from."""
    for person in range(len(of_points)):
        for point in range(of_points.shape[1]):
            for entry in range(starts[point], starts[point + 1]):
                for k in range(3):
                    of_source[person, columns[entry], k] += weights[entry] * of_points[person, point, k]
