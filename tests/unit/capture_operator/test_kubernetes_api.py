"""What goes to the API server and what is made of its answers, over real HTTP."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration

from capture_operator.api import ApiError, ConflictError, NotFoundError
from capture_operator.kubernetes_api import KubernetesApi
from capture_operator.resources import CAPTURES, NODE_REPORTS, PODS, ObjectKey


class Peer:
    """An API server that answers as a test says.

    Attributes:
        requests: method, URL, content type and body of each request.
        answers: what the next requests get.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str, Any]] = []
        self.answers: list[web.Response] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Note a request, and give it the next answer."""
        body = json.loads(await request.text() or "null")
        content_type = request.headers.get("Content-Type", "")
        self.requests.append((request.method, str(request.rel_url), content_type, body))
        return self.answers.pop(0)


@pytest.fixture
def peer() -> Peer:
    """What is at the other end of `api`."""
    return Peer()


@pytest.fixture
async def server(peer: Peer) -> AsyncIterator[TestServer]:
    """The peer, listening."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", peer.answer)
    server = TestServer(app)
    await server.start_server()
    yield server
    await server.close()


@pytest.fixture
async def api(server: TestServer) -> AsyncIterator[KubernetesApi]:
    """The client, connected to the peer."""
    configuration = Configuration(host=str(server.make_url("")).rstrip("/"))
    async with ApiClient(configuration) as client:
        yield KubernetesApi(client)


def page(*names: str, following: str = "") -> web.Response:
    """Answer a listing."""
    items = [{"metadata": {"name": name}} for name in names]
    return web.json_response({"metadata": {"continue": following}, "items": items})


async def test_a_listing_is_read_page_by_page(peer: Peer, api: KubernetesApi) -> None:
    """With the token of the page before."""
    peer.answers = [page("a", "b", following="next/1"), page("c")]
    names = [raw["metadata"]["name"] async for raw in api.list_objects(PODS)]
    assert names == ["a", "b", "c"]
    assert [request[1] for request in peer.requests] == [
        "/api/v1/pods?limit=500",
        "/api/v1/pods?limit=500&continue=next/1",
    ]


async def test_fields_are_replaced_only_in_the_version_they_were_decided_on(
    peer: Peer, api: KubernetesApi
) -> None:
    """A JSON patch of whole fields that names the resourceVersion."""
    peer.answers = [web.json_response({"ok": True})]
    key = ObjectKey("demo", "web")
    status = {"pods": {"matched": 1}}
    answer = await api.replace_fields(
        CAPTURES, key, "42", {"/status": status}, subresource="status"
    )
    assert answer == {"ok": True}
    ((method, url, content_type, body),) = peer.requests
    assert (method, content_type) == ("PATCH", "application/json-patch+json")
    path = "/apis/trafficcapture.io/v1alpha1/namespaces/demo/trafficcaptures/web/status"
    assert url == path
    assert body == [
        {"op": "add", "path": "/metadata/resourceVersion", "value": "42"},
        {"op": "add", "path": "/status", "value": status},
    ]


async def test_an_object_is_created_where_it_belongs(peer: Peer, api: KubernetesApi) -> None:
    """Cluster-scoped kinds have no namespace in the path."""
    peer.answers = [web.json_response({})]
    body = {"metadata": {"name": "node1"}, "spec": {"pods": []}}
    await api.create(NODE_REPORTS, body)
    ((method, url, _, sent),) = peer.requests
    assert (method, url) == ("POST", "/apis/trafficcapture.io/v1alpha1/nodecaptures")
    assert sent == body


async def test_an_object_is_deleted_by_name(peer: Peer, api: KubernetesApi) -> None:
    """One that is gone already is told apart from one that could not be deleted."""
    peer.answers = [web.json_response({}), web.json_response({"message": "gone"}, status=404)]
    key = ObjectKey("demo", "web")
    await api.delete(CAPTURES, key)
    with pytest.raises(NotFoundError):
        await api.delete(CAPTURES, key)
    path = "/apis/trafficcapture.io/v1alpha1/namespaces/demo/trafficcaptures/web"
    assert [request[:2] for request in peer.requests] == [("DELETE", path)] * 2


@pytest.mark.parametrize(
    ("status", "kind"), [(409, ConflictError), (404, NotFoundError), (403, ApiError)]
)
async def test_a_refusal_is_an_error_with_its_reason(
    peer: Peer, api: KubernetesApi, status: int, kind: type[ApiError]
) -> None:
    """And of the kind that says what to do about it."""
    peer.answers = [web.json_response({"message": "because"}, status=status)]
    with pytest.raises(ApiError, match="because") as raised:
        await api.create(CAPTURES, {"metadata": {"namespace": "demo", "name": "web"}})
    assert type(raised.value) is kind


async def test_an_answer_that_is_no_status_object_is_an_error_too(
    peer: Peer, api: KubernetesApi
) -> None:
    """Proxies in front of API servers answer in HTML."""
    peer.answers = [web.Response(status=502, text="<html>Bad gateway</html>")]
    with pytest.raises(ApiError, match="502 <html>"):
        _ = [raw async for raw in api.list_objects(PODS)]


async def test_an_api_server_that_is_away_is_an_error(
    server: TestServer, api: KubernetesApi
) -> None:
    """And not a traceback of the HTTP library."""
    await server.close()
    with pytest.raises(ApiError, match="pods"):
        _ = [raw async for raw in api.list_objects(PODS)]
