"""Colours, distances and the style sheet: the one place that knows how the desk looks, light and dark."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtWidgets import QApplication

import resources

UNIT = 8
"""Px of the grid that every distance is a multiple of."""


@dataclass(frozen=True)
class Theme:
    """The colours of one theme; `canvas` lies around the photo and behind the body, and both are brighter."""

    dark: bool
    window: str
    surface: str
    canvas: str
    raised: str
    line: str
    text: str
    quiet: str
    accent: str
    on_accent: str
    accept: str
    reject: str
    unsure: str


DARK = Theme(
    dark=True,
    window="#1c1d1f",
    surface="#141516",
    canvas="#141516",
    raised="#2a2c2f",
    line="#36393d",
    text="#e6e7e8",
    quiet="#9aa0a6",
    accent="#5aa9e6",
    on_accent="#0d1a24",
    accept="#35b58a",
    reject="#f0703a",
    unsure="#d9a6cf",
)
LIGHT = Theme(
    dark=False,
    window="#f3f4f5",
    surface="#ffffff",
    canvas="#d9dde1",
    raised="#e6e8ea",
    line="#d3d6d9",
    text="#1d1f21",
    quiet="#5f656b",
    accent="#1f6fb2",
    on_accent="#ffffff",
    accept="#00795a",
    reject="#b84a00",
    unsure="#8c4a80",
)

_ANNOTATORS = {"neuralannot": "#e69f00", "smplifyx": "#0072b2", "smplify": "#56b4e9", "eft": "#009e73"}
_PLAIN = 100
_SHADES = (_PLAIN, 165, 60, 210)
"""Per cent of an annotator's brightness."""
_OTHERS = ("#cc79a7", "#f0e442", "#d55e00", "#999999")


def annotator_color(annotator: str) -> QColor:
    """The one colour of an annotator, from a set that colour-blind people can tell apart."""
    known = _ANNOTATORS.get(annotator)
    return QColor(known or _OTHERS[sum(annotator.encode()) % len(_OTHERS)])


def run_color(annotator: str, run: str) -> QColor:
    """The annotator's colour in a shade of the run's own: its first run has it plain, other rounds and repeats differ."""
    round_of, again, *_ = [*map(int, re.findall(r"\d+", run.removeprefix(annotator))), 1, 1]
    shade = _SHADES[(round_of - 1 + 2 * (again - 1)) % len(_SHADES)]
    color = annotator_color(annotator)
    return color if shade == _PLAIN else color.lighter(shade)


def current() -> Theme:
    """The theme in use."""
    app = QApplication.instance()
    return app.property("theme") if app is not None and app.property("theme") is not None else DARK


def apply(choice: str) -> None:
    """Dresses the whole application: "system", "light" or "dark"."""
    theme = chosen(choice)
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    app.setProperty("theme", theme)
    app.setStyle("Fusion")
    app.setPalette(_palette(theme))
    app.setStyleSheet(_style_sheet(theme))


def icon(name: str) -> QIcon:
    """An icon of the Phosphor set in the theme's colours."""
    import qtawesome

    theme = current()
    made: Any = qtawesome.icon(f"ph.{name}", color=theme.text, color_disabled=theme.line)
    return made


def dot(color: QColor) -> QIcon:
    """A filled circle: the mark of an annotator."""
    picture = QPixmap(24, 24)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color)
    painter.drawEllipse(4, 4, 16, 16)
    painter.end()
    return QIcon(picture)


def chosen(choice: str) -> Theme:
    """The theme that a preference names; "system" asks the desktop."""
    if choice == "system":
        return LIGHT if QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Light else DARK
    return LIGHT if choice == "light" else DARK


def _palette(theme: Theme) -> QPalette:
    palette = QPalette()
    roles = QPalette.ColorRole
    for role, color in {
        roles.Window: theme.window,
        roles.Base: theme.canvas,
        roles.AlternateBase: theme.raised,
        roles.Button: theme.raised,
        roles.WindowText: theme.text,
        roles.Text: theme.text,
        roles.ButtonText: theme.text,
        roles.ToolTipBase: theme.raised,
        roles.ToolTipText: theme.text,
        roles.PlaceholderText: theme.quiet,
        roles.Mid: theme.line,
        roles.Highlight: theme.accent,
        roles.HighlightedText: theme.on_accent,
        roles.Link: theme.accent,
    }.items():
        palette.setColor(role, QColor(color))
    for role in (roles.Text, roles.ButtonText, roles.WindowText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(theme.quiet))
    return palette


