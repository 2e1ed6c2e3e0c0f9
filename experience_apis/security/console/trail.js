// The APIs of the audit page.

import { Gateway } from "/console/gateway.js";

const SECURITY = "/experience/v1/security";
const PAGE = 100;

export class Trail extends Gateway {
  // What leads to one patient's records: the number goes in the body, because addresses are kept.
  links(kind, facility, number) {
    return this.write(`${SECURITY}/patient-links`, { kind, facility, number });
  }

  records(filters, after = "") {
    const query = new URLSearchParams({ ...filters, limit: String(PAGE) });
    if (after) query.set("after", after);
    return this.read(`${SECURITY}/audit-events?${query}`);
  }

  async file(form, filters) {
    const response = await this.ask(`${SECURITY}/audit-events/${form}?${new URLSearchParams(filters)}`, {});
    return response.blob();
  }

  check() {
    return this.write(`${SECURITY}/audit-checks`, {});
  }

  checked(id) {
    return this.read(`${SECURITY}/audit-checks/${encodeURIComponent(id)}`);
  }
}
