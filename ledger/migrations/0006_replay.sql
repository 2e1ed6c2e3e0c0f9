-- A replay is a flow that tells an earlier one again (`replay_of`, `replay_from`). `replay` says how:
-- {"mapping", "by", "reason", "job", "arrival"}; `arrival` is that of the first flow of the line, so that what
-- was replayed keeps its place among the others of its key.
alter table flow add column replay json;
create index flow_replays on flow (replay_of) where replay_of is not null;
create index flow_of_job on flow ((replay ->> 'job')) where replay is not null;
create index flow_by_name on flow (name, started_at);

-- Many flows replayed one after the other: how far it has come survives whoever drives it.
create table replay_job (
    id          text primary key,
    wanted      json not null,
    reason      text not null,
    started_by  text not null,
    total       bigint not null,
    last        bigint not null,
    cursor      bigint not null default 0,
    begun       bigint not null default 0,
    refused     bigint not null default 0,
    state       text not null default 'open' check (state in ('open', 'done')),
    at          timestamptz not null default now()
);
