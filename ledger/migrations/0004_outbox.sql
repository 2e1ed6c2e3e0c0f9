-- Delivery of the outbox. What stood in it before was never delivered and was not meant to leave as it
-- is (it holds context tokens): subscribers begin with what is published from here on.
delete from outbox;
drop index outbox_pending;
alter table outbox
    drop column delivered_at,
    alter column transaction_id drop not null,
    add column committed_in xid8 not null default pg_current_xact_id(),
    add column facility text not null default '',
    add column data_class text not null default 'supply',
    add column cause text not null default '';
create index outbox_order on outbox (committed_in, position);
create index outbox_time on outbox using brin (at);

alter type outbox_row add attribute facility text, add attribute data_class text, add attribute cause text;
create or replace function keep_events(rows outbox_row[]) returns void language sql as $$
    insert into outbox (id, transaction_id, type, subject, body, facility, data_class, cause)
    select r.id, r.transaction_id, r.type, r.subject, r.body::jsonb, r.facility, r.data_class, r.cause
    from unnest(rows) with ordinality
         r(id, transaction_id, type, subject, body, facility, data_class, cause, place)
    order by r.place on conflict do nothing
$$;

-- Who is told what, how far it got (`committed_in`, `position` of the last event that is settled), and
-- who works on it until when. `secrets` is sealed. `generation` counts replays.
create table subscription (
    id              text primary key,
    name            text not null,
    kind            text not null check (kind in ('webhook', 'stream')),
    target          text not null,
    types           text[] not null,
    facilities      text[] not null,
    data_classes    text[] not null,
    secrets         bytea not null,
    status          text not null default 'active'
                    check (status in ('active', 'suspended', 'disabled')),
    committed_in    xid8 not null,
    position        bigint not null,
    generation      integer not null default 0,
    run_at          timestamptz not null default now(),
    owner           text,
    epoch           integer not null default 0,
    attempts        integer not null default 0,
    failing_since   timestamptz,
    last_error      text not null default '',
    attempted_at    timestamptz,
    delivered_at    timestamptz,
    delivered       bigint not null default 0,
    created_by      text not null,
    created_at      timestamptz not null default now()
) with (fillfactor = 70);
create index subscription_due on subscription (run_at) where status = 'active';
create unique index subscription_stream on subscription (target) where kind = 'stream';

-- Whoever raises a task, and however, says so to subscribers in the same commit.
create function publish_task() returns trigger language plpgsql set search_path = suture as $$
begin
    insert into outbox (id, transaction_id, type, subject, body, cause)
    values (
        'evt_' || left(encode(sha256(convert_to(new.id, 'UTF8')), 'hex'), 26),
        new.transaction_id,
        case new.kind when 'decision' then 'org.suture.decision.requested.v1'
                      when 'overdue' then 'org.suture.operations.alert.v1'
                      else 'org.suture.exception.escalated.v1' end,
        new.id,
        jsonb_build_object('facility', '', 'task', new.id, 'kind', new.kind, 'reason', new.reason,
                           'title', new.title, 'owner', new.owner, 'raisedAt', new.raised_at),
        coalesce(new.flow_id, new.message_id, ''))
    on conflict do nothing;
    return null;
end $$;
create trigger task_published after insert on task for each row execute function publish_task();
