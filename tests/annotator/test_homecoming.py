"""`fits P --add run DIR`: a run made elsewhere comes home whole, or not at all; what lies in it is never executed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from annotator.columns import write_shard
from annotator.commands.fits import add_fits
from annotator.commands.run_begin import first_of_chain
from annotator.errors import NeuralAnnotError, RunError, UnknownNameError
from annotator.fit import FitHeader, Fits
from annotator.homecoming import LEARNT_FROM
from annotator.project import Project
from annotator.recipe import load_recipe
from annotator.runs import FINISHED, STOPPED, Run, RunInfo
from tests.support.desk_project import done

RUN = "neuralannot-r1"
SHARD = "fits/wild/body/00000.arrow"


@pytest.fixture
def elsewhere(desk_project: Path, tmp_path: Path) -> Path:
    """The folder of a finished run that left the project it was made in, with all that a run may have."""
    run = Run(tmp_path / "other machine" / RUN)
    shutil.copytree(desk_project / "runs" / RUN, run.path)
    run.recipe_path.write_text(load_recipe("tiny").text())
    run.job.append("hello", pid=1)
    folder = run.network_folder("body", "target")
    folder.mkdir(parents=True)
    save_file({"head.weight": torch.ones(2, 3)}, folder / "last.safetensors")
    (folder / "state.pt").write_bytes(b"anything")
    return run.path


def add(project: Path, folder: Path) -> str:
    return done(add_fits(project, "run", folder)).text()


def files(project: Path) -> dict[str, bytes]:
    return {str(file.relative_to(project)): file.read_bytes() for file in project.rglob("*") if file.is_file()}


def test_a_run_comes_home_with_its_fits_scores_networks_and_papers(desk_project: Path, elsewhere: Path) -> None:
    shutil.rmtree(desk_project / "runs")  # as in a project that never had it
    assert "Added 12 fits as the run neuralannot-r1." in add(desk_project, elsewhere)
    home = Project.open(desk_project).run(RUN)
    assert (home.path / SHARD).read_bytes() == (elsewhere / SHARD).read_bytes()
    assert home.score("wild", "body", "error_2d_crop") == pytest.approx(
        Run(elsewhere).score("wild", "body", "error_2d_crop"), nan_ok=True
    )
    assert (home.network_folder("body", "target") / "last.safetensors").exists()
    assert not (home.network_folder("body", "target") / "state.pt").exists()  # a pickle, and nothing needs it
    assert home.recipe_path.read_bytes() == (elsewhere / "recipe.toml").read_bytes()
    assert (home.state, home.info.options["added"]) == (FINISHED, str(elsewhere))
    assert [event["t"] for event in home.job.events()] == ["hello"]
    assert {path.name for path in (desk_project / "runs").iterdir()} == {RUN, ".ids", ".lock"}


def test_a_run_whose_id_is_taken_gets_a_number(desk_project: Path, elsewhere: Path) -> None:
    before = files(desk_project / "runs" / RUN)
    assert "as the run neuralannot-r1-2" in add(desk_project, elsewhere)
    assert "as the run neuralannot-r1-3" in add(desk_project, elsewhere)
    assert Project.open(desk_project).run("neuralannot-r1-2").info.id == "neuralannot-r1-2"
    assert files(desk_project / "runs" / RUN) == before


def test_a_later_round_finds_the_run_that_it_learnt_from_though_ids_repeat(desk_project: Path, elsewhere: Path) -> None:
    """Every machine's first run is called neuralannot-r1; this one has another than that which was learnt from."""
    change_info(elsewhere, created="2026-01-01T00:00:00+00:00")
    second = elsewhere.with_name("neuralannot-r2")
    shutil.copytree(elsewhere, second)
    learnt = {"id": second.name, "round": 2, "from": RUN, "source_created": "2026-01-01T00:00:00+00:00"}
    change_info(second, **learnt)
    assert f"learnt from {RUN}, which this project does not have" in add(desk_project, second)
    assert Project.open(desk_project).run("neuralannot-r2").info.source == ""
    add(desk_project, elsewhere)
    first, later = (Project.open(desk_project).run(name).info for name in ("neuralannot-r1-2", "neuralannot-r2"))
    assert first.created == "2026-01-01T00:00:00+00:00"
    assert later.source == first.id  # it waited for that
    assert LEARNT_FROM not in later.options
    assert f"learnt from {RUN}" not in add(desk_project, second)
    assert Project.open(desk_project).run("neuralannot-r2-2").info.source == "neuralannot-r1-2"


def test_a_run_of_before_finds_what_it_learnt_from_among_those_brought_home_alone(
    desk_project: Path, elsewhere: Path
) -> None:
    """Its run.json does not say when that one was made."""
    second = elsewhere.with_name("neuralannot-r2")
    shutil.copytree(elsewhere, second)
    change_info(second, **{"id": second.name, "round": 2, "from": RUN})
    add(desk_project, second)
    assert Project.open(desk_project).run("neuralannot-r2").info.source == ""
    add(desk_project, elsewhere)
    add(desk_project, second)
    assert Project.open(desk_project).run("neuralannot-r2-2").info.source == "neuralannot-r1-2"


