"""A published event as the CloudEvent that leaves: the same for every kind of subscriber."""

import msgspec

from canonical.events import BY_TYPE
from canonical.trace import transaction_place
from ledger.outbox import Event
from standards.cloudevents.codec import CloudEvent, encode


def _traceparent(event: Event) -> str:
    """Return where the event is in the trace of its transaction: the same each time it is told."""
    return str(transaction_place(event.transaction, event.id)) if event.transaction else ""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """Where events come from, and the document whose schemas their payloads keep."""

    source: str
    document: str

    def around(self, event: Event) -> bytes:
        """Return the event as structured JSON.

        The transaction is what CloudEvents calls the correlation: one id from the procedure to the
        invoice. The cause is the document, or the flow, that led to this event.
        """
        kind = BY_TYPE.get(event.type)
        schema = kind.payload.__name__ if kind and kind.payload else ""
        return encode(
            CloudEvent(
                id=event.id,
                source=self.source,
                type=event.type,
                time=event.at,
                specversion="1.0",
                datacontenttype="application/json",
                data=msgspec.Raw(event.body),
                dataschema=f"{self.document}#/components/schemas/{schema}" if schema else "",
                subject=event.subject,
                correlationid=event.transaction,
                causationid=event.cause,
                transactionid=event.transaction,
                sequence=f"{event.position.committed_in:020d}.{event.position.number:020d}",
                facility=event.facility,
                dataclass=event.data_class,
                traceparent=_traceparent(event),
            )
        )
