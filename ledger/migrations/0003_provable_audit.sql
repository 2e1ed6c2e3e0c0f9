-- The audit trail becomes provable: chains are registered, positions are signed, months are partitions.
--
-- A chain whose name begins with `chain_` is of the first kind: its hashes leave out the time. All
-- others have the time in every hash, and lie within one month (UTC), thus within one partition.

alter table audit rename to audit_before;
alter index audit_pkey rename to audit_before_pkey;
drop index audit_recent;

-- kind, transaction_id and actor repeat what `record` says, to be searched; verifying compares them.
create table audit (
    chain           text not null,
    seq             bigint not null,
    at              timestamptz not null default now(),
    kind            text not null,
    transaction_id  text,
    actor           text,
    record          bytea not null,
    hash            bytea not null,
    primary key (chain, seq, at)
) partition by range (at);
create index audit_recent on audit (at);
create index audit_actor on audit (actor, at);
create index audit_kind on audit (kind, at) where kind <> 'call';
create index audit_of on audit (transaction_id, at) where transaction_id is not null;
create table audit_default partition of audit default;

-- Make the partition of the month (UTC) that `day` is in; what the default one took in of it moves.
create function make_audit_month(day timestamptz) returns void language plpgsql as $$
declare
    since timestamp := date_trunc('month', day at time zone 'UTC');
    low timestamptz := since at time zone 'UTC';
    high timestamptz := (since + interval '1 month') at time zone 'UTC';
    part text := 'audit_' || to_char(since, 'YYYYMM');
begin
    if to_regclass(part) is not null then
        return;
    end if;
    lock table audit in access exclusive mode;
    if to_regclass(part) is not null then
        return;
    end if;
    execute format('create table %I (like audit including defaults including constraints)', part);
    execute format('insert into %I select * from audit_default where at >= $1 and at < $2', part)
        using low, high;
    delete from audit_default where at >= low and at < high;
    execute format('alter table audit attach partition %I for values from (%L) to (%L)',
                   part, low, high);
end $$;

-- The actor of a record as text, or null where the record is no JSON any more.
create function audit_actor_of(record bytea) returns text language plpgsql immutable as $$
begin
    return replace(convert_from(record, 'UTF8'), '\u0000', '\ufffd')::jsonb ->> 'actor';
exception when others then
    return null;
end $$;

select make_audit_month(month) from generate_series(
    least((select min(at) from audit_before), now()), now() + interval '2 months', interval '1 month'
) month;
select make_audit_month(now() + interval '2 months');
insert into audit
select chain, seq, at, kind, transaction_id, audit_actor_of(record), record, hash from audit_before;
drop function audit_actor_of(bytea);

-- Every chain that was begun, where its records lie, and what the newest checkpoint says of it:
-- how far it is covered. A row is written with the first record of its chain.
create table audit_chain (
    chain           text primary key,
    since           timestamptz not null,
    until           timestamptz not null,
    covered         bigint not null default 0
);
insert into audit_chain (chain, since, until)
select distinct chain, '-infinity'::timestamptz, 'infinity'::timestamptz from audit_before;
drop table audit_before;

-- `body` is JSON exactly as it was signed (Ed25519).
create table checkpoint (
    number          bigint primary key,
    body            bytea not null,
    signature       bytea not null
);

-- A batch's records are one piece of one chain: its first row says of which, from which number on, and when.
-- With its first record a chain is registered.

alter type audit_row add attribute at timestamptz, add attribute actor text;
create or replace function keep_audit(rows audit_row[]) returns void language plpgsql as $$
declare
    since timestamp := date_trunc('month', rows[1].at at time zone 'UTC');
begin
    if rows[1].seq = 1 then
        insert into audit_chain (chain, since, until)
        values (rows[1].chain, since at time zone 'UTC', (since + interval '1 month') at time zone 'UTC');
    end if;
    insert into audit (chain, seq, kind, transaction_id, record, hash, at, actor)
    select rows[1].chain, rows[1].seq + r.place - 1, r.kind, r.transaction_id, r.record, r.hash, rows[1].at, r.actor
    from unnest(rows) with ordinality
         r(chain, seq, kind, transaction_id, record, hash, at, actor, place);
end $$;
