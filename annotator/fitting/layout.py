"""Where everything lies in the arrays that kernels work on.

A kernel is handed four arrays and no objects: `whole` (whole numbers: sizes, the tree, and where everything else begins),
`body` (the model and the weights of one stage), `net` (the decoder) and `work` (scratch of one thread), beside one row of
`people`. numba takes minutes to compile functions that pass tuples of sixty arrays to one another, and seconds for these.
So `whole[PARENT]` is where the parents begin in `whole`, `whole[REST]` where the rest positions begin in `body`, and
`whole[TURN]` where the joints' rotations begin in `work`. Columns are padded with zeros to whole vectors of eight.

Legend: J joints that count, B of them driven by the pose, Z numbers of the pose, P the same padded, A attachments of points
to joints, K points, G groups of points, H units of a hidden layer, W columns of a row of the Jacobian.

State of a person, `whole[SIZE]` numbers and then the nine of the root's rotation:

    articulations (hands, face) | shape | pose | root (3, unused) | translation (3)

The solver varies the numbers from FIRST to LAST; those of the root are a rotation in camera space, applied on the left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SHAPES = 20
"""Numbers of betas and expression together."""
SHAPE_PAD = 24
ARM = 12
"""Most numbers that one articulation (a hand, or jaw and eyes) has."""
ARM_PAD = 16

# Columns of a point's row in the Jacobian of its group.
RESIDUAL = 12
"""Column of the residual, behind the articulation's, so that the Gram matrix holds the gradient too."""
SHAPE_AT = 14
POSE_AT = SHAPE_AT + SHAPES
"""Then six numbers of the anchor's twist, or pose, root and translation themselves."""
ANCHORED = POSE_AT + 6

NO_POSE, LATENT, AXIS_ANGLE = 0, 1, 2
"""Values of `whole[POSE_KIND]`."""
OUTLINE_ROOM = 16
"""Most attachments of a point of the face's outline."""
SIDES = 39
"""Rows of the outline on each side of the frontal one, one a degree of the neck's yaw."""
TERMS = ("points", "body_prior", "bending", "shape", "expression")
"""Terms of the objective; those of the articulations follow."""
PENETRATION = 8
"""Place of self-penetration among the terms, behind those of three articulations."""
ALL_TERMS = PENETRATION + 1
FLIPS = 64
"""Units of a layer whose sign may change before the decoder's Jacobian is made anew."""
OUT = 128
"""The decoder's outputs, padded."""

# -- whole: sizes ------------------------------------------------------------------------------------------------------------

SIZES = (
    *("joints", "points", "groups", "arms", "features", "bends", "components"),  # components of a mixture of the pose
    *("dims", "pose", "pose_pad", "core_pad", "pose_kind", "hidden"),  # dims: 2 px or 3 metres
    *("shape_at", "pose_at", "root_at", "transl_at", "size", "first", "last"),  # of the state
    *("rest_long", "dense_width", "feature_wide"),
    *("neck", "outline", "outline_group"),  # joint whose yaw chooses the outline (-1: none is), its points, their group
    *("spheres", "pairs", "overlap_wide"),  # of self-penetration; no pairs where it is off
)
# fmt: off
(
    JOINTS, POINTS, GROUPS, ARMS, FEATURES, BENDS, COMPONENTS,
    DIMS, POSE, POSE_PAD, CORE_PAD, POSE_KIND, HIDDEN,
    SHAPE_START, POSE_START, ROOT_START, TRANSL_START, SIZE, FIRST, LAST,
    REST_LONG, DENSE_WIDTH, FEATURE_WIDE, NECK, OUTLINE, OUTLINE_GROUP,
    SPHERES, PAIRS, OVERLAP_WIDE,
) = range(len(SIZES))
# fmt: on

# -- whole: places of arrays of whole numbers -----------------------------------------------------------------------------------

