-- The first schema. Each table holds a record as JSON in `body`, and beside it the columns that queries search by.
-- Moments are microseconds since 1970 in UTC. Bodies are text, not jsonb, which cannot hold the character U+0000; in
-- other text columns it is written as \0, and a backslash as \\.

CREATE TABLE tasks (
    id            uuid   PRIMARY KEY,
    version       bigint NOT NULL,
    state         text   COLLATE "C" NOT NULL,
    repo          uuid   NOT NULL,
    parent        uuid,
    ticket_source text   COLLATE "C",
    ticket_key    text   COLLATE "C",
    depends_on    uuid[], -- NULL if there are none
    body          text   NOT NULL
);
CREATE INDEX tasks_by_state ON tasks (state, id);
CREATE INDEX tasks_by_repo ON tasks (repo, id);
CREATE INDEX tasks_by_repo_and_state ON tasks (repo, state, id);
CREATE INDEX tasks_by_parent ON tasks (parent, id) WHERE parent IS NOT NULL;
CREATE INDEX tasks_by_ticket ON tasks (ticket_source, ticket_key, id) WHERE ticket_key IS NOT NULL;
CREATE INDEX tasks_by_dependency ON tasks USING gin (depends_on) WHERE depends_on IS NOT NULL;

CREATE TABLE runs (
    id          uuid    PRIMARY KEY,
    task        uuid    NOT NULL,
    repo        uuid    NOT NULL,
    epoch       bigint  NOT NULL,
    live        boolean NOT NULL,
    workspace   uuid    NOT NULL,
    started_at  bigint  NOT NULL,
    cost_micros bigint  NOT NULL,
    body        text    NOT NULL
);
CREATE INDEX runs_by_task ON runs (task, id);
CREATE INDEX runs_by_workspace ON runs (workspace, id);
CREATE INDEX runs_live ON runs (id) WHERE live;
CREATE INDEX runs_by_start ON runs (started_at, repo) INCLUDE (cost_micros);

CREATE TABLE repos (
    id       uuid   PRIMARY KEY,
    version  bigint NOT NULL,
    identity text   COLLATE "C" NOT NULL UNIQUE,
    body     text   NOT NULL
);

CREATE TABLE workspaces (
    id      uuid   PRIMARY KEY,
    version bigint NOT NULL,
    repo    uuid   NOT NULL,
    ordinal bigint NOT NULL,
    body    text   NOT NULL
);
CREATE INDEX workspaces_by_repo ON workspaces (repo, ordinal, id);

CREATE TABLE schedules (
    id      uuid   PRIMARY KEY,
    version bigint NOT NULL,
    body    text   NOT NULL
);

CREATE TABLE webhooks (
    id      uuid   PRIMARY KEY,
    version bigint NOT NULL,
    body    text   NOT NULL
);

CREATE TABLE audit (
    n    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task uuid   NOT NULL,
    body text   NOT NULL
);
CREATE INDEX audit_by_task ON audit (task, n);

CREATE TABLE log (
    task uuid   NOT NULL,
    run  bigint NOT NULL, -- the run's number in its task
    seq  bigint NOT NULL,
    body text   NOT NULL,
    PRIMARY KEY (task, run, seq)
);

-- not_before, due_at and attempts are the truth here: the body keeps what was first written. Rows live for
-- milliseconds, so the dead ones are cleared away by their number and not by their share.
CREATE TABLE outbox (
    id         uuid   PRIMARY KEY,
    not_before bigint NOT NULL,
    due_at     bigint NOT NULL, -- not_before, or the end of a claim
    attempts   bigint NOT NULL,
    body       text   NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE TABLE leases (
    name   text   COLLATE "C" PRIMARY KEY,
    holder text   COLLATE "C" NOT NULL,
    until  bigint NOT NULL
);
