-- Names that count once, and names that count no more. What they name is known to who gave them;
-- times are seconds by the clock of who gave them.

-- What was seen once, until nobody would take it a second time anyway.
create table used_once (
    name        text primary key,
    until       double precision not null
);
create index used_once_until on used_once (until);

-- What was withdrawn: whatever carries the name and was given out before a time.
create table withdrawn (
    name        text primary key,
    given_before double precision not null,
    until       double precision not null,
    at          timestamptz not null default clock_timestamp()
);
create index withdrawn_at on withdrawn (at);
