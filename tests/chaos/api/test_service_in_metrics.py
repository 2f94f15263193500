"""The metrics of conversations take in how the service does."""

from collections.abc import Iterator

import pytest

from chaos.api.conftest import House
from fake_upstream import Call, Request
from iskra_sdk.errors import IskraError


def test_turns_that_fail_lower_the_health_in_stability(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def health(session_id: str) -> float:
        with house.client() as client:
            shown = client.get(f"/conversation_metrics/{session_id}").json()
        return float(shown["metrics"]["stability"]["parts"]["health"])

    def away(request: Request) -> Iterator[str | Call]:
        if request:
            raise OSError("the model is away")
        yield ""

    session_id = house.session(turns=1)
    assert health(session_id) == 1.0
    with monkeypatch.context() as patched:
        patched.setattr(house.upstream, "answer", away)
        with pytest.raises(IskraError):
            house.say("And now?", session_id)
    assert health(session_id) < 1.0