def test_the_id_of_a_removed_run_is_not_given_again(desk_project: Path, elsewhere: Path) -> None:
    shutil.rmtree(desk_project / "runs" / RUN)
    assert "as the run neuralannot-r1-2" in add(desk_project, elsewhere)


def test_whole_people_are_asked_for_where_there_are_hands_or_faces_alone(desk_project: Path, elsewhere: Path) -> None:
    """A data set of bodies has nothing to be joined; the run that has parts for another one is whole without it."""
    change_info(elsewhere, parts=["body", "hands", "face", "whole"])
    with pytest.raises(RunError, match="lacks its rhand fits of wild"):
        add(desk_project, elsewhere)
    project = Project.open(desk_project)
    info, body = project.datasets()["wild"], project.samples("wild", "body")
    project.add(replace(info, parts={"body": len(body)}), {"body": body}, project.image_roots["wild"])
    assert "Added 12 fits" in add(desk_project, elsewhere)
    change_info(elsewhere, parts=["body", "whole"], annotator="smplifyx")
    with pytest.raises(RunError, match="lacks its whole fits of wild"):
        add(desk_project, elsewhere)


def test_a_run_whose_last_fits_were_not_copied_is_refused(desk_project: Path, elsewhere: Path) -> None:
    table = Fits.read([elsewhere / SHARD]).table
    write_shard(elsewhere / SHARD, table.slice(0, 10))
    with pytest.raises(
        RunError, match=r"2 body fits of wild are missing in .*, such as wild/11\d; copy the run folder"
    ):
        add(desk_project, elsewhere)
    change_info(elsewhere, samples=list(table["key"].to_pylist()[:10]))  # it was over those alone
    assert "Added 10 fits" in add(desk_project, elsewhere)
    change_info(elsewhere, samples=[], recipe="")  # another program's, of those it had
    assert "Added 10 fits" in add(desk_project, elsewhere)
    again = elsewhere.with_name("third machine")
    shutil.copytree(desk_project / "runs" / "neuralannot-r1-3", again)
    assert "Added 10 fits" in add(desk_project, again)


def test_people_who_came_after_a_run_was_made_elsewhere_do_not_refuse_it(desk_project: Path, elsewhere: Path) -> None:
    project = Project.open(desk_project)
    table = Fits.read([elsewhere / SHARD]).table
    write_shard(elsewhere / SHARD, table.slice(0, 10))
    change_info(elsewhere, grounds={"samples of wild": project.table_digests(["wild"])["wild"]})
    with pytest.raises(RunError, match="2 body fits of wild are missing"):
        add(desk_project, elsewhere)
    change_info(elsewhere, grounds={"samples of wild": "those of before"})
    said = add(desk_project, elsewhere)
    assert "Added 10 fits" in said
    assert "The samples of wild are not those that neuralannot-r1-2 was made with" in said


def test_a_run_that_says_it_learnt_from_itself_or_in_a_circle_gets_no_source(
    desk_project: Path, elsewhere: Path
) -> None:
    """run.json comes from outside: a chain of runs that never ends would be followed for ever."""
    second, created = elsewhere.with_name("other"), "2026-01-01T00:00:00+00:00"
    shutil.copytree(elsewhere, second)
    for folder, own, other in ((elsewhere, "a", "b"), (second, "b", "a")):
        change_info(folder, **{"id": own, "from": other, "source_created": created, "created": created, "round": 2})
        add(desk_project, folder)
    change_info(second, **{"id": "c", "from": "c"})
    add(desk_project, second)
    assert [Project.open(desk_project).run(name).info.source for name in "abc"] == ["", "", ""]
    change_info(second, **{"id": "d", "from": "e", "annotator": "smplifyx", "round": 1})
    change_info(elsewhere, **{"id": "e", "from": "d", "annotator": "smplifyx", "round": 1})
    add(desk_project, second)
    add(desk_project, elsewhere)  # two that start from each other; a chain through them ends all the same
    later = Project.open(desk_project).new_run(RunInfo("f", "neuralannot", "tiny", round=2, source="e"))
    first = first_of_chain(Project.open(desk_project), later.id)
    assert first is not None
    assert first.id in "de"


@pytest.mark.parametrize("values", [{"round": -3}, {"parts": ["x"]}])
def test_a_round_or_part_that_there_is_none_of_is_refused(
    desk_project: Path, elsewhere: Path, values: dict[str, object]
) -> None:
    change_info(elsewhere, **values)
    with pytest.raises(RunError, match="names a round or a part that there is none of"):
        add(desk_project, elsewhere)


def test_a_source_that_is_not_here_is_told(desk_project: Path, elsewhere: Path) -> None:
    change_info(elsewhere, **{"from": "neuralannot-r9"})
    assert "learnt from neuralannot-r9, which this project does not have" in add(desk_project, elsewhere)


