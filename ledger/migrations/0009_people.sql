-- People, and what is shown to prove something: tickets, each kept under the SHA-256 of its secret.

create table person (
    id   text primary key,
    body text not null,
    at   timestamptz not null default now()
);

-- Tickets that were given one for another. When their family ends, all of them do.
create table ticket_family (
    id       text primary key,
    owner    text not null,
    parent   text not null default '',
    body     text not null,
    began    timestamptz not null,
    expires  timestamptz not null,
    ended_at timestamptz,
    reason   text not null default ''
);
create index ticket_family_owner on ticket_family (owner) where ended_at is null and owner <> '';
create index ticket_family_parent on ticket_family (parent) where ended_at is null and parent <> '';
create index ticket_family_expires on ticket_family (expires);

create table ticket (
    digest   bytea primary key,
    family   text not null references ticket_family on delete cascade,
    kind     text not null,
    expires  timestamptz not null,
    spent_at timestamptz
);
create index ticket_of_family on ticket (family);
