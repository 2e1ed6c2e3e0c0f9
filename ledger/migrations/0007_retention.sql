-- What the model of the engine found, and what keeps the cost of the ledger from growing with its history.

-- The next of a key may run when nobody of that key does. (A finished flow that is to be undone queues up
-- again, and has arrived before the one that runs.)
create or replace function promote(queues queue_row[]) returns void language sql as $$
    update flow set status = 'ready', run_at = now()
    from unnest(queues) q cross join lateral (
        select id, status from flow f
        where f.name = q.name and f.key = q.key and f.status in ('queued', 'ready', 'waiting', 'stuck')
        order by (f.status = 'queued'), f.arrival limit 1) head
    where head.status = 'queued' and flow.id = head.id
$$;

-- A flow that somebody wants cancelled asks nobody: it does not come to stand where an answer is awaited.
-- A task keeps the business key of its flow, which may be gone before it is looked for.
alter table task add column flow_key text;
update task set flow_key = flow.key from flow where flow.id = task.flow_id;
create index task_by_key on task (flow_key) where flow_key is not null;
create index task_raised on task (raised_at);

create function is_asked_for() returns trigger language plpgsql set search_path = suture as $$
declare
    about flow;
begin
    select * into about from flow where id = new.flow_id;
    if new.kind in ('stuck', 'decision') and about.cancel is not null and about.status = 'ready' then
        return null;
    end if;
    new.flow_key := about.key;
    return new;
end $$;
create trigger task_is_asked_for before insert on task for each row
    when (new.flow_id is not null) execute function is_asked_for();

-- The newest names of a kind.
create index reference_newest on reference (kind, at);

-- What was removed by rule, when, and up to which time; `told` of them are in the audit trail.
create table removal (
    what    text not null,
    day     date not null default (now() at time zone 'UTC')::date,
    days    integer not null,
    until   timestamptz not null,
    rows    bigint not null,
    told    bigint not null default 0,
    primary key (what, day)
);
create index removal_untold on removal (what) where told < rows;

alter table transaction add column removed_at timestamptz, add column removed_by text;

-- A task points to a flow that may be gone: only what is finished goes.
alter table task drop constraint task_flow_id_fkey;
create index task_settled on task (resolved_at) where status = 'resolved';
create index message_recognised on message (at) where identity is not null;
create index sealed_context_age on sealed_context using brin (at);
create index body_age on body using brin (at);

-- Rows that change often leave dead ones behind: vacuum by their number, not by a share of the history.
alter table flow set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000);
alter table awaited set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
alter table task set (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
alter table subscription set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
alter table counter set (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

-- A month whose first rows are in the default partition already stays there: nothing is moved under load.
create or replace function make_months(parent text, ahead integer) returns integer language plpgsql as $$
declare
    month timestamp := date_trunc('month', now() at time zone 'UTC');
    name text;
    taken boolean;
    made integer := 0;
begin
    perform pg_advisory_xact_lock(7405160115);
    for n in 0..ahead loop
        name := parent || '_' || to_char(month, 'YYYYMM');
        if to_regclass(name) is null then
            execute format('select exists (select from %I where at >= %L and at < %L)', parent || '_default',
                           to_char(month, 'YYYY-MM-DD') || ' 00:00:00+00',
                           to_char(month + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00') into taken;
            if not taken then
                execute format('create table %I partition of %I for values from (%L) to (%L)', name, parent,
                               to_char(month, 'YYYY-MM-DD') || ' 00:00:00+00',
                               to_char(month + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
                made := made + 1;
            end if;
        end if;
        month := month + interval '1 month';
    end loop;
    return made;
end $$;

create index message_pending on message (at) where status = 'pending';

-- How many rows a table has: exact while they are few, then what PostgreSQL estimates.
create function about(name text) returns bigint language plpgsql stable set search_path = suture as $$
declare
    rows bigint;
begin
    select reltuples into rows from pg_class where oid = to_regclass(name);
    if coalesce(rows, -1) < 20000 then
        execute format('select count(*) from (select from %I limit 20001) few', name) into rows;
    end if;
    return rows;
end $$;
