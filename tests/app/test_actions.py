"""The table of actions and what is read from it: menus, keys, palette, cheat-sheet."""

from collections import Counter

import pytest
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu

from app.actions import ACTIONS, HELD, MENUS
from app.dialogs.commands import CheatSheet, Palette, groups
from app.handlers import Handlers
from app.panels.action_button import ActionButton
from app.theme import icon
from tests.support.window import Desk, Key, wait_until


def test_every_action_has_a_method_of_its_name(desk: Desk) -> None:
    assert {row.id for row in ACTIONS if not callable(getattr(desk.window.handlers, row.id, None))} == set()
    assert callable(Handlers.accept)


def test_no_two_actions_share_a_key() -> None:
    keys = Counter(QKeySequence(key).toString() for row in ACTIONS for key in row.keys)
    assert [key for key, count in keys.items() if count > 1] == []
    assert "" not in keys  # a misspelt key would be one
    assert not {QKeySequence(key).toString() for key, _ in HELD} & set(keys)


def test_every_action_is_in_a_menu_or_has_a_key() -> None:
    assert [row.id for row in ACTIONS if not (row.menu or row.keys)] == []
    assert {row.menu for row in ACTIONS if row.menu} == set(MENUS)
    assert len({row.id for row in ACTIONS}) == len({row.title for row in ACTIONS}) == len(ACTIONS)


def test_the_menus_hold_what_the_table_says(desk: Desk) -> None:
    for menu_action in desk.window.menuBar().actions():
        menu = menu_action.menu()
        assert isinstance(menu, QMenu)
        found = [action.objectName() for action in menu.actions() if action.menu() is None]
        assert found == [row.id for row in ACTIONS if row.menu == menu_action.text()]


def test_every_icon_is_there(desk: Desk) -> None:
    desk.window.dress()
    assert [row.id for row in ACTIONS if row.icon and desk.window.actions_by_id[row.id].icon().isNull()] == []
    assert not icon("house").isNull()


def test_the_cheat_sheet_names_every_key_once(desk: Desk) -> None:
    shown = [words for _, rows in groups() for _, words in rows]
    assert len(shown) == len(set(shown))
    for row in ACTIONS:
        if row.keys and not row.id.startswith("reason_") and not row.id.startswith("reject_for_"):
            assert row.title.rstrip("…") in shown
    sheet = CheatSheet(desk.window)
    sheet.show()
    assert sheet.isVisible()
    sheet.close()


def test_the_palette_finds_by_words_and_enter_chooses(desk: Desk) -> None:
    palette = Palette(desk.window.actions_by_id, desk.window)
    palette.show()
    palette._text.setText("next unrev")
    assert palette._list.topLevelItemCount() == 1
    desk.press(Key.Key_Return, on=palette._text)
    assert isinstance(palette.chosen, QAction)
    assert palette.chosen.objectName() == "next_unreviewed"


def test_the_palette_with_nothing_found_stays_open(desk: Desk) -> None:
    palette = Palette(desk.window.actions_by_id, desk.window)
    palette.show()
    palette._text.setText("fly to the moon")
    desk.press(Key.Key_Down, Key.Key_Return, on=palette._text)
    assert palette.chosen is None
    assert palette.isVisible()
    palette.close()


@pytest.mark.parametrize("by_key", [True, False])
def test_ctrl_k_and_the_field_beside_the_menus_open_the_palette(desk: Desk, by_key: bool) -> None:
    from PySide6.QtCore import QTimer
    from PySide6.QtWidgets import QApplication

    from tests.support.window import CTRL

    def choose() -> None:
        palette = QApplication.activePopupWidget()
        assert isinstance(palette, Palette)
        palette._text.setText("light theme")
        palette._take()

    QTimer.singleShot(200, choose)
    field = desk.window.menuBar().cornerWidget()
    assert isinstance(field, ActionButton)
    assert field.isVisible()
    desk.press(Key.Key_K, with_=CTRL) if by_key else field.click()
    wait_until(lambda: desk.session.preferences.theme == "light")
    assert desk.said == []
