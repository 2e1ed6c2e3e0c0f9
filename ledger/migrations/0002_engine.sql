-- The engine. One column says when a flow may run; bodies and hops are kept by month; a batch is one call.
-- Steps, hops, signals and names have no foreign keys: the writer's fence locks the flow they belong to in
-- the same transaction, and a foreign key would ask PostgreSQL again for every row.

-- Months -------------------------------------------------------------------------------------------------

create function make_months(parent text, ahead integer) returns integer language plpgsql as $$
declare
    month timestamp := date_trunc('month', now() at time zone 'UTC');
    name text;
    made integer := 0;
begin
    perform pg_advisory_xact_lock(7405160115);
    for n in 0..ahead loop
        name := parent || '_' || to_char(month, 'YYYYMM');
        if to_regclass(name) is null then
            execute format('create table %I partition of %I for values from (%L) to (%L)', name, parent,
                           to_char(month, 'YYYY-MM-DD') || ' 00:00:00+00',
                           to_char(month + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
            made := made + 1;
        end if;
        month := month + interval '1 month';
    end loop;
    return made;
end $$;

create table body (
    message_id  text not null,
    at          timestamptz not null default now(),
    sealed      bytea not null,
    primary key (message_id, at)
) partition by range (at);
create table body_default partition of body default;
select make_months('body', 2);
insert into body (message_id, at, sealed) select id, at, body from message;
alter table message drop column body;

alter table entry rename to entry_before;
alter table entry_before alter column seq drop identity;
create sequence entry_seq;
create table entry (
    seq             bigint not null default nextval('entry_seq'),
    transaction_id  text not null,
    flow_id         text,
    message_id      text,
    at              timestamptz not null default clock_timestamp(),
    hop             text not null,
    kind            text not null,
    system          text not null,
    outcome         text not null default 'done',
    input           json,
    output          json,
    versions        json not null default '{}',
    actor           text not null default '',
    why             text not null default '',
    milliseconds    double precision not null default 0
) partition by range (at);
create table entry_default partition of entry default;
select make_months('entry', 2);
insert into entry (seq, transaction_id, flow_id, message_id, at, hop, kind, system, outcome, input, output,
                   versions, actor, why, milliseconds)
    select seq, transaction_id, flow_id, message_id, at, hop, kind, system, outcome, input::json, output::json,
           versions::json, actor, why, milliseconds
    from entry_before order by seq;
select setval('entry_seq', coalesce((select max(seq) from entry), 0) + 1, false);
drop table entry_before;
create index entry_of_transaction on entry (transaction_id, seq);
create index entry_of_message on entry (message_id) where message_id is not null;

-- What is kept is what was said: JSON as text, read back whole -------------------------------------------

alter table step drop constraint step_flow_id_fkey, alter column output type json;
alter table reference drop constraint reference_transaction_id_fkey;
drop index reference_of;
create index reference_of_transaction on reference (transaction_id);
drop index reference_value;
create index reference_by_value on reference (value, at);
alter table awaited drop constraint awaited_flow_id_fkey;
alter table signal drop constraint signal_transaction_id_fkey, alter column facts type json;
alter table taken drop constraint taken_signal_id_fkey, drop constraint taken_flow_id_fkey;
alter table claim drop constraint claim_flow_id_fkey;
alter table outbox drop constraint outbox_transaction_id_fkey;
create index claim_of_flow on claim (flow_id);
create index taken_of_flow on taken (flow_id);
drop index transaction_recent;
alter table transaction drop column changed_at;

-- Flows --------------------------------------------------------------------------------------------------

alter table flow
    drop constraint flow_transaction_id_fkey, drop constraint flow_message_id_fkey,
    drop constraint flow_status_check,
    alter column facts type json,
    add column run_at timestamptz not null default now(),
    add column crashes integer not null default 0,
    add column cancel json,
    add column replay_of text,
    add column replay_from integer not null default 0;
update flow set run_at = coalesce(lease_until, wake_at, started_at);
drop index flow_ready;
drop index flow_order;
drop index flow_of;
alter table flow drop column lease_until, drop column wake_at;
update flow set status = 'queued' where status = 'ready' and exists (
    select 1 from flow e where e.name = flow.name and e.key = flow.key and e.arrival < flow.arrival
                           and e.status in ('ready', 'waiting', 'stuck'));
alter table flow add constraint flow_status_check
    check (status in ('queued', 'ready', 'waiting', 'stuck', 'done', 'abandoned', 'cancelled'));
create index flow_runnable on flow (run_at) where status = 'ready';
create index flow_queue on flow (name, key, arrival) where status in ('queued', 'ready', 'waiting', 'stuck');
create index flow_of_transaction on flow (transaction_id);
create index flow_ended on flow (ended_at) where ended_at is not null;

-- A batch ------------------------------------------------------------------------------------------------

create type fence_row as (
    id text, owner text, epoch integer, touch boolean, unwinding boolean, status text,
    run_in double precision, attempts integer, failure text, result text);
create type message_row as (
    id text, channel text, kind text, party text, identity text, control_id text, digest bytea, sealed bytea,
    answer bytea, status text);
create type context_row as (token text, sealed bytea);
create type transaction_row as (id text, title text);
create type reference_row as (kind text, value text, transaction_id text);
create type flow_row as (
    id text, transaction_id text, message_id text, name text, version text, key text, facts text,
    behind boolean, replay_of text, replay_from integer);
create type step_row as (flow_id text, name text, number integer, kind text, output text);
create type claim_row as (kind text, value text, flow_id text);
create type entry_row as (
    transaction_id text, hop text, kind text, system text, at timestamptz, flow_id text, message_id text,
    outcome text, input text, output text, versions text, actor text, why text, milliseconds double precision);
create type signal_row as (transaction_id text, message_id text, event text, key text, facts text);
create type awaited_row as (
    flow_id text, name text, event text, key text, due_at timestamptz, affected text);
create type task_row as (
    id text, transaction_id text, flow_id text, message_id text, kind text, reason text, subject text,
    title text, detail text, affected text, fix text, owner text, actions text[]);
create type outbox_row as (id text, transaction_id text, type text, subject text, body text);
create type audit_row as (chain text, seq bigint, kind text, transaction_id text, record bytea, hash bytea);
create type queue_row as (name text, key text);
create type taken_row as (signal_id bigint, flow_id text);
create type release_row as (kind text, value text, transaction_id text);

create function keep_tasks(rows task_row[]) returns void language sql as $$
    insert into task (id, transaction_id, flow_id, message_id, kind, reason, subject, title, detail, affected,
                      fix, owner, actions)
    select r.id, r.transaction_id, r.flow_id, r.message_id, r.kind, r.reason, r.subject, r.title, r.detail,
           r.affected, r.fix, r.owner, r.actions
    from unnest(rows) r on conflict do nothing
$$;

create function keep_events(rows outbox_row[]) returns void language sql as $$
    insert into outbox (id, transaction_id, type, subject, body)
    select r.id, r.transaction_id, r.type, r.subject, r.body::jsonb from unnest(rows) r on conflict do nothing
$$;

create function keep_audit(rows audit_row[]) returns void language sql as $$
    insert into audit (chain, seq, kind, transaction_id, record, hash)
    select r.chain, r.seq, r.kind, r.transaction_id, r.record, r.hash from unnest(rows) r
$$;

-- Messages: returns which of them are new. A body is kept only with a message that is.
create function keep_messages(rows message_row[]) returns setof text language plpgsql as $$
begin
    return query
    with kept as (
        insert into message (id, direction, channel, kind, party, identity, control_id, digest, answer, status)
        select r.id, 'in', r.channel, r.kind, r.party, r.identity, r.control_id, r.digest, r.answer, r.status
        from unnest(rows) r on conflict (identity) do nothing returning id
    ), bodies as (
        insert into body (message_id, sealed)
        select r.id, r.sealed from unnest(rows) r join kept on kept.id = r.id
    )
    select id from kept;
end $$;

-- Flows enter the queue of their key: behind another one they wait for its end.
create function keep_flows(rows flow_row[]) returns void language sql as $$
    insert into flow (id, transaction_id, message_id, name, version, key, facts, replay_of, replay_from, status)
    select r.id, r.transaction_id, r.message_id, r.name, r.version, r.key, r.facts::json, r.replay_of,
           r.replay_from,
           case when r.behind or exists (
               select 1 from flow e where e.name = r.name and e.key = r.key
                                      and e.status in ('queued', 'ready', 'waiting', 'stuck'))
           then 'queued' else 'ready' end
    from unnest(rows) with ordinality
         r(id, transaction_id, message_id, name, version, key, facts, behind, replay_of, replay_from, place)
    order by r.place on conflict (id) do nothing
$$;

create function promote(queues queue_row[]) returns void language sql as $$
    update flow set status = 'ready', run_at = now()
    from unnest(queues) q cross join lateral (
        select id, status from flow f
        where f.name = q.name and f.key = q.key and f.status in ('queued', 'ready', 'waiting', 'stuck')
        order by f.arrival limit 1) head
    where head.status = 'queued' and flow.id = head.id
$$;

create function keep_signals(rows signal_row[]) returns void language plpgsql as $$
begin
    insert into signal (transaction_id, message_id, event, key, facts)
    select r.transaction_id, r.message_id, r.event, r.key, r.facts::json
    from unnest(rows) with ordinality r(transaction_id, message_id, event, key, facts, place) order by r.place;
    update flow set status = 'ready', run_at = now()
    from awaited a join unnest(rows) r on a.event = r.event and a.key = r.key
    where flow.id = a.flow_id and flow.status = 'waiting';
end $$;

-- A signal may have come while the flow was on its way to sleep: then it does not sleep.
create function fall_asleep(rows awaited_row[], flows text[]) returns void language plpgsql as $$
begin
    insert into awaited (flow_id, name, event, key, due_at, affected)
    select r.flow_id, r.name, r.event, r.key, r.due_at, r.affected from unnest(rows) r on conflict do nothing;
    update flow set status = 'ready', run_at = now()
    where id = any(flows) and status = 'waiting' and exists (
        select 1 from awaited a join signal s on s.event = a.event and s.key = a.key
        where a.flow_id = flow.id
          and not exists (select 1 from taken t where t.signal_id = s.id and t.flow_id = flow.id));
end $$;

-- Who still holds its flow; the row stays locked until the commit, so that nobody takes it over meanwhile.
create function hold(fences fence_row[]) returns table (place integer, cancelled boolean) language sql as $$
    select r.place::integer, flow.cancel is not null
    from unnest(fences) with ordinality
         r(id, owner, epoch, touch, unwinding, status, run_in, attempts, failure, result, place)
    join flow on flow.id = r.id and flow.owner = r.owner and flow.epoch = r.epoch
    for no key update of flow
$$;

-- Where flows stand afterwards. One that somebody wants cancelled does not sleep and does not end: it is undone.
create function settle(fences fence_row[]) returns void language sql as $$
    update flow set
        status = case when r.status is not null and flow.cancel is not null and not r.unwinding then 'ready'
                      else coalesce(r.status, flow.status) end,
        owner = case when r.status is null then flow.owner end,
        run_at = case when r.status is null then flow.run_at else now() + make_interval(secs => r.run_in) end,
        attempts = r.attempts, crashes = 0, failure = r.failure::jsonb,
        result = coalesce(r.result::jsonb, flow.result),
        ended_at = case when r.status in ('done', 'abandoned', 'cancelled') then now() end
    from unnest(fences) r where r.touch and flow.id = r.id
$$;

-- Writes a batch; returns who held its flow. Where somebody did not, nothing is written: the caller leaves
-- those out and comes again.
create function keep(
    locks bigint[], fences fence_row[], contexts context_row[], transactions transaction_row[],
    refs reference_row[], flows flow_row[], steps step_row[], claims claim_row[], entries entry_row[],
    signals signal_row[], waits awaited_row[], tasks task_row[], events outbox_row[], audits audit_row[],
    queues queue_row[], takes taken_row[], releases release_row[], over text[], asleep text[]
) returns table (place integer, cancelled boolean) language plpgsql as $$
#variable_conflict use_column
declare
    held integer[] := '{}';
    wanted boolean[] := '{}';
begin
    perform pg_advisory_xact_lock(n) from unnest(locks) n;
    if cardinality(fences) > 0 then
        select coalesce(array_agg(h.place), '{}'), coalesce(array_agg(h.cancelled), '{}')
        into held, wanted from hold(fences) h;
        if cardinality(held) < cardinality(fences) then
            return query select * from unnest(held, wanted);
            return;
        end if;
        perform settle(fences);
    end if;
    if cardinality(contexts) > 0 then
        insert into sealed_context (token, sealed) select r.token, r.sealed from unnest(contexts) r
        on conflict do nothing;
    end if;
    if cardinality(transactions) > 0 then
        insert into transaction (id, title) select r.id, r.title from unnest(transactions) r on conflict do nothing;
    end if;
    if cardinality(refs) > 0 then
        insert into reference (kind, value, transaction_id)
        select r.kind, r.value, r.transaction_id from unnest(refs) r on conflict do nothing;
    end if;
    if cardinality(flows) > 0 then perform keep_flows(flows); end if;
    if cardinality(steps) > 0 then
        insert into step (flow_id, name, number, kind, output)
        select r.flow_id, r.name, r.number, r.kind, r.output::json from unnest(steps) r;
    end if;
    if cardinality(releases) > 0 then
        delete from claim using unnest(releases) r, flow
        where claim.kind = r.kind and claim.value = r.value and flow.id = claim.flow_id
          and flow.transaction_id = r.transaction_id;
    end if;
    if cardinality(claims) > 0 then
        insert into claim (kind, value, flow_id) select r.kind, r.value, r.flow_id from unnest(claims) r
        on conflict do nothing;
    end if;
    if cardinality(entries) > 0 then
        insert into entry (transaction_id, hop, kind, system, at, flow_id, message_id, outcome, input, output,
                           versions, actor, why, milliseconds)
        select r.transaction_id, r.hop, r.kind, r.system, r.at, r.flow_id, r.message_id, r.outcome,
               r.input::json, r.output::json, r.versions::json, r.actor, r.why, r.milliseconds
        from unnest(entries) r;
    end if;
    if cardinality(takes) > 0 then
        insert into taken (signal_id, flow_id) select r.signal_id, r.flow_id from unnest(takes) r
        on conflict do nothing;
    end if;
    if cardinality(over) > 0 then delete from awaited where flow_id = any(over); end if;
    if cardinality(signals) > 0 then perform keep_signals(signals); end if;
    if cardinality(waits) > 0 or cardinality(asleep) > 0 then perform fall_asleep(waits, asleep); end if;
    if cardinality(tasks) > 0 then perform keep_tasks(tasks); end if;
    if cardinality(events) > 0 then perform keep_events(events); end if;
    if cardinality(audits) > 0 then perform keep_audit(audits); end if;
    if cardinality(queues) > 0 then perform promote(queues); end if;
    return query select * from unnest(held, wanted);
end $$;

-- A new table has no statistics, and grows faster than they are taken: a batch always goes by index.
alter function keep(
    bigint[], fence_row[], context_row[], transaction_row[], reference_row[], flow_row[], step_row[], claim_row[],
    entry_row[], signal_row[], awaited_row[], task_row[], outbox_row[], audit_row[], queue_row[], taken_row[],
    release_row[], text[], text[]
) set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off;
