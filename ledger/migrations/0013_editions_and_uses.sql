-- Settings that all replicas share, as whole texts: each change is a new edition.
create table edition (
    name    text not null,
    number  integer not null,
    digest  text not null,
    body    text not null,
    made_by text not null,
    at      timestamptz not null default now(),
    primary key (name, number)
);
create index edition_digest on edition (name, digest);

-- Which edition each replica goes by, and why it does not take up what it was given last.
create table edition_replica (
    name    text not null,
    replica text not null,
    number  integer not null,
    problem text not null default '',
    at      timestamptz not null default now(),
    primary key (name, replica)
);

-- Who used what, how often, by day.
create table use_count (
    who     text not null,
    what    text not null,
    day     date not null,
    calls   bigint not null,
    last_at timestamptz not null,
    primary key (who, what, day)
);
create index use_count_of on use_count (what, day);
