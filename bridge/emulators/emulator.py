"""What all emulators share: a journal of what arrived, and its routes under `/_emulator/`."""

from typing import Any, Generic, TypeVar

import msgspec

from bridge.emulators.exchange import Answer, ClientGone, Exchange, Message, Receive, Send, json_answer

R = TypeVar("R", bound=msgspec.Struct)


class Emulator(Generic[R]):
    """An ASGI app that journals, answers and can be steered."""

    def __init__(self) -> None:
        self.url = ""
        self.journal: list[R] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = Exchange(scope, receive, send)
        try:
            if exchange.segments[0] == "_emulator":
                answer = await self._controlled(exchange)
            else:
                answer = await self.handle(exchange)
            await exchange.answer(answer)
        except ClientGone:
            return

    async def handle(self, exchange: Exchange) -> Answer:
        """Play the emulated service for one request."""
        raise NotImplementedError

    async def control(self, exchange: Exchange) -> Answer | None:
        """Obey one request under `/_emulator/`; None if it is not a known one."""
        raise NotImplementedError

    def shown(self, record: R) -> dict[str, Any]:
        """Prepare one record for the journal as JSON."""
        shown: dict[str, Any] = msgspec.to_builtins(record)
        return shown

    async def _controlled(self, exchange: Exchange) -> Answer:
        match exchange.method, exchange.segments[1:]:
            case "GET", ("journal",):
                return json_answer([self.shown(record) for record in self.journal])
            case "DELETE", ("journal",):
                self.journal.clear()
                return Answer(status=204)
        try:
            answer = await self.control(exchange)
        except msgspec.MsgspecError as error:
            return json_answer({"error": str(error)}, 400)
        return answer or json_answer({"error": "no such control"}, 404)
