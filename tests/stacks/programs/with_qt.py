"""PyQt5 without a screen: QThreads and a pool of Qt's own threads run Python and signal the main loop."""
import os
import threading

os.environ["QT_QPA_PLATFORM"] = "offscreen"

from PyQt5.QtCore import QCoreApplication, QObject, QRunnable, QThread, QThreadPool, QTimer, pyqtSignal  # noqa: E402
from PyQt5.QtWidgets import QApplication, QLabel  # noqa: E402

from result import done  # noqa: E402

THREADS, SIGNALS, RUNS = 4, 8000, 8000


class Worker(QThread):
    counted = pyqtSignal(int)

    def run(self):
        for i in range(SIGNALS):
            self.counted.emit(i)


class Board(QObject):
    ran = pyqtSignal(int)


class Run(QRunnable):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def run(self):
        idents.add(threading.get_ident())
        board.ran.emit(self.number)


application = QApplication([])
label = QLabel("0")
label.show()
idents = set()
board = Board()
sums = {"signals": 0, "runs": 0, "count": 0}


def add(what, number):
    assert threading.get_ident() == main
    sums[what] += number
    sums["count"] += 1
    label.setText(str(sums["count"]))
    if sums["count"] == THREADS * SIGNALS + RUNS:
        QTimer.singleShot(0, QCoreApplication.quit)


main = threading.get_ident()
workers = [Worker() for _ in range(THREADS)]
for worker in workers:
    worker.counted.connect(lambda number: add("signals", number))
board.ran.connect(lambda number: add("runs", number))
for worker in workers:
    worker.start()
for number in range(RUNS):
    QThreadPool.globalInstance().start(Run(number))
application.exec_()
for worker in workers:
    worker.wait()
QThreadPool.globalInstance().waitForDone()
assert idents and main not in idents
done((sorted(sums.items()), label.text()))
