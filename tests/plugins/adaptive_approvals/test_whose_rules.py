import pytest
from starlette.requests import Request

from iskra_plugins.adaptive_approvals.routes import _owner
from iskra_sdk import Principal
from iskra_sdk.errors import PermissionDeniedError

ANNA = Principal("anna", permissions=frozenset({"approvals:*"}))
ADMIN = Principal("admin", permissions=frozenset({"*"}))


def request(principal: Principal) -> Request:
    return Request({"type": "http", "state": {"principal": principal}, "headers": []})


def test_only_an_admin_reaches_the_rules_of_others() -> None:
    assert _owner(request(ANNA), None) == "anna"
    assert _owner(request(ANNA), "anna") == "anna"
    assert _owner(request(ADMIN), "anna") == "anna"
    with pytest.raises(PermissionDeniedError):
        _owner(request(ANNA), "boris")