def _style_sheet(theme: Theme) -> str:
    kind = "dark" if theme.dark else "light"
    caret, tick = (resources.path(f"icons/{name}-{kind}.svg").as_posix() for name in ("caret", "check"))
    return f"""
    QMainWindow, QDialog {{ background: {theme.window}; }}
    QDialogButtonBox {{ dialogbuttonbox-buttons-have-icons: 0; }}
    QToolTip {{ background: {theme.raised}; color: {theme.text}; border: 1px solid {theme.line}; padding: 4px 6px; }}
    QMenuBar {{ background: {theme.window}; padding: 2px 4px; }}
    QMenuBar::item {{ padding: 4px 10px; border-radius: 4px; }}
    QMenuBar::item:selected, QMenu::item:selected {{ background: {theme.raised}; color: {theme.text}; }}
    QMenu {{ background: {theme.window}; border: 1px solid {theme.line}; padding: 4px; }}
    QMenu::item {{ padding: 5px 24px 5px 12px; border-radius: 4px; }}
    QMenu::item:disabled {{ color: {theme.quiet}; }}
    QMenu::separator {{ height: 1px; background: {theme.line}; margin: 4px 8px; }}
    QSplitter::handle {{ background: {theme.window}; }}
    QPushButton, QToolButton {{ background: {theme.raised}; border: 1px solid transparent; border-radius: 6px;
        padding: 5px 12px; color: {theme.text}; }}
    QToolButton {{ padding: 5px 7px; }}
    QPushButton:hover, QToolButton:hover {{ border-color: {theme.line}; }}
    QPushButton:pressed, QToolButton:pressed {{ background: {theme.line}; }}
    QPushButton:checked, QToolButton:checked {{ background: {theme.line}; border-color: {theme.quiet}; }}
    QPushButton:disabled, QToolButton:disabled {{ color: {theme.quiet}; }}
    QPushButton[role="field"] {{ background: {theme.surface}; border-color: {theme.line}; color: {theme.quiet};
        padding: 3px 10px; margin: 2px {UNIT}px 0 0; min-width: 176px; text-align: left; }}
    QPushButton[role="field"]:hover {{ border-color: {theme.quiet}; }}
    QPushButton[primary="true"] {{ background: {theme.accent}; color: {theme.on_accent}; font-weight: 600; }}
    QPushButton[primary="true"]:disabled {{ background: {theme.raised}; color: {theme.quiet}; }}
    QPushButton[flat="true"], QToolButton[flat="true"] {{ background: transparent; }}
    QPushButton[flat="true"]:hover, QToolButton[flat="true"]:hover {{ background: {theme.raised}; }}
    QPushButton:focus, QToolButton:focus {{ border-color: {theme.accent}; }}
    QLineEdit, QComboBox, QSpinBox, QPlainTextEdit {{ background: {theme.surface}; border: 1px solid {theme.line};
        border-radius: 6px; padding: 5px 8px; selection-background-color: {theme.accent}; }}
    QLineEdit:focus, QComboBox:focus, QSpinBox:focus {{ border-color: {theme.accent}; }}
    QComboBox::drop-down {{ border: none; width: 22px; }}
    QComboBox::down-arrow {{ image: url({caret}); width: 12px; height: 12px; }}
    QComboBox QAbstractItemView {{ background: {theme.window}; border: 1px solid {theme.line}; outline: none; }}
    QListView, QTreeView, QTableView {{ background: {theme.window}; border: none; outline: none; }}
    QListWidget::item {{ padding: 6px 8px; border-radius: 4px; }}
    QTreeWidget::item {{ padding: 6px 8px; }}
    QListWidget::item:selected, QTreeWidget::item:selected {{ background: {theme.raised}; color: {theme.text}; }}
    QScrollBar:vertical {{ background: transparent; width: 10px; margin: 0; }}
    QScrollBar::handle:vertical {{ background: {theme.line}; border-radius: 5px; min-height: 32px; }}
    QScrollBar:horizontal {{ background: transparent; height: 10px; margin: 0; }}
    QScrollBar::handle:horizontal {{ background: {theme.line}; border-radius: 5px; min-width: 32px; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
    QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
    QProgressBar {{ background: {theme.raised}; border: none; border-radius: 3px; max-height: 6px; min-height: 6px; }}
    QProgressBar::chunk {{ background: {theme.accent}; border-radius: 3px; }}
    QStatusBar {{ background: {theme.window}; color: {theme.quiet}; }}
    QStatusBar::item {{ border: none; }}
    QCheckBox::indicator, QListView::indicator {{ width: 14px; height: 14px; border: 1px solid {theme.quiet};
        border-radius: 3px; background: {theme.surface}; }}
    QCheckBox::indicator:checked, QListView::indicator:checked {{ background: {theme.accent};
        border-color: {theme.accent}; image: url({tick}); }}
    QSlider::groove:horizontal {{ height: 4px; background: {theme.line}; border-radius: 2px; }}
    QSlider::handle:horizontal {{ background: {theme.text}; width: 14px; height: 14px; margin: -5px 0; border-radius: 7px; }}
    QLabel[role="title"] {{ font-size: 22px; font-weight: 600; }}
    QLabel[role="heading"] {{ font-weight: 600; }}
    QLabel[role="quiet"] {{ color: {theme.quiet}; }}
    QLabel[role="warning"] {{ background: {theme.raised}; color: {theme.text}; padding: 6px 12px; border-radius: 6px; }}
    """
