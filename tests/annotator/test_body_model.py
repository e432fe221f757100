"""The torch evaluator of every family against its numpy sister, the smplx package, and finite differences."""

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import numpy as np
import pytest
import torch
from scipy import sparse

from annotator.bodies import skinning
from annotator.bodies.body_model import BodyModel
from annotator.bodies.files import OPEN_BODY, BodyModelData, default_root, load_body_model
from annotator.bodies.kernels import LANES
from annotator.bodies.official import create as official_model
from annotator.bodies.posing import Poser, axis_angle_to_matrix, parameter_widths
from annotator.bodies.skinning import MANY
from annotator.part import BODY
from annotator.skeleton import COCO_WHOLEBODY, HUMAN36M
from annotator.synthetic import sample_betas, sample_body_poses
from annotator.taught import TaughtPoints

MODELS = OPEN_BODY

TAUGHT = TaughtPoints(BODY, (COCO_WHOLEBODY, HUMAN36M), (HUMAN36M,))


@pytest.fixture(scope="module")
def bodies() -> Mapping[str, BodyModelData]:
    return {name: load_body_model(default_root(), name) for name in MODELS}


def people(family: str, shape: tuple[int, ...], seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: 0.4 * rng.standard_normal((*shape, width)).astype(np.float32)
        for name, width in parameter_widths(family).items()
    }


def tensors(parameters: Mapping[str, np.ndarray], dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(values, dtype=dtype) for name, values in parameters.items()}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("with_gradients", [False, True])
def test_it_equals_its_numpy_sister(bodies: Mapping[str, BodyModelData], name: str, with_gradients: bool) -> None:
    """Without gradients full meshes take the compiled way, with them the plain one."""
    body = bodies[name]
    given = people(body.family, (5,))
    maps = list(body.points.values())
    model = BodyModel(body, maps, vertices=True)
    found = model({key: values.requires_grad_(with_gradients) for key, values in tensors(given).items()})
    wanted = Poser(body).pose(given)
    assert found.vertices is not None
    assert found.vertices.requires_grad is with_gradients
    assert np.abs(found.vertices.detach().numpy() - wanted.vertices).max() < 1e-5
    assert np.abs(found.joints.detach().numpy() - wanted.joints).max() < 1e-5
    points = np.concatenate([m.apply(wanted.joints, wanted.vertices) for m in maps], axis=1)
    present = np.concatenate([m.present for m in maps])
    assert np.abs(found.points.detach().numpy() - points)[:, present].max() < 1e-5


