-- Deadlines by criticality tier: what a wait or a question is, how much it matters, who must know.
-- `deadline` on awaited and task is the kind of deadline, '' where none was named.

alter table awaited
    add column deadline text not null default '',
    add column tier     text not null default '',
    add column owner    text not null default '',
    add column fix      text not null default '';

alter table task
    add column deadline     text not null default '',
    add column tier         text not null default '',
    add column due_at       timestamptz,
    add column escalated_at timestamptz;
create index task_due on task (due_at)
    where status = 'open' and kind = 'decision' and due_at is not null;
create index task_breached on task (raised_at) where kind = 'overdue';
create index task_escalated on task (escalated_at) where escalated_at is not null;

-- What a flow promised: kept with the step named `until`, or when the flow ends. Rows go when they are due.
create table deadline (
    flow_id     text not null,
    name        text not null,
    kind        text not null,
    tier        text not null,
    until       text not null default '',
    due_at      timestamptz not null,
    overdue     boolean not null default false,
    affected    text not null default '',
    owner       text not null,
    fix         text not null,
    primary key (flow_id, name)
);
create index deadline_due on deadline (due_at);

alter type awaited_row
    add attribute deadline text, add attribute tier text, add attribute owner text, add attribute fix text;
alter type task_row
    add attribute deadline text, add attribute tier text, add attribute due_at timestamptz;

create or replace function keep_tasks(rows task_row[]) returns void language sql as $$
    insert into task (id, transaction_id, flow_id, message_id, kind, reason, subject, title, detail, affected,
                      fix, owner, actions, deadline, tier, due_at)
    select r.id, r.transaction_id, r.flow_id, r.message_id, r.kind, r.reason, r.subject, r.title, r.detail,
           r.affected, r.fix, r.owner, r.actions, r.deadline, r.tier, r.due_at
    from unnest(rows) r on conflict do nothing
$$;

create or replace function fall_asleep(rows awaited_row[], flows text[]) returns void language plpgsql as $$
begin
    insert into awaited (flow_id, name, event, key, due_at, affected, deadline, tier, owner, fix)
    select r.flow_id, r.name, r.event, r.key, r.due_at, r.affected, r.deadline, r.tier, r.owner, r.fix
    from unnest(rows) r on conflict do nothing;
    update flow set status = 'ready', run_at = now()
    where id = any(flows) and status = 'waiting' and exists (
        select 1 from awaited a join signal s on s.event = a.event and s.key = a.key
        where a.flow_id = flow.id
          and not exists (select 1 from taken t where t.signal_id = s.id and t.flow_id = flow.id));
end $$;
