"""The last line of defence: what looks like a person or a secret is masked in every log record.

Nothing in Suture logs a document, a name or a token; this is for what others log (drivers, the
event loop, the server), and for the day somebody forgets. A record is masked when it is made,
whichever logger makes it and whichever handler writes it, with its traceback. A value that has to
be in a record and may name a person is written `phi{value}`.
"""

import logging
import re
import traceback
from collections.abc import Iterable

from canonical.request import CALL

MASK = "…"
_KEYS = (
    "family|given|birth_?date|patient_?(?:id|name|number)|person_?name|mrn|ssn|account|encounter"
    "|case_?number|telecom|phone|email|maiden_?name"
)
_SECRETS = "client_secret|client_assertion|refresh_token|access_token|password|code_verifier"
_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
_END = r"(?:\\r|\\n|[\r\n]|$)"
_FIELD = (
    rf"([\"']?\b(?:{_KEYS}|{_SECRETS})[\"']?\s*[:=]\s*)"
    rf"(?:\[[^\]]*\]?|{_QUOTED}|[^\s,;&)}}\]]+)"
)
_BEGIN = r"(?:(?<![A-Za-z0-9])|(?<=\\[rn]))"
"""Before a segment: not in the middle of a word, but right after a line break that was escaped."""

MASKS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), instead)
    for pattern, instead in (
        (r"phi\{[^}]*\}?", MASK),
        # HL7 v2 segments about a person, to their end; X12 loops of a person (837, 278, 834).
        (rf"{_BEGIN}(PID|PD1|NK1|MRG|GT1|IN[123]|PV1|ACC|DG1)\|.*?(?={_END})", rf"\1|{MASK}"),
        (rf"{_BEGIN}(NM1|DMG|PAT|N3|REF\*SY)\*[^~\r\n]*", rf"\1*{MASK}"),
        # FHIR and other JSON, the repr of a dict, and key=value.
        (_FIELD, rf"\1{MASK}"),
        (r"([\"'](?:name|address|contact)[\"']\s*:\s*)\[.*?\](?=[,}]|$)", rf"\1{MASK}"),
        (r"\b(Patient|RelatedPerson)/[A-Za-z0-9.-]+", rf"\1/{MASK}"),
        (r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])", MASK),
        (r"\bMRN[-:#= ]?[A-Za-z0-9-]*\d[A-Za-z0-9-]*", MASK),
        # Secrets: tokens, basic credentials, passwords in addresses.
        (r"\b(Bearer|Basic|DPoP)\s+[A-Za-z0-9._~+/-]{8,}=*", rf"\1 {MASK}"),
        (r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", MASK),
        (r"(://[^/:@\s]*):[^@/\s]+@", rf"\1:{MASK}@"),
        (r"\bwhsec_[A-Za-z0-9+/=]+", MASK),
    )
)


class Masking:
    """Makes log records that say nothing about a person. `patterns` are the hospital's own."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._masks = (*MASKS, *((re.compile(each), MASK) for each in patterns))

    def masked(self, text: str) -> str:
        for pattern, instead in self._masks:
            text = pattern.sub(instead, text)
        return text

    def install(self) -> None:
        """Make every record of this process from now on."""
        logging.setLogRecordFactory(self.record)

    def record(self, *given: object, **more: object) -> logging.LogRecord:
        """Return a record whose message and traceback are masked, with the call it belongs to."""
        made = logging.LogRecord(*given, **more)  # type: ignore[arg-type]
        try:
            text = made.getMessage()
        except (TypeError, ValueError, KeyError):  # a record that does not fit its arguments
            text = str(made.msg)
        made.msg, made.args = self.masked(text), ()
        if made.exc_info and made.exc_info[0] is not None:
            made.exc_text = self.masked("".join(traceback.format_exception(*made.exc_info)).strip())
            made.exc_info = None
        if made.stack_info:
            made.stack_info = self.masked(made.stack_info)
        facts = CALL.get()
        made.correlation_id = facts.correlation_id if facts else ""
        made.transaction = facts.transaction if facts else ""
        return made