@pytest.mark.parametrize("count", [MANY, LANES, 2 * LANES + 1])
def test_many_full_meshes_at_once_equal_few(bodies: Mapping[str, BodyModelData], count: int) -> None:
    """The way of many people, whole tiles and begun ones, against torch alone; vertices of one weight and of twelve."""
    hand = bodies["mano_right"]
    rng = np.random.default_rng(0)
    weights = sparse.csr_array(hand.weights).tolil()
    for vertex, columns in enumerate(([3], range(12))):
        weights[[vertex]] = 0
        weights[vertex, list(columns)] = rng.dirichlet(np.ones(len(columns)))
    body = replace(hand, weights=sparse.csr_array(weights, dtype=np.float32))
    model, given = BodyModel(body, list(body.points.values()), vertices=True), tensors(people("mano", (count,)))
    with torch.no_grad():
        found = model(given)
        wanted = model.double()({key: values.double() for key, values in given.items()})
    for name in ("joints", "rotations", "points", "vertices"):
        assert float((getattr(found, name) - getattr(wanted, name)).abs().max()) < 2e-6


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("block", [1 << 17, 1 << 15])
def test_full_meshes_agree_on_any_number_of_threads_and_leave_it_as_it_is(
    bodies: Mapping[str, BodyModelData], threads: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a thread that begins later, too."""
    monkeypatch.setattr(skinning, "_BLOCK", block)
    skinning._pool.cache_clear()
    before = torch.get_num_threads()
    model, given = BodyModel(bodies["smpl"], vertices=True), tensors(people("smpl", (MANY,)))
    try:
        torch.set_num_threads(threads)
        with torch.no_grad():
            found = model(given)
        with ThreadPoolExecutor(1) as later:
            numbers = torch.get_num_threads(), later.submit(torch.get_num_threads).result()
        inside = [pool_thread.result() for pool_thread in _numbers_inside(threads)]
    finally:
        torch.set_num_threads(before)
    assert numbers == (threads, threads)
    assert inside == [1] * len(inside)
    assert found.vertices is not None
    wanted = model.double()({key: values.double() for key, values in given.items()})
    assert float((found.vertices - wanted.vertices).abs().max()) < 2e-6


def _numbers_inside(threads: int) -> list[Future[int]]:
    """How many threads torch uses in each of the threads that skin, if there are any."""
    if threads == 1:
        return []
    together, pool = Barrier(threads), skinning._pool(threads, os.getpid())
    return [pool.submit(lambda: together.wait() * 0 + torch.get_num_threads()) for _ in range(threads)]


@pytest.mark.parametrize("name", MODELS)
def test_points_alone_equal_those_of_the_full_mesh(bodies: Mapping[str, BodyModelData], name: str) -> None:
    body = bodies[name]
    given, maps = tensors(people(body.family, (4,), 1)), list(body.points.values())
    few, all_of_it = BodyModel(body, maps)(given), BodyModel(body, maps, vertices=True)(given)
    assert few.vertices is None
    assert (few.points - all_of_it.points).abs().max() < 1e-6
    assert torch.equal(few.joints, all_of_it.joints)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_any_batch_shape_comes_back(bodies: Mapping[str, BodyModelData], shape: tuple[int, ...]) -> None:
    body = bodies["smplx"]
    model = BodyModel(body, TAUGHT.maps(body), contour=True)
    given = tensors(people("smplx", shape))
    found = model(given)
    flat = model({name: values.reshape(-1, values.shape[-1]) for name, values in given.items()})
    assert found.joints.shape == (*shape, 55, 3)
    assert found.contour is not None
    assert found.contour.shape == (*shape, 17, 3)
    assert torch.equal(found.points.reshape(flat.points.shape), flat.points)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(0,), (2, 0), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nobody_and_tables_of_people_are_posed_with_gradients(
    bodies: Mapping[str, BodyModelData], name: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    body = bodies[name]
    model = BodyModel(body, list(body.points.values()), vertices=True, contour=body.landmarks is not None).to(dtype)
    arrays = people(body.family, shape)
    given = {key: values.requires_grad_() for key, values in tensors(arrays, dtype).items()}
    found, wanted = model(given), Poser(body).pose(arrays)
    for values, same in ((found.vertices, wanted.vertices), (found.joints, wanted.joints)):
        assert values.dtype == dtype
        assert tuple(values.shape) == same.shape
        assert np.allclose(values.detach().numpy(), same, atol=1e-5)
    named = np.concatenate([wanted.points(skeleton) for skeleton in body.points], axis=-2)
    assert tuple(found.points.shape) == named.shape
    outline = 0 if found.contour is None else found.contour.sum()
    (found.points.sum() + found.vertices.sum() + outline).backward()
    assert all(values.grad is not None and values.grad.shape == values.shape for values in given.values())


def test_no_parameter_at_all_is_told(bodies: Mapping[str, BodyModelData]) -> None:
    for pose in (Poser(bodies["smpl"]).pose, BodyModel(bodies["smpl"])):
        with pytest.raises(ValueError, match="no parameter was given"):
            pose({})


@pytest.mark.parametrize("name", ["smplx", "flame"])
@pytest.mark.parametrize("turn", ["y up", "camera"])
def test_the_contour_follows_the_neck_as_in_the_smplx_package(
    bodies: Mapping[str, BodyModelData], name: str, turn: str
) -> None:
    body = bodies[name]
    yaws = np.deg2rad([-70, -38.6, -20, -3.4, 0, 7.7, 25, 39.4, 80])
    given = {key: 0 * values for key, values in people(body.family, (len(yaws),)).items()}
    neck = given["neck_pose"] if name == "flame" else given["body_pose"][:, 33:36]
    neck[:, 1] = yaws
    if turn == "camera":
        given["global_orient"][:, 0] = np.pi
    found = BodyModel(body, contour=True)(tensors(given)).contour
    package = official_model(default_root(), name, use_face_contour=True)
    for row in range(len(yaws)):
        with torch.no_grad():
            theirs = package(**{key: values[row : row + 1] for key, values in tensors(given).items()}).joints[0, -17:]
        assert found is not None
        assert (found[row] - theirs).abs().max() < 1e-5, np.rad2deg(yaws[row])


@pytest.mark.parametrize("name", MODELS)
def test_gradients_equal_finite_differences(bodies: Mapping[str, BodyModelData], name: str) -> None:
    body = bodies[name]
    model = BodyModel(body, list(body.points.values())).double()
    given = {k: v.requires_grad_() for k, v in tensors(people(body.family, (1,), 2), torch.float64).items()}
    weights = torch.randn(model(given).points.shape, dtype=torch.float64, generator=torch.manual_seed(0))
    (model(given).points * weights).sum().backward()
    step = 1e-6
    for key, values in given.items():
        assert values.grad is not None
        for place in (0, values.shape[1] - 1):
            shift = torch.zeros_like(values)
            shift[0, place] = step
            with torch.no_grad():
                up, down = ((model({**given, key: values + s}).points * weights).sum() for s in (shift, -shift))
            assert np.isclose(float(values.grad[0, place]), float((up - down) / (2 * step)), rtol=1e-5, atol=1e-7), key


def test_the_gradient_at_rest_is_finite_and_right(bodies: Mapping[str, BodyModelData]) -> None:
    """Rodrigues' formula has a removable singularity there."""
    body = bodies["smplx"]
    model = BodyModel(body, TAUGHT.maps(body)).double()
    pose = torch.zeros(1, 63, dtype=torch.float64, requires_grad=True)
    model({"body_pose": pose}).points[0, 10, 2].backward()
    shift = torch.zeros_like(pose)
    shift[0, 49] = 1e-6  # the right shoulder's y moves the right wrist in depth
    with torch.no_grad():
        up, down = (model({"body_pose": pose + s}).points[0, 10, 2] for s in (shift, -shift))
    assert pose.grad is not None
    assert abs(float(pose.grad[0, 49])) > 0.1
    assert np.isclose(float(pose.grad[0, 49]), float((up - down) / 2e-6), rtol=1e-5)


def test_some_rotations_leave_the_rest_at_rest(bodies: Mapping[str, BodyModelData]) -> None:
    body = bodies["smplx"]
    rng = np.random.default_rng(2)
    pose, betas = sample_body_poses(rng, 5).reshape(5, 21, 3), sample_betas(rng, 5)
    turns = axis_angle_to_matrix(np.concatenate([np.zeros((5, 1, 3), np.float32), pose], axis=1).astype(np.float32))
    found = BodyModel(body, TAUGHT.maps(body)).turned(torch.as_tensor(turns), torch.as_tensor(betas))
    posed = Poser(body).pose({"body_pose": pose.reshape(5, 63), "betas": betas})
    wanted = np.concatenate([m.apply(posed.joints, posed.vertices) for m in TAUGHT.maps(body)], axis=1)
    assert np.abs(found.points.numpy() - wanted).max() < 1e-5
    assert np.abs(found.joints.numpy() - posed.joints).max() < 1e-5


@pytest.mark.parametrize("wrong", [{"body_pose": (1, 69)}, {"hand_pose": (1, 45)}, {"betas": (1, 3)}])
def test_a_parameter_that_does_not_fit_is_named(
    bodies: Mapping[str, BodyModelData], wrong: dict[str, tuple[int, int]]
) -> None:
    model = BodyModel(bodies["smplx"])
    with pytest.raises(ValueError, match=next(iter(wrong))):
        model({name: torch.zeros(shape) for name, shape in wrong.items()})


def test_a_model_without_a_contour_says_so(bodies: Mapping[str, BodyModelData]) -> None:
    with pytest.raises(ValueError, match="no contour"):
        BodyModel(bodies["mano_right"], contour=True)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("full", [False, True])
def test_gradients_of_the_compiled_loops_equal_those_in_double_precision(
    bodies: Mapping[str, BodyModelData], name: str, full: bool
) -> None:
    body = bodies[name]
    outline = body.landmarks is not None
    arrays = people(body.family, (3,), 4)
    found: list[dict[str, torch.Tensor]] = []
    for dtype in (torch.float32, torch.float64):
        model = BodyModel(body, list(body.points.values()), vertices=full, contour=outline).to(dtype)
        given = {k: v.requires_grad_() for k, v in tensors(arrays, dtype).items()}
        out = model(given)
        parts = [v for v in (out.joints, out.points, out.vertices, out.contour) if v is not None]
        whole = torch.cat([v.flatten(1) for v in parts], dim=1)
        weights = torch.randn(whole.shape[1], generator=torch.manual_seed(0), dtype=torch.float64).to(dtype)
        (whole @ weights).sum().backward()
        found.append({key: v.grad.double() for key, v in given.items() if v.grad is not None})
    quick, slow = found
    assert quick.keys() == slow.keys() == arrays.keys()
    for key, wanted in slow.items():
        assert (quick[key] - wanted).abs().max() <= 1e-4 * wanted.abs().max(), key  # the eyes of a head move no point


def test_neither_autocast_nor_another_default_type_changes_it(bodies: Mapping[str, BodyModelData]) -> None:
    model, given = BodyModel(bodies["smpl"], vertices=True), tensors(people("smpl", (MANY,)))
    with torch.no_grad():
        wanted = model(given).vertices
        with torch.autocast("cpu", torch.bfloat16):
            cast = model(given).vertices
        torch.set_default_dtype(torch.float64)
        try:
            double = model(given).vertices
        finally:
            torch.set_default_dtype(torch.float32)
    assert cast is not None
    assert double is not None
    assert torch.equal(cast, wanted)
    assert torch.equal(double, wanted)


def test_wrong_shapes_and_types_are_told(bodies: Mapping[str, BodyModelData]) -> None:
    model = BodyModel(bodies["smpl"])
    turns, shape = torch.eye(3).expand(2, 24, 3, 3), torch.zeros(2, 10)
    for say, wrong in {
        "rotations have shape": (turns[..., :2], shape),
        "or fewer numbers": (turns, torch.zeros(2, 11)),
        "this model is torch.float32": (turns.double(), shape),
        r"expecting \(2, 10\)": (turns, shape[:1]),
    }.items():
        with pytest.raises(ValueError, match=say):
            model.turned(*wrong)
    with pytest.raises(ValueError, match=r"betas is of \(3,\) people, others of \(2,\)"):
        model({"global_orient": torch.zeros(2, 3), "betas": torch.zeros(3, 10)})


@pytest.mark.parametrize("asked", [("body_pose",), ("betas",), ("body_pose", "betas")])
def test_second_derivatives_of_some_parameters_alone(
    bodies: Mapping[str, BodyModelData], asked: tuple[str, ...]
) -> None:
    model, given = BodyModel(bodies["smpl"], vertices=True), tensors(people("smpl", (2,)))
    found: list[list[torch.Tensor]] = []
    for dtype in (torch.float32, torch.float64):
        own = {name: values.to(dtype).requires_grad_(name in asked) for name, values in given.items()}
        vertices = model.to(dtype)(own).vertices
        assert vertices is not None
        wanted = [own[name] for name in asked]
        with torch.autocast("cpu", torch.bfloat16):
            first = torch.autograd.grad((vertices**2).mean(), wanted, create_graph=True)
        found.append(list(torch.autograd.grad(sum((grad**2).sum() for grad in first), wanted)))
    for one, other in zip(*found, strict=True):
        assert float((one - other).norm() / other.norm()) < 1e-4


def test_one_who_is_no_number_leaves_the_others(bodies: Mapping[str, BodyModelData]) -> None:
    given = people("smplx", (2,))
    whole = Poser(bodies["smplx"]).pose(given).points("coco_wholebody133")
    given["global_orient"][0] = np.nan
    found = Poser(bodies["smplx"]).pose(given).points("coco_wholebody133")
    assert np.isnan(found[0]).any()
    assert np.allclose(found[1], whole[1], atol=1e-6)