TABLES = (
    "parent",  # (J,) before its children
    "pose_joint",  # (J,) row among the pose's rotations, -1 if none
    "pose_moves",  # (J,) whether the joint's rates by the pose are needed
    "arm",  # (J,) the articulation that turns the joint, -1 if none
    "arm_chain",  # (J,) the varied articulation that turns the joint or one above it, -1 if none
    "feature_joint",  # (C,) joints whose rotation changes attachments
    "point_row",  # (K,) row among the people's points
    "point_first",  # (K + 1,) into attachments
    "point_outline",  # (K,) place in the face's outline, -1 for all other points
    "outline_first",  # (79 * 17 + 1,) into attachments, by row of the outline
    "at_joint",  # (A,) the outline's behind those of the other points
    "at_solid",  # (A,) 0 for a point on the joint itself
    "at_features",  # (A,) start in feature_parts of (3, padded width), -1 if none
    "group_first",  # (G + 1,) into points
    "group_anchor",  # (G,) the joint that carries it, but for articulation and shape; -1 if none
    "group_arm",  # (G,) its articulation, -1 if none
    "group_features",  # (G + 1,) into group_feature_joint
    "group_feature_joint",
    "arm_at",  # (arms,) in the state
    "arm_width",  # (arms,)
    "bend_joint",  # row among the pose's rotations
    "bend_row",  # row among the joints
    "bend_axis",
    "sphere_joint",  # (S,) rows among the joints
    "sphere_child",  # (S,)
    "pair",  # (pairs, 2) of spheres
)
# fmt: off
(
    PARENT, POSE_JOINT, POSE_MOVES, ARM_OF, ARM_CHAIN, FEATURE_JOINT, POINT_ROW, POINT_FIRST, POINT_OUTLINE,
    OUTLINE_FIRST,
    AT_JOINT, AT_SOLID, AT_FEATURES, GROUP_FIRST, GROUP_ANCHOR, GROUP_ARM, GROUP_FEATURES, GROUP_FEATURE_JOINT,
    ARM_START, ARM_WIDTH, BEND_JOINT, BEND_ROW, BEND_AXIS,
    SPHERE_JOINT, SPHERE_CHILD, PAIR,
) = range(len(SIZES), len(SIZES) + len(TABLES))
# fmt: on

# -- body: places of arrays of numbers --------------------------------------------------------------------------------------

BODY = (
    "fixed",  # (J, 9) local rotation where nothing turns it
    "arm_mean",  # (J, 3) axis-angle
    "arm_parts",  # (J, 3, 16)
    "rest",  # (L,) bones (J, 3), then levers (A, 3) in the frame of their joint, at the mean shape
    "rest_shapes",  # (20, L)
    "rest_features",  # (9 C, L)
    "bone_shapes",  # (J, 3, 24)
    "at_lever",  # (A, 3)
    "at_shapes",  # (A, 3, 24)
    "at_weight",  # (A,)
    "feature_parts",  # (3, padded width) each
    "point_weight",  # (K,) of the stage
    "arm_prior",  # (arms, 16, 16)
    "prior",  # (size,) weight of the square of every number
    "mixture_mean",  # (components, Z)
    "mixture_precision",  # (components, Z, Z), weighted
    "mixture_constant",  # (components,), weighted
    "bend_sign",
    "bend_weight",  # (1,)
    "rho",  # (1,) 0 is the plain distance (L1)
    "shape_most",  # (1,) how far a number of the shape may be from 0
    "sphere_share",  # (S,) of the way from the joint to its child
    "sphere_lever",  # (S, 3) from there, in the joint's frame
    "pair_reach",  # (pairs,) metres
    "overlap_weight",  # (1,) per square metre
)
_AFTER_TABLES = len(SIZES) + len(TABLES)
# fmt: off
(
    FIXED, ARM_MEAN, ARM_PARTS, REST, REST_SHAPES, REST_FEATURES, BONE_SHAPES, AT_LEVER, AT_SHAPES, AT_WEIGHT,
    FEATURE_PARTS, POINT_WEIGHT, ARM_PRIOR, PRIOR, MIXTURE_MEAN, MIXTURE_PRECISION, MIXTURE_CONSTANT,
    BEND_SIGN, BEND_WEIGHT, RHO, SHAPE_MOST, SPHERE_SHARE, SPHERE_LEVER, PAIR_REACH, OVERLAP_WEIGHT,
) = range(_AFTER_TABLES, _AFTER_TABLES + len(BODY))
# fmt: on

