import asyncio
from tests.journeys.front_doors import *
from tests.journeys.test_faults_upstream import receive
async def test_x(stage):
    floor = Floor(stage)
    names = ["accept","backorder","partial-backorder","partial-backorder-over-several-acks","line-rejection","price-discrepancy","quantity-discrepancy","uom-discrepancy","vendor-part-discrepancy","added-taxes","shipping-charges","both-taxes-and-shipping","discount-terms","lost-acknowledgement","duplicate","invoice-price","short-shipment"]
    txs={}
    for n in names:
        await floor.behave(n)
        lines=[{"item":i,"quantity":{"value":"24","unit":"EA"}} for i in ("CON-60001","CON-60002")]
        tx = await floor.buy("CON-60001", lines=lines)
        await floor.until(tx, lambda t: outputs(t, "850 to the supplier"), n)
        txs[n]=tx
    await asyncio.sleep(3)
    for n,tx in txs.items():
        trace = await floor.trace(tx)
        order = outputs(trace, "purchase order in the ERP")[0]
        notices=[h["output"] for h in trace["hops"] if h["kind"]=="message" and h["why"]=="shipment-notified"]
        print("==", n, [(f["name"],f["status"],f["waitsFor"]) for f in trace["flows"]], len(notices))
        for t in trace["tasks"]: print("   TASK", t["reason"], t["status"], t["title"], "|", t["detail"], t["actions"])
        for no in notices[:1]:
            lines=[{"code":l["supplierSku"] or l["gtin"],"quantity":l["quantity"],"lot":l["lot"]} for l in no["lines"]]
            await stage.people["scanner"].call("POST","/experience/v1/mobile/receipts",json={"order":order["number"],"receivedAt":at_noon(0),"lines":lines})
    await asyncio.sleep(4)
    print("######## after receipts")
    for n,tx in txs.items():
        trace = await floor.trace(tx)
        print("==", n, [(f["name"],f["status"],f["waitsFor"]) for f in trace["flows"]])
        for t in trace["tasks"]: print("   TASK", t["reason"], t["status"], t["title"], "|", t["detail"], t["actions"])
    for o in (await stage.supplier.get("/sim/orders")).json()["orders"]:
        print(o["behaviour"], [(d["kind"], d["status"], d["answer"][:0]) for d in o["documents"]])
    for t in await floor.tasks(): 
        if t["transaction"] is None: print("LOOSE", t["reason"], t["title"], t["detail"])
