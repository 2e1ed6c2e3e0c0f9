import pytest
from tests.contracts.raw_documents import seeds
RAW = {
    "/system/v1/ehr/hl7v2": ("x-application/hl7-v2+er7", "hl7v2_feed"),
    "/system/v1/ehr/fhir": ("application/fhir+json", "fhir_r4"),
    "/system/v1/edi/x12": ("application/edi-x12", "edi_x12"),
}
@pytest.mark.parametrize("path", RAW)
def test_probe(path, client):
    kind, folder = RAW[path]
    bad=set()
    n=0
    for document in seeds(folder):
        for nul in ([b"\\u0000", b'"'] if folder=="fhir_r4" else [b"\0", b"\xff", b"\x1f"]):
            for place in range(0, len(document), 23):
                body = document[:place] + nul + document[place:]
                answer = client.post(path, content=body, headers={"content-type": kind})
                n+=1
                if answer.status_code >= 500: bad.add((document[:20], document[max(0,place-20):place+10], nul, answer.text[:200]))
    print(n, len(bad), list(bad)[:10])
    assert not bad
def test_probe2(client):
    import time, collections
    time.sleep(5)
    r = client.get("/process/v1/tasks?limit=500&status=any").json()["items"]
    print(collections.Counter(t["reason"] for t in r))
    assert not [t for t in r if t["reason"] in ("internal-fault",)]