# -- net: a decoder of two hidden layers with leaky rectifiers, and where it stands at the latent zero ------------------------

NET = (
    "slope",  # (2,) of negative and of positive numbers
    "w1",  # (H, P)
    "w1t",  # (Z, H)
    "b1",
    "w2t",  # (H, H) by input unit
    "b2",
    "w3t",  # (H, 128) by input unit
    "b3",
    "m0",  # (P, H) W2 D1 W1, by number of the latent
    "j0",  # (128, P) W3 D2 W2 D1 W1
    "h10",  # the layers before their rectifiers
    "h20",
)
_AFTER_BODY = _AFTER_TABLES + len(BODY)
# fmt: off
(
    SLOPE, W1, W1T, B1, W2T, B2, W3T, B3, M0, J0, H10, H20,
) = range(_AFTER_BODY, _AFTER_BODY + len(NET))
# fmt: on

# -- work: scratch ------------------------------------------------------------------------------------------------------------

WORK = (
    # the decoder, where its Jacobian stands and (next) where it was evaluated last
    *("latent", "h2", "s1", "s2"),
    "m",  # (P, H)
    "j6",  # (128, P)
    *("change", "h1_next", "h2_next", "s1_next", "s2_next", "activation", "out"),
    *("flips_hidden", "flips_out", "flips_latent"),  # (64 + 4, H), (64 + 4, 128), (64 + 4, P)
    # the body
    "frame",  # (3, 8)
    "local",  # (J, 9) local rotations
    "turn",  # (J, 9) global ones
    "place",  # (J, 3)
    "posed_rest",  # (L,) bones and levers of this person
    "feature",  # (9 C,)
    "pose_rates",  # (B, 3, P) angular velocity in the parent's frame
    "twist",  # (J, 6, P) velocity, then angular velocity, by the pose
    "arm_rates",  # (J, 3, 16)
    "arm_twist",  # (J, 6, 16)
    "shape_place",  # (J, 3, 24) velocity by shape
    *("outline_row", "outline_lever"),  # (1,), (17, 16, 3)
    "terms",  # (9,) of the objective: TERMS, up to three articulations, and the last is PENETRATION
    # its points
    "point",  # (K, 3)
    "residual",  # (K, 3)
    "factors",  # (16, 3)
    "feature_row",  # (3, widest)
    "rows",
    "gram",
    "carrier",  # (8, core)
    "carried",  # (8, core)
    # its spheres
    "centre",  # (S, 3)
    "sphere_arm",  # (S, 3) the lever as it is turned
    "overlap_row",  # (20 + Z,)
)
_AFTER_NET = _AFTER_BODY + len(NET)
# fmt: off
(
    AT_LATENT, H2, S1, S2, M, J6,
    CHANGE, H1_NEXT, H2_NEXT, S1_NEXT, S2_NEXT, ACTIVATION, DECODED, FLIPS_HIDDEN, FLIPS_OUT, FLIPS_LATENT,
    FRAME, LOCAL, TURN, PLACE, POSED_REST, FEATURE, POSE_RATES, TWIST, ARM_RATES, ARM_TWIST, SHAPE_PLACE,
    OUTLINE_ROW, OUTLINE_LEVER, TERM,
    POINT, RESIDUALS, FACTORS, FEATURE_ROW, ROWS, GRAM, CARRIER, CARRIED,
    CENTRE, SPHERE_ARM, OVERLAP_ROW,
) = range(_AFTER_NET, _AFTER_NET + len(WORK))
# fmt: on
WORK_LONG = _AFTER_NET + len(WORK)
"""Numbers that `work` has."""
HEAD = WORK_LONG + 1

# -- people: columns of a row ------------------------------------------------------------------------------------------------

