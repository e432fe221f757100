"""The list of people: thumbnails, verdict, 2D error; filter, order, search."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, QTimer
from PySide6.QtGui import QColor, QKeySequence, QPainter, QResizeEvent, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from annotator.verdict import Preferred
from app import theme
from app.panels.thumbnails import Thumbnails
from app.session import Session
from app.shelf import Order, Show

_Index = QModelIndex | QPersistentModelIndex
_ROW, _PICTURE = 64, 48
_TYPING_MS, _LAYOUT_MS = 150, 30
_BATCH = 5000
_PREFERRED = {Preferred.LEFT: "[ left", Preferred.TIE: "= tie", Preferred.RIGHT: "right ]"}
_GLYPHS = {1: "✓ A", 2: "✕ R", 3: "? U"}


class SampleModel(QAbstractListModel):
    """Rows of the session's list; holds an array of numbers and no object per person."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._rows = np.zeros(0, np.int64)

    def take(self, rows: np.ndarray) -> None:
        """Exchanges all rows."""
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def rowCount(self, parent: _Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> str | None:
        shelf = self._session.shelf
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole) or shelf is None:
            return None
        return shelf.sample_key(self.row(index.row()))

    def row(self, place: int) -> int:
        """Row of the shelf at a place of the list."""
        return int(self._rows[place])

    def place(self, row: int) -> int:
        """Place in the list of a row of the shelf; -1 if it is not in it."""
        found = np.flatnonzero(self._rows == row)
        return int(found[0]) if len(found) else -1


