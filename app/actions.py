"""The table of actions. Menus, toolbar buttons, keys, the palette and the cheat-sheet are all read from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget

from annotator.verdict import REASONS
from app import theme


@dataclass(frozen=True)
class Action:
    """One thing that a person can do.

    Attributes:
        id: name of the method that does it.
        title: in menus and in the palette.
        keys: shortcuts, the first one is shown; single letters are inert while a text field has focus.
        menu: where it is found; empty = palette and keys only.
        checkable: on or off.
        hint: what it does, where its title does not say it all; a line of the tooltip.
        repeats: whether holding the key repeats it.
        needs: what must be there for it, in the words of `app/availability.py`; else it is off and its tooltip says why.
    """

    id: str
    title: str
    keys: tuple[str, ...] = ()
    menu: str = ""
    icon: str = ""
    checkable: bool = False
    repeats: bool = False
    hint: str = ""
    needs: tuple[str, ...] = ()


PROJECT, PEOPLE, JUDGING, WRITING = "project", "people", "judging", "writing"
DATASETS, RUNS, OTHER_RUN, COMPARING = "data sets", "runs", "another run", "comparing"
UNDOABLE, REDOABLE, RUNNING, KILLABLE, RESUMABLE = "to undo", "to redo", "running", "to kill", "to resume"
NETWORK = "a network"
_LOOK, _JUDGE, _COMPARE = (PEOPLE,), (PEOPLE, JUDGING), (PEOPLE, OTHER_RUN, COMPARING)

MENUS = ("File", "View", "Review", "Compare", "Run", "Help")

ACTIONS: tuple[Action, ...] = (
    Action("new_project", "New project…", ("Ctrl+N",), "File", "plus"),
    Action("open_project", "Open project…", ("Ctrl+O",), "File", "folder-open"),
    Action("import_data", "Import a data set…", ("Ctrl+I",), "File", "download-simple", needs=(PROJECT, WRITING)),
    Action("export_fits", "Export fits…", ("Ctrl+E",), "File", "upload-simple", needs=(PROJECT, WRITING, RUNS)),
    Action("preferences", "Preferences…", ("Ctrl+,",), "File", "gear"),
    Action("quit", "Quit", ("Ctrl+Q",), "File", "sign-out"),
    Action("toggle_keypoints", "Keypoints", ("K",), "View", "dots-nine", checkable=True),
    Action("toggle_zoom", "100 % or whole photo", ("Z",), "View", "magnifying-glass", needs=_LOOK),
    Action("view_front", "3D from the front", ("F",), "View", "person", needs=_LOOK),
    Action("view_side", "3D from the side", ("S",), "View", "person", needs=_LOOK),
    Action("view_top", "3D from the top", ("T",), "View", "person", needs=_LOOK),
    Action("view_home", "3D view as at the start", ("Home",), "View", "house", needs=_LOOK),
    Action("next_run", "Next run", ("Tab",), "View", "swap", needs=(PEOPLE, OTHER_RUN)),
    Action("toggle_jobs", "Jobs", ("J",), "View", "list-bullets", checkable=True, needs=(PROJECT,)),
    Action("theme_system", "Theme like the system", (), "View", "desktop"),
    Action("theme_light", "Light theme", (), "View", "sun"),
    Action("theme_dark", "Dark theme", (), "View", "moon"),
    Action("accept", "Accept", ("A",), "Review", "check", needs=_JUDGE),
    Action("reject", "Reject", ("R",), "Review", "x", needs=_JUDGE),
    Action("unsure", "Unsure", ("U",), "Review", "question", needs=_JUDGE),
    *(
        Action(f"reason_{reason.digit}", f"Reason: {reason.title.lower()}", (str(reason.digit),), needs=_JUDGE)
        for reason in REASONS
    ),
    *(
        Action(
            f"reject_for_{reason.digit}", f"Reject: {reason.title.lower()}", (f"Shift+{reason.digit}",), needs=_JUDGE
        )
        for reason in REASONS
    ),
    Action("undo", "Undo", ("Ctrl+Z",), "Review", "arrow-counter-clockwise", needs=(*_JUDGE, UNDOABLE)),
    Action("redo", "Redo", ("Ctrl+Shift+Z",), "Review", "arrow-clockwise", needs=(*_JUDGE, REDOABLE)),
    Action("next_sample", "Next", ("Right",), "Review", "arrow-right", repeats=True, needs=_LOOK),
    Action("previous_sample", "Previous", ("Left",), "Review", "arrow-left", repeats=True, needs=_LOOK),
    Action("next_unreviewed", "Next unreviewed", ("Shift+Right",), "Review", "skip-forward", needs=_LOOK),
    Action("last_judged", "Back to the last judged", ("Backspace",), "Review", "arrow-u-up-left", needs=_LOOK),
    Action("go_to", "Go to an id…", ("G",), "Review", "hash", needs=_LOOK),
    Action("find_in_list", "Find in the list", ("Ctrl+F",), "Review", "funnel", needs=_LOOK),
    Action("compare", "Compare two runs", ("C",), "Compare", "columns", checkable=True, needs=(PEOPLE, OTHER_RUN)),
    Action("left_better", "Left better", ("[",), "Compare", "caret-left", needs=(*_COMPARE, JUDGING)),
    Action("tie", "Tie", ("=",), "Compare", "equals", needs=(*_COMPARE, JUDGING)),
    Action("right_better", "Right better", ("]",), "Compare", "caret-right", needs=(*_COMPARE, JUDGING)),
    Action("judge_other_side", "Judge the other side", ("W",), "Compare", "arrows-left-right", needs=_COMPARE),
    Action("swap_runs", "Swap the two runs", ("X",), "Compare", "swap", needs=_COMPARE),
    Action("toggle_wipe", "Wipe on one photo", ("V",), "Compare", "square-half", checkable=True, needs=_COMPARE),
    Action("wipe_left", "Wipe to the left", (",",), "Compare", repeats=True, needs=_COMPARE),
    Action("wipe_right", "Wipe to the right", (".",), "Compare", repeats=True, needs=_COMPARE),
    Action("toggle_distance", "Distance as colours", ("D",), "Compare", "palette", checkable=True, needs=_COMPARE),
    Action("toggle_similarity", "Align by similarity", (), "Compare", checkable=True, needs=_COMPARE),
    Action("next_range", "Next scale of distances", (), "Compare", "ruler", needs=_COMPARE),
    Action("most_apart", "Most apart first", (), "Compare", "sort-descending", needs=_COMPARE),
    Action("start_run", "Start a run…", ("Ctrl+R",), "Run", "play", needs=(PROJECT, WRITING, DATASETS)),
    Action(
        "refine_fit",
        "Refine this fit",
        ("Ctrl+Shift+E",),
        "Run",
        "magic-wand",
        needs=(PROJECT, PEOPLE, WRITING, NETWORK),
    ),
    Action("next_round", "Train the next round…", (), "Run", "repeat", needs=(PROJECT, WRITING, RUNS, JUDGING)),
    Action(
        "stop_job",
        "Stop the job",
        ("Ctrl+Shift+S",),
        "Run",
        "stop",
        hint="It saves what it has and ends; a run can be resumed.",
        needs=(PROJECT, WRITING, RUNNING),
    ),
    Action(
        "kill_job",
        "Kill the job",
        ("Ctrl+Shift+K",),
        "Run",
        "x-circle",
        hint="It ends at once; what was saved stays.",
        needs=(PROJECT, WRITING, KILLABLE),
    ),
    Action(
        "resume_job",
        "Resume the run",
        ("Ctrl+Shift+R",),
        "Run",
        "play-circle",
        hint="It goes on from what was saved last.",
        needs=(PROJECT, WRITING, RESUMABLE),
    ),
    Action("find_command", "Find a command…", ("Ctrl+K",), "Help", "command"),
    Action("cheat_sheet", "Keys", ("?",), "Help", "keyboard"),
    Action("about", "About", (), "Help", "info"),
)

HELD = (("Space", "Hide the mesh while held"),)
"""Keys that work while they are held; they are no actions."""


def key_text(action: Action) -> str:
    """The first shortcut as this system writes it; empty if there is none."""
    return QKeySequence(action.keys[0]).toString(QKeySequence.SequenceFormat.NativeText) if action.keys else ""


def build(owner: QWidget, handlers: object) -> Mapping[str, QAction]:
    """A QAction of `owner` for every row, calling the method of `handlers` that has its id."""
    made: dict[str, QAction] = {}
    for row in ACTIONS:
        action = QAction(row.title, owner)
        action.setObjectName(row.id)
        action.setShortcuts([QKeySequence(key) for key in row.keys])
        action.setCheckable(row.checkable)
        action.setAutoRepeat(row.repeats)
        action.setToolTip(_tooltip(row))
        action.triggered.connect(getattr(handlers, row.id))
        owner.addAction(action)
        made[row.id] = action
    return made


def switch(actions: Mapping[str, QAction], lacks: Mapping[str, str]) -> None:
    """Turns actions on and off.

    Args:
        lacks: for each need that is not met, the sentence that says why; it becomes a line of the tooltips.
    """
    for row in ACTIONS:
        why = next((lacks[need] for need in row.needs if need in lacks), "")
        actions[row.id].setEnabled(not why)
        actions[row.id].setToolTip(f"{_tooltip(row)}\n{why}" if why else _tooltip(row))


def _tooltip(row: Action) -> str:
    title = row.title.rstrip("…")
    said = f"{title} ({key_text(row)})" if row.keys else title
    return f"{said}\n{row.hint}" if row.hint else said


def dress(actions: Mapping[str, QAction]) -> None:
    """Gives the actions icons in the theme's colours; loading the icon font waits until the first photo is shown."""
    for row in ACTIONS:
        if row.icon:
            actions[row.id].setIcon(theme.icon(row.icon))
