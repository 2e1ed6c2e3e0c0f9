import pytest

from policies.max_body import MaxBody


async def echo_length(scope, receive, send):
    length, more = 0, True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


async def streamed(length):
    for _ in range(length // 10):
        yield b"0123456789"


@pytest.mark.parametrize(("length", "status"), [(0, 200), (100, 200), (110, 413)])
async def test_a_body_is_measured_as_declared_and_as_it_arrives(gateway, length, status):
    for content in (b"x" * length, streamed(length)):
        response = await gateway.ask(
            echo_length, MaxBody(limit_bytes=100), method="POST", content=content
        )
        assert response.status_code == status
        if status == 200:
            assert response.text == str(length)
        else:
            assert response.json()["type"] == "body-too-large"


async def test_a_declared_length_is_refused_before_anything_is_read(gateway):
    async def app(scope, receive, send):
        raise AssertionError

    response = await gateway.ask(
        app, MaxBody(limit_bytes=100), method="POST", headers={"Content-Length": "101"}
    )
    assert response.status_code == 413


async def test_a_length_that_is_no_number_is_refused(gateway, hello):
    response = await gateway.ask(hello, MaxBody(), method="POST", headers={"Content-Length": "ten"})
    assert (response.status_code, response.json()["where"]) == (400, "Content-Length")
