-- The ledger. Identifiers are ULIDs with a prefix; times are database time; JSON columns hold canonical
-- objects without patient data. Bodies and patient contexts are sealed (AES-GCM) before they get here.

create table message (
    id          text primary key,
    direction   text not null check (direction in ('in', 'out')),
    channel     text not null,
    kind        text not null,
    party       text not null,
    identity    text unique,
    control_id  text not null default '',
    digest      bytea not null,
    body        bytea not null,
    answer      bytea not null default '',
    status      text not null check (status in ('received', 'refused', 'pending', 'sent')),
    at          timestamptz not null default now()
);
create index message_control on message (control_id) where control_id <> '';

create table transaction (
    id          text primary key,
    title       text not null,
    opened_at   timestamptz not null default now(),
    changed_at  timestamptz not null default now()
);
create index transaction_recent on transaction (changed_at desc);

create table reference (
    kind            text not null,
    value           text not null,
    transaction_id  text not null references transaction,
    at              timestamptz not null default now(),
    primary key (kind, value, transaction_id)
);
create index reference_value on reference (value);
create index reference_of on reference (transaction_id);

create table flow (
    id              text primary key,
    arrival         bigint generated always as identity,
    transaction_id  text not null references transaction,
    message_id      text references message,
    name            text not null,
    version         text not null,
    key             text not null,
    facts           jsonb not null,
    status          text not null default 'ready'
                    check (status in ('ready', 'waiting', 'stuck', 'done', 'abandoned')),
    owner           text,
    epoch           integer not null default 0,
    lease_until     timestamptz,
    wake_at         timestamptz,
    attempts        integer not null default 0,
    failure         jsonb,
    result          jsonb,
    started_at      timestamptz not null default now(),
    ended_at        timestamptz
) with (fillfactor = 70);
create index flow_ready on flow (arrival) where status = 'ready';
create index flow_order on flow (name, key, arrival) where status in ('ready', 'waiting', 'stuck');
create index flow_of on flow (transaction_id);

create table step (
    flow_id     text not null references flow,
    name        text not null,
    number      integer not null,
    kind        text not null,
    output      jsonb not null,
    at          timestamptz not null default now(),
    primary key (flow_id, name)
);

create table entry (
    seq             bigint generated always as identity primary key,
    transaction_id  text not null references transaction,
    flow_id         text,
    message_id      text,
    at              timestamptz not null default clock_timestamp(),
    hop             text not null,
    kind            text not null,
    system          text not null,
    outcome         text not null default 'done',
    input           jsonb,
    output          jsonb,
    versions        jsonb not null default '{}',
    actor           text not null default '',
    why             text not null default '',
    milliseconds    double precision not null default 0
);
create index entry_of on entry (transaction_id, seq);
create index entry_message on entry (message_id) where message_id is not null;

create table awaited (
    flow_id     text not null references flow,
    name        text not null,
    event       text not null,
    key         text not null,
    due_at      timestamptz,
    overdue     boolean not null default false,
    affected    text not null default '',
    primary key (flow_id, event)
);
create index awaited_event on awaited (event, key);
create index awaited_due on awaited (due_at) where not overdue;

create table signal (
    id              bigint generated always as identity primary key,
    transaction_id  text not null references transaction,
    message_id      text,
    event           text not null,
    key             text not null,
    facts           jsonb not null,
    at              timestamptz not null default now()
);
create index signal_event on signal (event, key, id);

-- A signal is news for whoever waits for it: each flow takes it once.
create table taken (
    signal_id   bigint not null references signal,
    flow_id     text not null references flow,
    primary key (signal_id, flow_id)
);

create table task (
    id              text primary key,
    transaction_id  text references transaction,
    flow_id         text references flow,
    message_id      text references message,
    kind            text not null check (kind in ('stuck', 'decision', 'refused', 'overdue')),
    reason          text not null,
    subject         text not null default '',
    title           text not null,
    detail          text not null,
    affected        text not null default '',
    fix             text not null default '',
    owner           text not null,
    actions         text[] not null,
    status          text not null default 'open' check (status in ('open', 'resolved')),
    resolution      jsonb,
    raised_at       timestamptz not null default now(),
    resolved_at     timestamptz
);
create index task_open on task (raised_at) where status = 'open';
create index task_of on task (transaction_id);
create index task_message on task (message_id) where message_id is not null;
create index task_flow on task (flow_id);
create index task_subject on task (subject) where subject <> '';

create table outbox (
    id              text primary key,
    position        bigint generated always as identity,
    transaction_id  text not null references transaction,
    type            text not null,
    subject         text not null,
    body            jsonb not null,
    at              timestamptz not null default now(),
    delivered_at    timestamptz
);
create index outbox_pending on outbox (position) where delivered_at is null;

create table registry (
    kind        text not null,
    id          text not null,
    version     integer not null,
    body        jsonb not null,
    changed_by  text not null,
    at          timestamptz not null default now(),
    primary key (kind, id, version)
);

create table crosswalk (
    scheme      text not null,
    value       text not null,
    issuer      text not null default '',
    item        text not null,
    primary key (scheme, value, issuer)
);

create table sealed_context (
    token       text primary key,
    sealed      bytea not null,
    at          timestamptz not null default now()
);

create table counter (
    name        text primary key,
    last        bigint not null
);
create table counted (
    name        text not null,
    key         text not null,
    number      bigint not null,
    primary key (name, key)
);

create table claim (
    kind        text not null,
    value       text not null,
    flow_id     text not null references flow,
    at          timestamptz not null default now(),
    primary key (kind, value)
);

create table client (
    id          text primary key,
    body        jsonb not null,
    at          timestamptz not null default now()
);

create table audit (
    chain       text not null,
    seq         bigint not null,
    at          timestamptz not null default now(),
    kind        text not null,
    transaction_id text,
    record      bytea not null,
    hash        bytea not null,
    primary key (chain, seq)
);
create index audit_recent on audit (at desc);
