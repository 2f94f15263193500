from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from iskra_chaos.faults.models import FaultRequest
from iskra_chaos.figures import ExperimentResult


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("body", [FaultRequest, ExperimentResult])
def test_the_framework_warns_of_no_body(body: type[BaseModel]) -> None:
    app = FastAPI()
    app.post("/", response_model=None)(_route(body))
    assert body.__name__ in app.openapi()["components"]["schemas"]


def _route(body: type[BaseModel]) -> Callable[[BaseModel], Awaitable[None]]:
    async def take(body: BaseModel) -> None: ...

    take.__annotations__["body"] = body
    return take
