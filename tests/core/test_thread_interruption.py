"""Threads are interrupted, but never with a lock of the whole process in their hands."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from iskra.thread_interruption import interrupt

IMPORTER = """
import _imp, sys, threading
from iskra.thread_interruption import interrupt

def victim():
    import wave
    while True: pass

_imp.acquire_lock()
thread = threading.Thread(target=victim, daemon=True)
thread.start()
while "_get_module_lock" not in sys._current_frames()[thread.ident].f_code.co_name: pass
interrupt(thread)
thread.join(0.3)  # it is asked in vain as long as it waits for the lock
_imp.release_lock()
thread.join(60)
print(thread.is_alive(), "wave" in sys.modules, _imp.lock_held())
"""


def test_a_thread_that_imports_is_interrupted_only_when_it_has_let_go_of_the_import_lock() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTER], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == "False True False\n", done.stderr


def test_a_thread_that_calculates_is_interrupted() -> None:
    caught: list[BaseException] = []

    def calculate() -> None:
        try:
            while True:
                pass
        except KeyError as error:
            caught.append(error)

    thread = threading.Thread(target=calculate, daemon=True)
    thread.start()
    interrupt(thread, KeyError)
    thread.join(60)
    assert len(caught) == 1


def test_a_worker_that_has_turned_to_something_else_is_left_alone() -> None:
    with ThreadPoolExecutor(1) as pool:
        worker = pool.submit(threading.current_thread).result()
        interrupt(worker, wanted=lambda frame: False)
        for helper in [thread for thread in threading.enumerate() if thread.name == "interruption"]:
            helper.join(60)
        assert pool.submit(threading.current_thread).result() is worker


def test_a_thread_that_has_ended_is_left_alone() -> None:
    thread = threading.Thread(target=time.monotonic)
    thread.start()
    thread.join()
    interrupt(thread)
    interrupt(threading.Thread(target=time.monotonic))
