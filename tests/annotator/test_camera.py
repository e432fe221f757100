import numpy as np
import pytest

from annotator.camera import Camera, Crop, between_cameras, crop_from_camera, crop_of_box, solve_translation

RNG = np.random.default_rng(0)


def test_projection_is_arithmetic() -> None:
    camera = Camera(np.array([1000.0, 1100.0]), np.array([320.0, 240.0]))
    assert camera.project(np.array([[0.5, -0.25, 2.0]])).tolist() == [[570.0, 102.5]]
    assert camera.matrix.tolist() == [[1000, 0, 320], [0, 1100, 240], [0, 0, 1]]
    assert Camera.of_matrix(camera.matrix).focal.tolist() == [1000, 1100]


def test_a_box_becomes_a_square_a_quarter_larger() -> None:
    crop = crop_of_box(np.array([100.0, 50.0, 40.0, 80.0]), np.array([640, 480]), drawn=False)
    assert crop.center.tolist() == [120, 90]
    assert float(crop.side) == 100
    drawn = crop_of_box(np.array([-20.0, 50.0, 61.0, 81.0]), np.array([640, 480]), drawn=True)
    assert drawn.center.tolist() == [20, 90]  # clipped at the left, x from 0 to 40
    assert float(drawn.side) == 100


def test_the_virtual_camera_sees_the_crop_as_256_px_with_focal_5000() -> None:
    crop = Crop(np.array([200.0, 100.0]), np.array(128.0))
    camera = crop.virtual_camera()
    assert camera.focal.tolist() == [2500, 2500]
    points = np.array([[0.0, 0.0, 20.0], [0.5, 0.0, 20.0]])
    in_crop = crop.to_crop_px(camera.project(points))
    assert np.allclose(in_crop, [[128, 128], [128 + 5000 * 0.5 / 20, 128]])


def test_cutting_puts_pixel_centres_where_to_crop_px_says() -> None:
    photo = np.zeros((60, 60, 3), np.uint8)
    photo[20, 31] = 255
    crop = Crop(np.array([30.0, 24.0]), np.array(20.0))
    out = crop.cut(photo, 20).astype(float)[..., 0]
    place = crop.to_crop_px(np.array([[31.0, 20.0]]), 20)[0]
    y, x = np.unravel_index(out.argmax(), out.shape)
    assert (x, y) == (place[0], place[1]) == (11, 6)


def test_shrinking_a_crop_keeps_the_centre_of_mass() -> None:
    photo = np.zeros((400, 400, 3), np.uint8)
    photo[150:170, 210:230] = 255
    crop = Crop(np.array([200.0, 200.0]), np.array(320.0))
    out = crop.cut(photo, 64).astype(float)[..., 0]
    ys, xs = np.mgrid[:64, :64]
    found = np.array([(out * xs).sum(), (out * ys).sum()]) / out.sum()
    wanted = crop.to_crop_px(np.array([[219.5, 159.5]]), 64)[0]
    assert np.abs(found - wanted).max() < 0.1


def test_the_crop_frame_takes_the_centre_ray_to_z_by_the_smallest_turn() -> None:
    camera = Camera(np.array([800.0, 900.0]), np.array([300.0, 200.0]))
    crop = Crop(np.array([520.0, 90.0]), np.array(100.0))
    turn = crop_from_camera(camera, crop)
    ray = np.array([(520 - 300) / 800, (90 - 200) / 900, 1.0])
    ray /= np.linalg.norm(ray)
    assert np.allclose(turn @ ray, [0, 0, 1])
    assert np.allclose(turn @ turn.T, np.eye(3))
    assert np.isclose(np.linalg.det(turn), 1)
    angle = np.arccos((np.trace(turn) - 1) / 2)
    assert np.isclose(angle, np.arccos(ray[2]))  # no smaller turn can do it
    axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    assert abs(axis @ ray) < 1e-9  # its axis is perpendicular to both rays


def test_a_crop_at_the_principal_point_is_not_turned() -> None:
    camera = Camera(np.array([800.0, 800.0]), np.array([300.0, 200.0]))
    assert np.allclose(crop_from_camera(camera, Crop(np.array([300.0, 200.0]), np.array(50.0))), np.eye(3))


def test_between_cameras_goes_and_comes_back() -> None:
    crop = Crop(np.array([420.0, 90.0]), np.array(100.0))
    one = Camera(np.array([800.0, 800.0]), np.array([300.0, 200.0]))
    other = Camera(np.array([5000.0, 5000.0]), np.array([320.0, 240.0]))
    there, back = between_cameras(one, other, crop), between_cameras(other, one, crop)
    assert np.allclose(there @ back, np.eye(3))
    assert not np.allclose(there, np.eye(3))


@pytest.mark.parametrize("seed", range(5))
def test_translation_is_recovered_from_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 0.5, (3, 20, 3))
    true = np.stack([rng.uniform(-1, 1, 3), rng.uniform(-1, 1, 3), rng.uniform(3, 8, 3)], axis=1)
    camera = Camera(rng.uniform(600, 1500, (3, 2)), rng.uniform(200, 400, (3, 2)))
    pixels = camera.project(points + true[:, None])
    confidence = (rng.random((3, 20)) < 0.7).astype(float)
    pixels[confidence == 0] = 1e4  # what is not labelled does not pull
    start = np.tile([0.0, 0.0, 12.0], (3, 1))
    assert np.abs(solve_translation(points, pixels, confidence, camera, start=start) - true).max() < 1e-6


def test_who_would_end_at_infinity_keeps_his_start() -> None:
    """Upside down and turned away, the pose fits its pixels best as one far point; others are not touched."""
    rng = np.random.default_rng(4)
    points = rng.normal(0, 0.5, (2, 20, 3))
    true = np.array([[0.2, 0.1, 6.0], [0.2, 0.1, 6.0]])
    camera = Camera(np.full((2, 2), 1000.0), np.full((2, 2), 300.0))
    pixels = camera.project(points + true[:, None])
    wrong = points * np.array([[[-1.0, -1, 1]], [[1.0, 1, 1]]])
    start = np.array([[0.0, 0, 5], [0.0, 0, 5]])
    free = solve_translation(wrong, pixels, np.ones((2, 20)), camera, start=start)
    kept = solve_translation(wrong, pixels, np.ones((2, 20)), camera, start=start, within=4)
    assert free[0, 2] > 1000
    assert kept[0].tolist() == start[0].tolist()
    assert np.abs(kept[1] - true[1]).max() < 1e-6


def test_translation_stays_where_nothing_is_labelled() -> None:
    camera = Camera(np.array([[900.0, 900.0]]), np.array([[320.0, 240.0]]))
    start = np.array([[0.1, 0.2, 5.0]])
    found = solve_translation(RNG.normal(size=(1, 4, 3)), np.zeros((1, 4, 2)), np.zeros((1, 4)), camera, start=start)
    assert found.tolist() == start.tolist()


@pytest.mark.parametrize("size", [1, 3, 40])
def test_a_photo_smaller_than_its_annotations_say_is_cut_all_the_same(size: int) -> None:
    crop = Crop(np.array([10.0, 10.0]), np.array(500.0))
    cut = crop.cut(np.full((size, size, 3), 200, np.uint8), 64)
    assert cut.shape == (64, 64, 3)
    assert (cut == 200).any() == (size > 8)  # less than a pixel of the crop may fall between its pixels
    assert (cut == 0).any()
