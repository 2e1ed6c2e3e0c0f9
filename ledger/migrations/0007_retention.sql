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
create function is_asked_for() returns trigger language plpgsql as $$
begin
    if exists (select 1 from flow where id = new.flow_id and cancel is not null and status = 'ready') then
        return null;
    end if;
    return new;
end $$;
create trigger task_is_asked_for before insert on task for each row
    when (new.kind in ('stuck', 'decision')) execute function is_asked_for();