class _Delegate(QStyledItemDelegate):
    def __init__(self, session: Session, thumbnails: Thumbnails, parent: QWidget) -> None:
        super().__init__(parent)
        self._session, self._thumbnails = session, thumbnails

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        return QSize(200, _ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        shelf, project = self._session.shelf, self._session.project
        model = index.model()
        if shelf is None or project is None or not isinstance(model, SampleModel):
            return
        row = model.row(index.row())
        look = theme.current()
        area: QRect = option.rect  # type: ignore[attr-defined]
        if option.state & QStyle.StateFlag.State_Selected:  # type: ignore[attr-defined]
            painter.fillRect(area, QColor(look.raised))
            painter.fillRect(QRect(area.left(), area.top(), 3, area.height()), QColor(look.accent))
        sample = shelf.sample(row)
        frame = QRect(area.left() + 12, area.top() + (_ROW - _PICTURE) // 2, _PICTURE, _PICTURE)
        picture = self._thumbnails.get(sample, project.photo_path(sample), project.cache / "thumbnails")
        if picture is None or picture.isNull():
            painter.fillRect(frame, QColor(look.raised))
            if picture is not None:
                painter.setPen(QColor(look.quiet))
                painter.drawText(frame, Qt.AlignmentFlag.AlignCenter, "–")
        else:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawPixmap(frame, picture)
        text = area.adjusted(_PICTURE + 24, 10, -12, -10)
        self._paint_words(painter, text, row, sample.annotation_id)

    def _paint_words(self, painter: QPainter, area: QRect, row: int, name: str) -> None:
        shelf = self._session.shelf
        assert shelf is not None
        look = theme.current()
        upper = QRect(area.left(), area.top(), area.width(), area.height() // 2)
        lower = QRect(area.left(), area.center().y() + 1, area.width(), area.height() // 2)
        left, right = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.setPen(QColor(look.text))
        painter.drawText(
            upper,
            int(left | middle),
            painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, area.width() - 40),
        )
        code = int(shelf.verdicts[row])
        if code:
            painter.setPen(QColor((look.accept, look.reject, look.unsure)[code - 1]))
            painter.drawText(upper, int(right | middle), _GLYPHS[code])
        painter.setPen(QColor(look.quiet))
        error = shelf.errors[0, row]
        words = ("no fit", "", "failed")[shelf.status[row]] or ("–" if np.isnan(error) else f"{error:,.1f} px")
        if self._session.comparison.on:
            known = self._session.comparison.disagreement
            words += f"   {known[row]:,.0f} mm" if known is not None and not np.isnan(known[row]) else "   – mm"
            preferred = self._session.preference_of(row)
            painter.drawText(lower, int(right | middle), _PREFERRED.get(preferred, "") if preferred else "")
        painter.drawText(lower, int(left | middle), words)


class SampleList(QWidget):
    """The left panel."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._thumbnails = Thumbnails(self)
        self._model = SampleModel(session)
        self._datasets, self._shows, self._orders = QComboBox(), QComboBox(), QComboBox()
        self.search = QLineEdit()
        self._view = QListView()
        self._empty, self._note = QLabel(), QLabel()
        self._place()
        self._laying_out = QTimer(self, singleShot=True, interval=_LAYOUT_MS)  # type: ignore[call-overload]
        self._laying_out.timeout.connect(self._show_current)
        self._typing = QTimer(self, singleShot=True, interval=_TYPING_MS)  # type: ignore[call-overload]
        self._connect()

    @property
    def settled(self) -> bool:
        """Whether all thumbnails that were asked for are there."""
        return self._thumbnails.settled

    def close_threads(self) -> None:
        """Ends the thumbnails' threads."""
        self._thumbnails.close()

    def start_search(self) -> None:
        """Puts the cursor into the search."""
        self.search.setFocus()
        self.search.selectAll()

    def _leave_search(self) -> None:
        self.window().setFocus()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        QTimer.singleShot(0, self, self._show_current)

    def _place(self) -> None:
        self.setMinimumWidth(248)
        self.search.setPlaceholderText("Find an id or a photo")
        self.search.setClearButtonEnabled(True)
        self.search.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._show_orders()
        for box in (self._datasets, self._shows, self._orders):
            box.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(8)
        self._datasets.setAccessibleName("Data set")
        self._shows.setAccessibleName("Filter by verdict")
        self._orders.setAccessibleName("Order")
        self._orders.setToolTip(
            "Worst and best are by 2D error in px of the 256 crop; most apart by the mean distance of the body's joints"
        )
        self._view.setModel(self._model)
        self._view.setItemDelegate(_Delegate(self._session, self._thumbnails, self._view))
        self._view.setUniformItemSizes(True)
        self._view.setLayoutMode(QListView.LayoutMode.Batched)
        self._view.setBatchSize(_BATCH)
        self._view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self._view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._view.setAccessibleName("People")
        self._empty.setProperty("role", "quiet")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        self._note.setProperty("role", "quiet")
        self._note.setWordWrap(True)
        self._note.setContentsMargins(12, 0, 12, 0)
        self._note.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.UNIT, 0, 0)
        layout.setSpacing(theme.UNIT)
        for widgets in ((self._datasets,), (self.search,), (self._shows, self._orders)):
            row = QHBoxLayout()
            row.setContentsMargins(12, 0, 4, 0)
            for widget in widgets:
                row.addWidget(widget, 1)
            layout.addLayout(row)
        layout.addWidget(self._note)
        layout.addWidget(self._empty, 1)
        layout.addWidget(self._view, 1)

    def _connect(self) -> None:
        session = self._session
        session.shelf_changed.connect(self._show_shelf)
        session.rows_changed.connect(self._show_rows)
        session.current_changed.connect(self._show_current)
        session.verdicts_changed.connect(self._show_verdicts)
        session.comparison.changed.connect(self._show_orders)
        session.comparison.disagreement_changed.connect(self._show_note)
        self._thumbnails.ready.connect(lambda _key: self._view.viewport().update())
        self._view.selectionModel().currentChanged.connect(self._chosen)
        self._typing.timeout.connect(lambda: session.arrange(text=self.search.text().strip()))
        self.search.textChanged.connect(lambda _text: self._typing.start())
        self.search.returnPressed.connect(self._leave_search)
        leave = QShortcut(QKeySequence(Qt.Key.Key_Escape), self.search, context=Qt.ShortcutContext.WidgetShortcut)
        leave.activated.connect(self._leave_search)
        self._datasets.activated.connect(lambda _i: session.show_dataset(self._datasets.currentData()))
        self._shows.activated.connect(lambda _i: session.arrange(show=self._shows.currentData()))
        self._orders.activated.connect(lambda _i: session.arrange(order=self._orders.currentData()))

    def _show_shelf(self) -> None:
        self._thumbnails.clear()
        self._datasets.clear()
        for name in self._session.datasets():
            self._datasets.addItem(name, name)
        if self._session.shelf is None:
            self._model.take(np.zeros(0, np.int64))
            self._show_empty()
            return
        self._datasets.setCurrentText(self._session.shelf.dataset)
        self._show_verdicts()

    def _show_orders(self) -> None:
        """The orders that there are: by disagreement only while two runs are compared."""
        orders = [o for o in Order if o is not Order.DISAGREEMENT or self._session.comparison.on]
        if self._orders.count() != len(orders):
            self._orders.clear()
            for order in orders:
                self._orders.addItem(order.value.capitalize(), order)
        self._orders.setCurrentIndex(orders.index(self._session.selection.order))
        self._show_note()

    def _show_note(self) -> None:
        """That the order is not final, while the two runs are still being measured."""
        comparison, order = self._session.comparison, self._session.selection.order
        waits = comparison.unfinished and order is Order.DISAGREEMENT
        count = len(self._session.shelf.samples) if self._session.shelf is not None else 0
        self._note.setText(
            f"Measuring the two runs: {comparison.measured:,} of {count:,} people. The order is not final."
        )
        self._note.setVisible(waits)
        self._view.viewport().update()

    def _show_rows(self) -> None:
        self._show_orders()
        self._model.take(self._session.rows)
        self._show_empty()
        self._show_current()

    def _show_empty(self) -> None:
        empty = not self._model.rowCount()
        self._view.setVisible(not empty)
        self._empty.setVisible(empty)
        nobody = self._session.shelf is None or not len(self._session.shelf.samples)
        self._empty.setText("No people yet." if nobody else "Nobody here.\nChoose another filter or clear the search.")

    def _show_current(self) -> None:
        place = self._model.place(self._session.row)
        if place < 0:
            self._view.selectionModel().clear()
            return
        index = self._model.index(place)
        self._view.setCurrentIndex(index)
        self._view.scrollTo(index)
        if self._view.isVisible() and self._view.visualRect(index).isEmpty():
            self._laying_out.start()  # the list is laid out in batches, and this row's turn has not come

    def _show_verdicts(self) -> None:
        shelf = self._session.shelf
        if shelf is None:
            return
        counts = shelf.counts()
        if self._shows.count() != len(Show):
            self._shows.clear()
            for show in Show:
                self._shows.addItem("", show)
        verdicts = self._session.verdicts
        unknown = verdicts is not None and bool(verdicts.problem)
        for place, show in enumerate(Show):
            count = "?" if unknown and show not in (Show.ALL, Show.FAILED) else f"{counts[show]:,}"
            self._shows.setItemText(place, f"{show.value.capitalize()}  {count}")
        self._shows.setCurrentIndex(list(Show).index(self._session.selection.show))
        self._view.viewport().update()

    def _chosen(self, index: QModelIndex) -> None:
        if index.isValid():
            self._session.go_to_row(self._model.row(index.row()))
