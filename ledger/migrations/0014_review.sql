-- Reviewing the audit trail: searched by what a record is about, where, and what was refused; checked as a job;
-- watched for patterns. What repeats the record is verified with it (ledger/audit/chain.py).

alter table audit add column object text, add column facility text, add column refusal text;
create index audit_object on audit (object, at) where object is not null;
create index audit_facility on audit (facility, at) where facility is not null;
create index audit_refusal on audit (at) where refusal is not null;

alter type audit_row add attribute object text, add attribute facility text, add attribute refusal text;
create or replace function keep_audit(rows audit_row[]) returns void language plpgsql as $$
declare
    since timestamp := date_trunc('month', rows[1].at at time zone 'UTC');
begin
    if rows[1].seq = 1 then
        insert into audit_chain (chain, since, until)
        values (rows[1].chain, since at time zone 'UTC', (since + interval '1 month') at time zone 'UTC');
    end if;
    insert into audit (chain, seq, kind, transaction_id, record, hash, at, actor, object, facility, refusal)
    select rows[1].chain, rows[1].seq + r.place - 1, r.kind, r.transaction_id, r.record, r.hash, rows[1].at,
           r.actor, r.object, r.facility, r.refusal
    from unnest(rows) with ordinality
         r(chain, seq, kind, transaction_id, record, hash, at, actor, object, facility, refusal, place);
end $$;

-- A verification of the trail that somebody asked for: done by a worker, begun anew where one dies over it.
create table audit_check (
    id          text primary key,
    asked_by    text not null,
    asked_at    timestamptz not null default now(),
    status      text not null default 'queued' check (status in ('queued', 'running', 'done', 'failed')),
    read        bigint not null default 0,
    total       bigint not null default 0,
    run_at      timestamptz not null default now(),
    owner       text,
    ended_at    timestamptz,
    verdict     json
);
create index audit_check_due on audit_check (run_at) where status in ('queued', 'running');

-- How far the watch over the trail has come.
create table watched (
    name    text primary key,
    at      timestamptz not null,
    number  bigint not null default 0
);

-- An alert is a task of security, and an operational alert to subscribers.
alter table task drop constraint task_kind_check;
alter table task add constraint task_kind_check
    check (kind in ('stuck', 'decision', 'refused', 'overdue', 'alert'));
create or replace function publish_task() returns trigger language plpgsql set search_path = suture as $$
begin
    insert into outbox (id, transaction_id, type, subject, body, cause)
    values (
        'evt_' || left(encode(sha256(convert_to(new.id, 'UTF8')), 'hex'), 26),
        new.transaction_id,
        case new.kind when 'decision' then 'org.suture.decision.requested.v1'
                      when 'overdue' then 'org.suture.operations.alert.v1'
                      when 'alert' then 'org.suture.operations.alert.v1'
                      else 'org.suture.exception.escalated.v1' end,
        new.id,
        jsonb_build_object('facility', '', 'task', new.id, 'kind', new.kind, 'reason', new.reason,
                           'title', new.title, 'owner', new.owner, 'raisedAt', new.raised_at),
        coalesce(new.flow_id, new.message_id, ''))
    on conflict do nothing;
    return null;
end $$;