def change_info(folder: Path, **values: object) -> None:
    file = folder / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def rewrite(folder: Path, **changes: object) -> None:
    """Writes the table of fits anew with other columns."""
    table = Fits.read([folder / SHARD]).table
    for name, values in changes.items():
        table = table.set_column(table.column_names.index(name), name, values)
    write_shard(folder / SHARD, table)


def other_body(folder: Path) -> None:
    fits = Fits.read([folder / SHARD])
    header = FitHeader("smplx", "body", "0" * 64)
    write_shard(folder / SHARD, fits.table.replace_schema_metadata(header.to_metadata()))


def strangers(folder: Path) -> None:
    rewrite(folder, key=pa.array([f"wild/{number}" for number in range(12)]))


def twins(folder: Path) -> None:
    rewrite(folder, key=pa.array(["wild/100"] * 12))


def not_finite(folder: Path) -> None:
    values = np.full((12, 3), np.nan, np.float32)
    rewrite(folder, transl=pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 3))


def too_narrow(folder: Path) -> None:
    rewrite(folder, transl=pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(24, np.float32)), 2))


def no_columns(folder: Path) -> None:
    write_shard(folder / SHARD, pa.table({"key": ["wild/100"]}))


class Boom:
    """Unpickled, it would leave a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.file}'",)


def pickled(file: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / file).write_bytes(pickle.dumps(Boom(folder / "executed")))

    return spoil


def linked(file: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        secret = folder.parent / f"secret-{Path(file).name}"
        shutil.copy(folder / file, secret)
        (folder / file).unlink()
        (folder / file).symlink_to(secret)

    return spoil


def linked_folder(folder: Path) -> None:
    shutil.move(folder / "networks", folder.parent / "networks")
    (folder / "networks").symlink_to(folder.parent / "networks")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (shutil.rmtree, "is no run folder"),
        (lambda folder: (folder / "run.json").write_text("{"), "cannot be read; copy the run folder again"),
        (lambda folder: change_info(folder, id="../../evil"), "no name of a run"),
        (lambda folder: change_info(folder, annotator="../evil"), "no name of a run"),
        (lambda folder: change_info(folder, state=STOPPED), "is stopped; resume it where it was made"),
        (lambda folder: change_info(folder, state="running"), "is interrupted; resume it where it was made"),
        (lambda folder: change_info(folder, datasets=["coco"]), "data set coco, which this project does not have"),
        (lambda folder: change_info(folder, datasets=[]), "run.json says nothing of"),
        (lambda folder: shutil.rmtree(folder / "fits"), "has no fits"),
        (
            lambda folder: change_info(folder, parts=["whole"], annotator="smplifyx"),
            "lacks its whole fits of wild; copy the run folder again",
        ),
        (lambda folder: (folder / SHARD).rename(folder / SHARD.replace("0.", "1.")), "00000.arrow is missing; copy"),
        (lambda folder: (folder / SHARD).write_bytes(b"ARROW1"), "no fits that can be read"),
        (other_body, "another smplx body model"),
        (strangers, "12 fits of wild in .* are of samples that this project does not have, such as wild/0, wild/1"),
        (twins, "several fits of one sample"),
        (not_finite, "no fits that can be read"),
        (too_narrow, "no fits that can be read"),
        (no_columns, "no fits that can be read"),
        (pickled(SHARD), "no fits that can be read"),
        (pickled("networks/body-target/last.safetensors"), "weights .* cannot be read"),
        (pickled("recipe.toml"), "is not TOML"),
        (pickled("verdicts.arrow"), "holds no verdicts"),
        (linked(SHARD), "not a plain file"),
        (linked("run.json"), "not a plain file"),
        (linked("recipe.toml"), "not a plain file"),
        (linked_folder, "not a plain file"),
    ],
)
def test_what_cannot_come_home_is_one_sentence_and_changes_nothing(
    desk_project: Path, elsewhere: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    before = files(desk_project)
    spoil(elsewhere)
    with pytest.raises(NeuralAnnotError, match=sentence) as refused:
        add(desk_project, elsewhere)
    assert "\n" not in str(refused.value)
    assert files(desk_project) == before
    assert not (elsewhere / "executed").exists()


def test_a_pickle_beside_what_a_run_has_is_left_where_it_is(desk_project: Path, elsewhere: Path) -> None:
    for name in ("networks/body-target/state.pt", "networks/body-target/evil.pkl", "evil.py"):
        pickled(name)(elsewhere)
    add(desk_project, elsewhere)
    home = Project.open(desk_project).run("neuralannot-r1-2").path
    assert not [file for file in home.rglob("*") if file.suffix in {".pt", ".pkl", ".py"}]
    assert not (elsewhere / "executed").exists()


def test_a_run_of_the_project_itself_and_an_unknown_format_are_refused(desk_project: Path) -> None:
    with pytest.raises(NeuralAnnotError, match="is a run of this project already"):
        add(desk_project, desk_project / "runs" / RUN)
    with pytest.raises(UnknownNameError):
        done(add_fits(desk_project, "mat", desk_project))
