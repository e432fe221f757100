"""What tests of fitting share."""

import pytest

from annotator.bodies.files import BodyModelData, default_root, load_body_model
from annotator.prior import GaussianMixture, PosePrior, default_gmm, default_vposer


@pytest.fixture(scope="session")
def vposer() -> PosePrior:
    return default_vposer(default_root())


@pytest.fixture(scope="session")
def gmm() -> GaussianMixture:
    return default_gmm(default_root())


@pytest.fixture(scope="session")
def smpl() -> BodyModelData:
    return load_body_model(default_root(), "smpl")


@pytest.fixture(scope="session")
def hand() -> BodyModelData:
    return load_body_model(default_root(), "mano_right")


@pytest.fixture(scope="session")
def face() -> BodyModelData:
    return load_body_model(default_root(), "flame")
