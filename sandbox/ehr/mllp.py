"""One MLLP connection of a sender: a frame out, its acknowledgement back (HL7 v2 Appendix C)."""

import asyncio

_START, _END = b"\x0b", b"\x1c\r"


class NoAnswer(Exception):
    """The line did not carry an acknowledgement of this message; nothing is known of it."""


class Line:
    """Opens the connection when it is needed and forgets it when it breaks."""

    def __init__(self, host: str, port: int, within: float) -> None:
        self._host = host
        self._port = port
        self._within = within
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, body: bytes, control_id: str) -> str:
        """Send one message and return its acknowledgement code (MSA-1)."""
        try:
            async with asyncio.timeout(self._within):
                answer = await self._exchange(body)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as exc:
            await self.close()
            raise NoAnswer(type(exc).__name__) from exc
        code, about = _acknowledged(answer)
        if about != control_id:
            await self.close()
            raise NoAnswer("acknowledgement of another message")
        return code

    async def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, body: bytes) -> bytes:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(_START + body + _END)
        await writer.drain()
        return (await reader.readuntil(_END)).removesuffix(_END).lstrip(_START)


def _acknowledged(answer: bytes) -> tuple[str, str]:
    for segment in answer.split(b"\r"):
        if segment[:3] == b"MSA":
            fields = [*segment.decode("utf-8", "replace").split("|"), "", ""]
            return fields[1], fields[2]
    return "", ""