FOCAL, CENTER, DATA_WEIGHT, TARGETS = 0, 2, 4, 5
"""Focal length (2), centre (2), data weight, then four numbers a point: px or metres (3) and confidence."""


MEMORY = CHANGE
"""What of `work`, from its beginning on, the decoder needs to remember between the stages of a fit."""


class Task(NamedTuple):
    """One person in one stage: what the functions of the objective are handed by the solver."""

    whole: np.ndarray
    body: np.ndarray
    net: np.ndarray
    people: np.ndarray
    person: int


def pack(
    sizes: dict[str, int],
    tables: dict[str, np.ndarray],
    body: dict[str, np.ndarray],
    net: dict[str, np.ndarray],
    dtype: type,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`whole`, `body` and `net` from their parts by name."""
    whole = np.zeros(HEAD, np.int64)
    whole[: len(SIZES)] = [sizes[name] for name in SIZES]
    at = HEAD
    for slot, name in enumerate(TABLES, len(SIZES)):
        whole[slot] = at
        at += tables[name].size
    _place(whole, PARENT + len(TABLES), [body[name].size for name in BODY])
    _place(whole, SLOPE, [net[name].size for name in NET])
    whole[WORK_LONG] = _place(whole, AT_LATENT, _work_sizes(sizes, tables))
    whole = np.concatenate([whole, *(tables[name].ravel().astype(np.int64) for name in TABLES)])
    return whole, _joined([body[name] for name in BODY], dtype), _joined([net[name] for name in NET], dtype)


def _joined(arrays: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([_aligned(array.ravel().astype(dtype)) for array in arrays])


def _aligned(array: np.ndarray) -> np.ndarray:
    """Padded to whole vectors, so that the next array starts on one."""
    return np.concatenate([array, np.zeros(-len(array) % 16, array.dtype)])


def _place(whole: np.ndarray, slot: int, sizes: list[int]) -> int:
    """Writes where arrays of `sizes` begin, one after the other; returns where the last one ends."""
    at = 0
    for i, size in enumerate(sizes):
        whole[slot + i] = at
        at += size + -size % 16
    return at


def _work_sizes(sizes: dict[str, int], tables: dict[str, np.ndarray]) -> list[int]:
    joints, points, hidden = sizes["joints"], sizes["points"], sizes["hidden"]
    pad, core, width = sizes["pose_pad"], sizes["core_pad"], max(ANCHORED, sizes["dense_width"])
    rotations = int(tables["pose_joint"].max()) + 1
    long = {
        **dict.fromkeys(("latent", "change"), pad + 8),
        **dict.fromkeys(("h2", "s1", "s2", "h1_next", "h2_next", "s1_next", "s2_next", "activation"), hidden),
        **{"out": OUT, "m": hidden * pad, "j6": OUT * pad},
        **{"flips_hidden": (FLIPS + 4) * hidden, "flips_out": (FLIPS + 4) * OUT, "flips_latent": (FLIPS + 4) * pad},
        **{"frame": 24, "local": 9 * joints, "turn": 9 * joints, "place": 3 * joints},
        **{"posed_rest": sizes["rest_long"], "feature": 9 * sizes["features"], "pose_rates": rotations * 3 * pad},
        **{"twist": joints * 6 * pad, "arm_rates": joints * 3 * ARM_PAD, "arm_twist": joints * 6 * ARM_PAD},
        **{"outline_row": 1, "outline_lever": 3 * OUTLINE_ROOM * sizes["outline"], "terms": ALL_TERMS},
        **{"shape_place": joints * 3 * SHAPE_PAD, "point": 3 * points, "residual": 3 * points, "factors": 48},
        **{"feature_row": 3 * sizes["feature_wide"], "rows": (3 * points + 8) * width, "gram": (width + 8) * width},
        **{"carrier": 8 * core, "carried": 8 * core},
        **{"centre": 3 * sizes["spheres"], "sphere_arm": 3 * sizes["spheres"], "overlap_row": sizes["overlap_wide"]},
    }
    return [long[name] for name in WORK]
