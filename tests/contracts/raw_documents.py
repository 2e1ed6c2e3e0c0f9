"""Documents of the standards for a fuzzer: the golden ones, sent by whom the gateway knows, and
what a few wrong bytes make of them.
"""

from pathlib import Path

from hypothesis import strategies as st

GOLDEN = Path(__file__).parents[1] / "golden"
SENDERS = {
    b"NORTH": b"GENERAL",
    b"SUPPLIERONE    ": b"NORTHFIELD     ",
    b"HOSPITAL       ": b"GENERALHOSP    ",
}
NASTY = [b"", b"\0", b"|", b"^", b"~", b"*", b":", b"\r", b"\n", b"\xff", b"9" * 40, "é".encode()]


def seeds(kind: str) -> list[bytes]:
    """Return the golden documents of a kind, as their senders would send them to this gateway."""
    documents = list[bytes]()
    for file in sorted((GOLDEN / kind).glob("*.golden")):
        document = file.read_bytes().partition(b"\n---")[0].removesuffix(b"-")
        for golden, known in SENDERS.items():
            document = document.replace(golden, known)
        documents.append(document.replace(b"\n", b"\r") if kind == "hl7v2_feed" else document)
    return documents


@st.composite
def damaged(draw: st.DrawFn, documents: list[bytes]) -> bytes:
    """Draw a document in which up to three short stretches are something else, or nothing."""
    document = draw(st.sampled_from(documents))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(document)))
        end = start + draw(st.integers(0, 4))
        document = document[:start] + draw(st.sampled_from(NASTY)) + document[end:]
    return document


def documents(kind: str) -> st.SearchStrategy[bytes]:
    """Return what to send: mostly nearly right, sometimes anything at all."""
    return st.one_of(damaged(seeds(kind)), st.binary(min_size=1, max_size=200))
