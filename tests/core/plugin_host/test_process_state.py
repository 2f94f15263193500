"""What counts as left behind in the process, and what only passed through."""

import sys
import warnings

from iskra.plugin_host.process_state import ProcessState


def test_a_list_entry_that_another_thread_has_taken_out_again_is_not_counted() -> None:
    before = ProcessState.take()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        changes = before.changes()
        assert changes.names["interpreter"] == ("warnings.filters",)
    changes.undo()
    assert changes.names == {}


def test_a_list_entry_that_stays_is_counted_and_taken_out() -> None:
    before = ProcessState.take()
    entry = "/nowhere/at/all"
    sys.path.append(entry)
    changes = before.changes()
    changes.undo()
    assert entry not in sys.path
    assert changes.names == {"interpreter": ("sys.path",)}
